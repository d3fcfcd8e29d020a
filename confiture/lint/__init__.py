"""Finds what is wrong with a schema and dangerous in migrations, before anything runs."""
