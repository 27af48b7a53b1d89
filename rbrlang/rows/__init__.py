"""What is in a row, whatever file or trainer it came from."""
