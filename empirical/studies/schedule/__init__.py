"""The study `schedule`."""
