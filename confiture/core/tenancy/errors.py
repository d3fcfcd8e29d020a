"""What is raised where the isolation of a query cannot be proved."""

from __future__ import annotations


class NotProvable(Exception):
    """It cannot be proved: why, and what would help."""

    def __init__(self, reason: str, hint: str | None = None) -> None:
        super().__init__(reason)
        self.reason, self.hint = reason, hint
