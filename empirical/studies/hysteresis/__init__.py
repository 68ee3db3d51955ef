"""The study `hysteresis`."""
