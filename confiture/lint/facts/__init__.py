"""What rules ask of a statement and its schema."""
