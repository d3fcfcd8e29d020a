"""Frozen values that travel between the layers. They know no file, no database and no terminal."""
