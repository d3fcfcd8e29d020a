"""The schema types for YAML files, which read and check values, and generate JSON Schema."""
