"""Verdicts: observed rows against theorems, the witness rows that keep constants honest, requirements."""
