"""From YAML and SQL files to frozen values, and back."""
