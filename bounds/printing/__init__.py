"""From sympy to what runs and what is proved: NumPy, Coq."""
