"""Answers to questions about SQL that has not run."""

from __future__ import annotations

from enum import IntEnum


class Tristate(IntEnum):
    """Of several the greatest counts where one yes is enough."""

    NO = 0
    UNKNOWN = 1
    """The text does not tell: it depends on what nobody knows here."""
    YES = 2
