"""Numbers in words, the same wherever people read them."""

from __future__ import annotations


def format_duration(milliseconds: float | None) -> str:
    """`0.4 ms`, `12 ms`, `1.2 s`, `3 min 05 s`, `26 h 40 min`; empty for None."""
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
    """The same within a sentence, where less than a millisecond is only said to be that."""
    return "under 1 ms" if milliseconds < 1 else format_duration(milliseconds)


def pluralize(number: int, noun: str, plural: str = "") -> str:
    """`1 row`, `20,000 rows`; `plural` is for nouns that take more than an s."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
