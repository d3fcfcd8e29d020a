"""The schema of a database as facts: reading, comparing, and storing them."""
