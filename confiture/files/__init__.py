"""Reading of YAML, SQL and Python files into frozen values, and writing of new files."""
