"""which layers are cheapest to dial, predicted and then measured; allocations of a drift budget"""
