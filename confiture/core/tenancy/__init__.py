"""Tenants: which tables are theirs, and whether queries keep them apart."""
