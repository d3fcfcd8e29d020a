"""The engine of lint: what rules are, what they judge, and how their violations become findings."""
