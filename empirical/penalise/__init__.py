"""Group penalties on any torch module: solver with exact zeros, proximal steps, critical penalty."""
