"""The error for a query whose tenant isolation cannot be proved."""

from __future__ import annotations


class NotProvable(Exception):
    """The isolation cannot be proved. The error contains the reason and a hint."""

    def __init__(self, reason: str, hint: str | None = None) -> None:
        super().__init__(reason)
        self.reason, self.hint = reason, hint
