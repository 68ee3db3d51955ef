"""Changes of attention: the dial at inference, the guard."""
