"""The study `dial`."""
