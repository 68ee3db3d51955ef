"""The study `interference`."""
