"""Rules as data: checked before they are loaded, injected as a change of logits."""
