"""NumPy forms printed from the theorems by `python -m bounds.printer`: plain arrays in, no validation."""
