"""Schemas as pg_dump writes them: running the program, and reading its archive."""
