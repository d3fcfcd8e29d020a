"""Dry runs: execute a plan, roll it back, and report measurements, warnings and predictions."""
