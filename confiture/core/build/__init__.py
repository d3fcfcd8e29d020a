"""Builds the schema from the schema files."""
