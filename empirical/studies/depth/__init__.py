"""The study `depth`."""
