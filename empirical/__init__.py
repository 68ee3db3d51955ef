"""What is observed: the reference model, its training across penalties, and the checks of observed attention."""
