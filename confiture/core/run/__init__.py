"""Plan execution: segments, commits, retries and resuming."""
