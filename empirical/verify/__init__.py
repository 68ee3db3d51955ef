"""The evidence on every theorem, and the adversaries that attack it."""
