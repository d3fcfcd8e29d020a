"""Report rendering for terminals, JSON, HTML, and CI systems. This package never connects to a database."""
