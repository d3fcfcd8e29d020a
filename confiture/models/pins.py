"""The result of pinning migrations."""

from __future__ import annotations

from confiture.errors import Diagnostic
from confiture.models.records import record


@record(frozen=True, kw_only=True, slots=True)
class WrittenPin:
    """A pin that was written, and the file whose text it contains. Paths are relative to the project's root."""

    version: str
    name: str
    pin: str
    source: str


@record(frozen=True, kw_only=True, slots=True)
class PinResult:
    """The pins that were written, and the files that could not be pinned."""

    written: tuple[WrittenPin, ...]
    problems: tuple[Diagnostic, ...]
