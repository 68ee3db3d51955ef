"""The study `rules`."""
