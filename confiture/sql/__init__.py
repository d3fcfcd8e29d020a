"""The one door to PostgreSQL's parser."""
