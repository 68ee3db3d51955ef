"""entropy floors from the logit range and from the norm, on the same rows"""
