"""Three-valued answers about SQL that has not run."""

from __future__ import annotations

from enum import IntEnum


class Tristate(IntEnum):
    """A yes, a no, or unknown. Use `max` to combine answers if one yes is enough."""

    NO = 0
    UNKNOWN = 1
    """The text does not decide it."""
    YES = 2
