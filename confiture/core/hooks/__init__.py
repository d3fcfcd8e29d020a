"""Python hooks: the base class, the connection, and the runner."""
