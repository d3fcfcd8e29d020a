"""Parsing and analysis of SQL with PostgreSQL's parser. All other packages reach the parser through this one."""
