"""A project's Python migrations and hooks."""
