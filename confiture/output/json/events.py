"""Events as JSON lines, written as they happen; docs/json.md describes them.

Event names and fields are a wire format, version 1. They are literals in this module, independent of the Python names
of classes and fields.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from confiture.errors import Diagnostic, InputError
from confiture.files.access import open_named_file
from confiture.models import events
from confiture.models.events import Event
from confiture.models.tenancy_proofs import IsolationReport
from confiture.output.json.objects import (
    diagnostics_list,
    estimate_object,
    finding_object,
    proved_statement_object,
    round_to_microseconds,
    server_message_fields,
    statement_object,
    stats_object,
    step_object,
    waiter_object,
    warning_object,
)
from confiture.text import ascii_json


class EventWriter:
    """A listener that writes each event as a line.

    Each line is a single write, so that readers see only whole lines, even if the process is killed.

    Creating a writer creates or truncates `path` and raises InputError if that fails. A call raises OSError if the file
    can no longer be written; a regular file then still contains only whole lines.
    """

    def __init__(self, path: Path) -> None:
        try:
            # a pipe without a reader must not block a migration
            self._file = open_named_file(path)
        except OSError as error:
            raise InputError(
                Diagnostic(
                    code="bad-option",
                    message=f"cannot write --events {path}: {error.strerror}",
                    hint="name a writable file in an existing folder, or a pipe with a reader",
                )
            ) from error
        self._path = path
        self._is_regular = stat.S_ISREG(os.fstat(self._file).st_mode)

    def __enter__(self) -> EventWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    def __call__(self, event: Event) -> None:
        """Write the line of an event."""
        remainder = memoryview(event_line(event, datetime.now(UTC)))
        start = os.lseek(self._file, 0, os.SEEK_CUR) if self._is_regular else None
        try:
            while remainder:
                remainder = remainder[os.write(self._file, remainder) :]
        except OSError as error:
            if start is not None:
                os.ftruncate(self._file, start)
            raise OSError(f"--events {self._path} is incomplete: {error.strerror}") from error


def event_line(event: Event, at: datetime) -> bytes:
    """Return an event as one ASCII line with a trailing newline, without secrets."""
    return ascii_json(event_document(event, at)).encode("ascii") + b"\n"


def event_document(event: Event, at: datetime) -> dict[str, Any]:
    """Return the name, time, and fields of an event."""
    name, fields = EVENT_NAMES_AND_FIELDS[type(event)]
    return {"event": name, "at": at.isoformat(timespec="milliseconds")} | fields(event)


def _run_started(event: events.RunStarted) -> dict[str, Any]:
    return {
        "direction": event.direction.value,
        "dry_run": event.dry_run,
        "environment": event.environment,
        "database": event.database,
        "migrations": list(event.migrations),
        "steps": event.steps,
    }


def _lint_finished(event: events.LintFinished) -> dict[str, Any]:
    return {"findings": [finding_object(finding) for finding in event.findings]}


def _lock_waiting(event: events.LockWaiting) -> dict[str, Any]:
    return {"holder": event.holder}


def _migration_started(event: events.MigrationStarted) -> dict[str, Any]:
    return {"version": event.version, "name": event.name, "resumed_after": event.resumed_after}


def _step_started(event: events.StepStarted) -> dict[str, Any]:
    return {"step": step_object(event.step)}


def _step_finished(event: events.StepFinished) -> dict[str, Any]:
    return {
        "step": step_object(event.step),
        "outcome": event.outcome.value,
        "duration_ms": round_to_microseconds(event.duration_ms),
        "rows": event.rows,
        "note": event.note,
        "stats": stats_object(event.stats),
    }


def _segment_retried(event: events.SegmentRetried) -> dict[str, Any]:
    return {
        "version": event.version,
        "segment": event.segment,
        "attempt": event.attempt,
        "attempts": event.attempts,
        "wait_ms": round_to_microseconds(event.wait_ms),
        "reason": event.reason,
    }


def _backfill_progressed(event: events.BackfillProgressed) -> dict[str, Any]:
    return {
        "step": step_object(event.step),
        "elapsed_s": round_to_microseconds(event.elapsed_s),
        "source_rows": event.source_rows,
        "written_rows": event.written_rows,
        "batches": event.batches,
        "estimated_rows": event.estimated_rows,
        "batch_rows": event.batch_rows,
        "rows_per_s": round_to_microseconds(event.rows_per_s),
        "remaining_s": round_to_microseconds(event.remaining_s),
        "waiting_for": event.waiting_for,
    }


def _hook_progressed(event: events.HookProgressed) -> dict[str, Any]:
    return {
        "step": step_object(event.step),
        "done": round_to_microseconds(event.done),
        "total": round_to_microseconds(event.total),
    }


def _batch_retried(event: events.BatchRetried) -> dict[str, Any]:
    return {
        "step": step_object(event.step),
        "rows": event.rows,
        "attempt": event.attempt,
        "attempts": event.attempts,
        "wait_ms": round_to_microseconds(event.wait_ms),
        "reason": event.reason,
    }


def _others_blocked(event: events.OthersBlocked) -> dict[str, Any]:
    return {
        "version": event.version,
        "segment": event.segment,
        "waiters": [waiter_object(waiter) for waiter in event.waiters],
        "over_budget": event.over_budget,
    }


def _dry_run_finished(event: events.DryRunFinished) -> dict[str, Any]:
    return {
        "statements": [statement_object(statement) for statement in event.statements],
        "warnings": [warning_object(warning) for warning in event.warnings],
        "leftovers": list(event.leftovers),
        "estimate": estimate_object(event.estimate) if event.estimate else None,
        "isolation": _isolation(event.isolation) if event.isolation else None,
    }


def _isolation(report: IsolationReport) -> dict[str, Any]:
    return {
        "database": report.database,
        "environment": report.environment,
        "column": report.column,
        "statements": [proved_statement_object(statement) for statement in report.statements],
    }


def _server_message(event: events.ServerMessage) -> dict[str, Any]:
    return {"step": step_object(event.step)} | server_message_fields(event)


def _notice(event: events.Notice) -> dict[str, Any]:
    return {"text": event.text}


def _migration_finished(event: events.MigrationFinished) -> dict[str, Any]:
    return {
        "version": event.version,
        "outcome": event.outcome.value,
        "duration_ms": round_to_microseconds(event.duration_ms),
    }


def _run_finished(event: events.RunFinished) -> dict[str, Any]:
    return {
        "outcome": event.outcome.value,
        "duration_ms": round_to_microseconds(event.duration_ms),
        "diagnostics": diagnostics_list(event.diagnostics),
    }


EVENT_NAMES_AND_FIELDS: Mapping[type, tuple[str, Callable[[Any], dict[str, Any]]]] = {
    events.RunStarted: ("run_started", _run_started),
    events.LintFinished: ("linted", _lint_finished),
    events.LockWaiting: ("lock_waiting", _lock_waiting),
    events.MigrationStarted: ("migration_started", _migration_started),
    events.StepStarted: ("step_started", _step_started),
    events.StepFinished: ("step_finished", _step_finished),
    events.SegmentRetried: ("segment_retried", _segment_retried),
    events.BackfillProgressed: ("backfill_progressed", _backfill_progressed),
    events.HookProgressed: ("hook_progressed", _hook_progressed),
    events.BatchRetried: ("batch_retried", _batch_retried),
    events.OthersBlocked: ("blocked", _others_blocked),
    events.DryRunFinished: ("rehearsed", _dry_run_finished),
    events.ServerMessage: ("server_message", _server_message),
    events.Notice: ("noted", _notice),
    events.MigrationFinished: ("migration_finished", _migration_finished),
    events.RunFinished: ("run_finished", _run_finished),
}
"""The name and the fields of each event class."""
