"""what tokens outside a block can change of it: nothing at dial 1, the depth sum below"""
