"""Access to PostgreSQL: connections, queries, locks and the history."""
