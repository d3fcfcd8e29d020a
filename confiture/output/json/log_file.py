"""The log of runs: each event as a JSON line with its level and its run, appended to one file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any
from uuid import uuid4

from confiture.errors import Diagnostic, InputError
from confiture.models.events import (
    BatchRetried,
    Event,
    LintFinished,
    LockWaiting,
    OthersBlocked,
    Outcome,
    RunFinished,
    SegmentRetried,
    ServerMessage,
)
from confiture.output.json.events import event_document
from confiture.text import ascii_json

_WARNINGS = (SegmentRetried, BatchRetried, OthersBlocked, LockWaiting)


class LogFile:
    """A listener that appends each event as a line. Several runs, also at the same time, can share a file.

    Creating it opens the file and raises InputError if that fails. A call raises OSError if writing fails.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o640)
        except OSError as error:
            raise InputError(
                Diagnostic(
                    code="bad-option",
                    message=f"cannot write --log-file {path}: {error.strerror}",
                    hint="name a writable file in an existing folder",
                )
            ) from error
        self._path = path
        self._run = str(uuid4())

    def __enter__(self) -> LogFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    def __call__(self, event: Event) -> None:
        """Append the line of an event in a single write."""
        document: Mapping[str, Any] = event_document(event, datetime.now(UTC))
        line = ascii_json({"level": event_level(event), "run": self._run, **document}).encode("ascii") + b"\n"
        try:
            os.write(self._file, line)
        except OSError as error:
            raise OSError(f"--log-file {self._path} is incomplete: {error.strerror}") from error


def event_level(event: Event) -> str:
    """Return `error`, `warning`, or `info` for an event."""
    if isinstance(event, RunFinished):
        return "info" if event.outcome is Outcome.DONE else "error"
    if isinstance(event, LintFinished):
        return "warning" if any(finding.severity != "info" for finding in event.findings) else "info"
    if isinstance(event, ServerMessage):
        return "warning" if event.severity == "WARNING" else "info"
    return "warning" if isinstance(event, _WARNINGS) else "info"
