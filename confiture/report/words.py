"""Numbers and places in words, the same in every format that people read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from confiture.models.findings import SEVERITIES, Finding
from confiture.models.settings import Severity

_NOUNS: Mapping[Severity, str] = {"error": "error", "warning": "warning", "info": "note"}


def duration(milliseconds: float | None) -> str:
    """`0.4 ms`, `12 ms`, `1.2 s`, `3 min 05 s`; empty for None."""
    if milliseconds is None:
        return ""
    if milliseconds < 9.95:
        return f"{milliseconds:.1f} ms"
    if milliseconds < 999.5:
        return f"{milliseconds:.0f} ms"
    if milliseconds < 59_950:
        return f"{milliseconds / 1000:.1f} s"
    minutes, seconds = divmod(round(milliseconds / 1000), 60)
    return f"{minutes} min {seconds:02d} s"


def duration_in_prose(milliseconds: float) -> str:
    """The same within a sentence, where less than a millisecond is only said to be that."""
    return "under 1 ms" if milliseconds < 1 else duration(milliseconds)


def count(number: int, noun: str) -> str:
    """`1 row`, `20,000 rows`."""
    return f"{number:,} {noun if number == 1 else noun + 's'}"


def counted(findings: Sequence[Finding]) -> str:
    """`2 errors and 1 warning`; `Nothing found`."""
    found = [(severity, sum(one.severity == severity for one in findings)) for severity in SEVERITIES]
    parts = [count(number, _NOUNS[severity]) for severity, number in found if number]
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts) or "Nothing found"


def rows(number: int | None) -> str:
    """A number of rows with thousands set apart; empty for None."""
    return "" if number is None else f"{number:,}"


def byte_size(number: int) -> str:
    """`512 B`, `1.2 MB`; powers of 1024."""
    size = float(number)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TB"
