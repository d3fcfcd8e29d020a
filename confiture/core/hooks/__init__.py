"""Python hooks: their base class, their connection, and their runner."""
