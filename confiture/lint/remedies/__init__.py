"""The SQL that rules propose instead."""
