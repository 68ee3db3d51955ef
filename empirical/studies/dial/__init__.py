"""loss, fidelity and entropy along the dial of one trained model; a dial of each query's own; in training"""
