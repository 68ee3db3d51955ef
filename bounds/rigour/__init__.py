"""Rigorous values on Arb balls: enclosures of calculators, branch and bound."""
