"""Anchors, redundancy and schedules designed before anything is trained."""
