"""Events as JSON lines, one an event, written as it happens; docs/json.md describes them."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Any

from confiture.errors import Diagnostic, InputError
from confiture.models.events import Event
from confiture.models.findings import Finding
from confiture.models.isolation import ProvedStatement
from confiture.models.plan import StepId
from confiture.models.trace import RunWarning, StatementTrace
from confiture.report.machine import (
    diagnostic_object,
    finding_object,
    proved_object,
    statement_object,
    stats_object,
    warning_object,
)
from confiture.secrets import hide_in_document

_WORD_START = re.compile(r"(?<!^)(?=[A-Z])")


class EventFile:
    """A listener that writes each event as a line, in one write: who reads along, and who kills us, finds whole lines.

    `path` is made or emptied at once. Raises InputError where it cannot be; raises OSError from the call, with only
    whole lines in a regular file, where it cannot be written any more.
    """

    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        try:
            # a pipe that nobody empties must not hold up a migration: what cannot be written at once is an error
            self._file = os.open(path, flags | os.O_NONBLOCK, 0o666)
        except OSError as error:
            raise InputError(
                Diagnostic(
                    code="bad-option",
                    message=f"--events {path} cannot be written: {error.strerror}",
                    hint="--events names a file that you may write to, in a folder that exists, or a pipe that is read",
                )
            ) from error
        self._path = path
        self._is_regular = stat.S_ISREG(os.fstat(self._file).st_mode)

    def __enter__(self) -> EventFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    def __call__(self, event: Event) -> None:
        """Writes the line of an event."""
        left = memoryview(event_line(event, datetime.now(UTC)))
        start = os.lseek(self._file, 0, os.SEEK_CUR) if self._is_regular else None
        try:
            while left:
                left = left[os.write(self._file, left) :]
        except OSError as error:
            if start is not None:
                os.ftruncate(self._file, start)
            raise OSError(f"--events {self._path} ends before the run: {error.strerror}") from error


def event_line(event: Event, at: datetime) -> bytes:
    """An event as one line of ASCII, with its line end, without secrets."""
    return json.dumps(hide_in_document(event_object(event, at))).encode("ascii") + b"\n"


def event_object(event: Event, at: datetime) -> dict[str, Any]:
    """An event by its name, with when it happened and all that it tells."""
    return {"event": name_of(type(event)), "at": at.isoformat(timespec="milliseconds")} | _by_field(event)


def name_of(kind: type) -> str:
    """What machines know a kind of event by: `backfill_progressed`."""
    return _WORD_START.sub("_", kind.__name__).lower()


def _by_field(value: Any) -> dict[str, Any]:
    return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}


def _plain(value: Any) -> Any:
    """A value of an event as JSON has it; what the other documents hold is as it is there."""
    told = _OBJECTS.get(type(value))
    if told:
        return told(value)
    match value:
        case Enum():
            return value.value
        case float():
            return round(value, 3)
        case Mapping():
            return stats_object(value)
        case tuple():
            return [_plain(one) for one in value]
        case _ if is_dataclass(value):
            return _by_field(value)
    return value


def _step_object(step: StepId) -> dict[str, Any]:
    return {
        "version": step.version,
        "phase": step.phase.value,
        "number": step.number,
        "part": step.part,
        "segment": step.segment,
        "name": step.name,
        "file": step.span.path,
        "line": step.span.line,
    }


_OBJECTS: dict[type, Callable[[Any], dict[str, Any]]] = {
    Diagnostic: diagnostic_object,
    Finding: finding_object,
    ProvedStatement: proved_object,
    RunWarning: warning_object,
    StatementTrace: statement_object,
    StepId: _step_object,
}
