"""Studies of the framework's mechanisms, each a prediction beside an observation."""
