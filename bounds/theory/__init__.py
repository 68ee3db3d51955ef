"""Theorem, Hypothesis, Verdict; symbols, lemmas, and what row theorems share."""
