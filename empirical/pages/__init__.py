"""Self-contained pages: a report of saved results, an explorer of the mathematics; no network, every text escaped."""
