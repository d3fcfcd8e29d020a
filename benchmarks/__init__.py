"""Benchmarks: whole processes, side by side with other programs that do the same work."""
