"""how the least fidelity falls with the number of keys at a fixed margin"""
