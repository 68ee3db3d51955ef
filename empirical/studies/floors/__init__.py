"""The study `floors`."""
