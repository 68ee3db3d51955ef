"""What attention rows show: statistics, their schema, files, streaming."""
