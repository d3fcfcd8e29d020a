"""Build a catalog from DDL."""
