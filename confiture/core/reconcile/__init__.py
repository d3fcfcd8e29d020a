"""Prove that a table equals its defining query: compare hashes by group, then the differing rows."""
