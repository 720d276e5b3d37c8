"""veduta."""
