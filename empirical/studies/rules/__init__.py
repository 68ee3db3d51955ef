"""rules injected, conflicting, reloaded and removed; attention mass guaranteed, compliance measured"""
