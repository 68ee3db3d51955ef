"""Checkpoints of Hugging Face models: observed, dialled, guarded; what their weights alone say."""
