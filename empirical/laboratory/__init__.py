"""The reference model: configuration, tasks, training across penalties, the sweep and its store."""
