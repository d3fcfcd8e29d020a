"""Rendering of reports: terminal, JSON, HTML, CI formats. Nothing here connects to a database."""
