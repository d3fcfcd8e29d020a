"""Facts about a statement and its schema that rules use."""
