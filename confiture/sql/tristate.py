"""Three-valued answers about SQL that has not run."""

from __future__ import annotations

from enum import IntEnum


class Tristate(IntEnum):
    """An answer: yes, no, or unknown. Use `max` to combine answers if one yes is enough."""

    NO = 0
    UNKNOWN = 1
    """The text does not determine the answer."""
    YES = 2
