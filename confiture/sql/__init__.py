"""Parsing and analysis of SQL with PostgreSQL's parser. All other packages use the parser through this package."""
