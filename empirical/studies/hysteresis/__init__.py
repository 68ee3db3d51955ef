"""penalty up and down again: both edges, predicted and met"""
