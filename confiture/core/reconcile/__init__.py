"""Proves that a table equals its defining query: hashes first, group by group, then the rows that differ."""
