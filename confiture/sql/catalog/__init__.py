"""Construction of a catalog from DDL."""
