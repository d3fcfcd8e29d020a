"""Reading YAML, SQL, and Python files into frozen values, and writing new files."""
