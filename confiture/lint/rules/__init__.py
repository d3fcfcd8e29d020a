"""The built-in rules. Each file contains one rule and has the same name as the rule."""
