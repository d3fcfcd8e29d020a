"""The Python migrations and hooks of a project."""
