"""Lint: finds problems in schemas and hazards in migrations before anything runs."""
