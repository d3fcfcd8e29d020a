"""The schema types of YAML files: they read and check values, and generate JSON Schema."""
