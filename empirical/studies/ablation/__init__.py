"""whether attention mass is causal use: keys and values inside and outside the block taken away"""
