"""The types of YAML files: they read, check and describe themselves as JSON Schema."""
