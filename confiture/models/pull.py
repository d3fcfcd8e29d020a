"""The result of `confiture pull`."""

from __future__ import annotations

from confiture.models.records import record


@record(frozen=True, kw_only=True, slots=True)
class PullResult:
    """The files that were written, with paths for display, and sentences about what they do not contain."""

    database: str
    folder: str
    files: tuple[str, ...]
    notes: tuple[str, ...] = ()
