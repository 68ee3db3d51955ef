"""A configuration and every threshold that it determines."""
