"""Renders reports: terminal, JSON, GitHub annotations, JUnit. Nothing here talks to a database."""
