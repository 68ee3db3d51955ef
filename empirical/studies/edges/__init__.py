"""The study `edges`."""
