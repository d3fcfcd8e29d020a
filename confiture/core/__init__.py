"""The engine: connections, state, lock, runner."""
