"""The linter, which finds schema problems and migration hazards before anything runs."""
