"""Prove that a table equals its defining query: compare hashes by group, then the rows that differ."""
