"""Talks to PostgreSQL: connections, queries, locks, the history."""
