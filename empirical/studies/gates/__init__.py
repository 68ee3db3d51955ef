"""penalties on gates of attention: exact zeros, ceilings and prices predicted, levels proved by enclosures"""
