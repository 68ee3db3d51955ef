"""Kinds of attention: what carries over from softmax rows (claim C11)."""
