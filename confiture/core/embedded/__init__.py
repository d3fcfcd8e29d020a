"""A project's embedded PostgreSQL server."""
