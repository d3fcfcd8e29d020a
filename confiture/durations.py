"""Formatting durations for output, and parsing durations in files and options."""

from __future__ import annotations

import re

UNIT_MS = {"ms": 1, "s": 1_000, "min": 60_000, "h": 3_600_000}
"""The supported units in milliseconds."""
DURATION_PATTERN = rf"[0-9]+(\.[0-9]+)?\s*({'|'.join(UNIT_MS)})"
"""A regular expression for a duration other than 0, valid in Python and in JSON Schema."""
_DURATION = re.compile(DURATION_PATTERN)
_LONGEST_DURATION_MS = 2**53
_MAX_DECIMALS = 20


def format_duration(milliseconds: float | None) -> str:
    """Return `0.4 ms`, `12 ms`, `1.2 s`, `3 min 05 s` or `26 h 40 min`; empty for None."""
    if milliseconds is None:
        return ""
    if milliseconds < 9.95:
        return f"{milliseconds:.1f} ms"
    if milliseconds < 999.5:
        return f"{milliseconds:.0f} ms"
    if milliseconds < 59_950:
        return f"{milliseconds / 1000:.1f} s"
    minutes, seconds = divmod(round(milliseconds / 1000), 60)
    if minutes < 60:
        return f"{minutes} min {seconds:02d} s"
    hours, minutes = divmod(round(milliseconds / 60_000), 60)
    return f"{hours} h {minutes:02d} min"


def format_duration_long(milliseconds: float) -> str:
    """Return a duration for use in a sentence: as `format_duration`, but `under 1 ms` for less than a millisecond."""
    return "under 1 ms" if milliseconds < 1 else format_duration(milliseconds)


def parse_duration_ms(text: str) -> int | None:
    """Parse `0`, `500ms`, `2s`, `1.5min` or `1h` into milliseconds; return None if the text is not a duration."""
    from fractions import Fraction

    text = text.strip()
    if text == "0":
        return 0
    match = _DURATION.fullmatch(text)
    if match is None:
        return None
    # check the number of digits first: parsing millions of digits is slow
    number, unit = match[0][: match.start(2)].rstrip(), match[2]
    whole, _, part = number.partition(".")
    if len(whole.lstrip("0")) > len(str(_LONGEST_DURATION_MS)):
        return _LONGEST_DURATION_MS
    milliseconds = round(Fraction(f"{whole}.{part[:_MAX_DECIMALS] or 0}") * UNIT_MS[unit])
    return min(milliseconds, _LONGEST_DURATION_MS)


def duration_literal(milliseconds: int) -> str:
    """Format milliseconds for `parse_duration_ms` in the largest unit that gives an integer, such as `2s`."""
    unit = next((unit for unit in ("h", "min", "s") if milliseconds and milliseconds % UNIT_MS[unit] == 0), "ms")
    return f"{milliseconds // UNIT_MS[unit]}{unit}" if milliseconds else "0"
