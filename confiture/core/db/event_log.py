"""The events that one command writes to a history."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from psycopg.types.json import Jsonb

from confiture.core.db.charset import storable_text
from confiture.core.db.connection import Connection
from confiture.core.db.queries import query
from confiture.errors import Diagnostic
from confiture.files.event_origin import GitState, clean_text, read_event_origin
from confiture.models.history_events import EventOrigin, HistoryEventKind
from confiture.models.identity import WriteRequest
from confiture.models.plan import Plan, PlannedMigration
from confiture.models.predictions import Prediction
from confiture.models.settings import Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class NewEvent:
    """An event that is about to be written. Without `plan`, it is about the whole history.

    Without `duration_ms`, the duration is the sum of the durations of the attempt's segments.
    """

    kind: HistoryEventKind
    plan: PlannedMigration | None = None
    attempt: str | None = None
    prediction: Prediction | None = None
    duration_ms: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


class EventLog:
    """Writes the events of one command; all have the same `run`. Needs tables of the current format.

    The origin of the command is read once.
    """

    def __init__(self, settings: Settings, request: WriteRequest) -> None:
        self.settings = settings
        self._request = request
        self._run = str(uuid.uuid4())
        self._git: GitState | None = None

    def start(self) -> None:
        """Start git, which then runs in parallel with other work until `close` or the first event."""
        self._git = GitState(self.settings.root, self.settings.environ)

    def close(self) -> None:
        """End git if no event was written."""
        if self._git is not None:
            self._git.close()

    def wait(self) -> None:
        """Wait for git, at most two seconds, before a transaction that holds locks."""
        self._origin  # noqa: B018 (read on first use)

    def record(self, connection: Connection, event: NewEvent) -> None:
        """Insert an event in the open transaction, if any."""
        connection.execute(query("record_event"), self.parameters(connection, event))

    def record_planned(self, connection: Connection, plan: Plan) -> None:
        """Insert an event for each migration that a run is about to apply or revert."""
        event = NewEvent(kind=HistoryEventKind.PLANNED, details={"direction": plan.direction.value})
        migrations = {
            "versions": [migration.version for migration in plan.migrations],
            "names": [migration.migration.name for migration in plan.migrations],
        }
        connection.execute(query("record_planned"), self.parameters(connection, event) | migrations)

    def parameters(self, connection: Connection, event: NewEvent) -> dict[str, Any]:
        """Return an event as parameters for the internal queries."""
        plan, prediction, origin = event.plan, event.prediction, self._origin
        texts = {
            "os_user": origin.os_user,
            "host": origin.host,
            "ci_run": origin.ci_run,
            "ci_actor": origin.ci_actor,
            "reason": clean_text(self._request.reason or "", self.settings.environ) or None,
        }
        return {
            **self.settings.history.parameters,
            **{name: text and storable_text(connection, text) for name, text in texts.items()},
            "event": event.kind.value,
            "environment": self.settings.environment,
            "version": plan.version if plan else None,
            "name": plan.migration.name if plan else None,
            "run": self._run,
            "attempt": event.attempt,
            "process": origin.process,
            "commit": origin.commit,
            "is_dirty": origin.is_dirty,
            "tool_version": origin.tool_version,
            "predicted_ms": prediction.predicted_ms if prediction else None,
            "low_ms": prediction.low_ms if prediction else None,
            "high_ms": prediction.high_ms if prediction else None,
            "duration_ms": event.duration_ms,
            "details": Jsonb(_storable_value(connection, event.details)),
        }

    def describe_failure(self, diagnostics: Sequence[Diagnostic]) -> dict[str, Any]:
        """Return the first error of a failed migration as details of its event, without secrets."""
        first = diagnostics[0]
        message = clean_text(first.message, self.settings.environ)
        location = {"location": str(first.span)} if first.span else {}
        return {"code": first.code, "message": message, **location}

    @cached_property
    def _origin(self) -> EventOrigin:
        git = self._git or GitState(self.settings.root, self.settings.environ)
        return read_event_origin(git, self.settings.environ)


def _storable_value(connection: Connection, value: Any) -> Any:
    if isinstance(value, str):
        return storable_text(connection, value)
    if isinstance(value, Mapping):
        return {key: _storable_value(connection, item) for key, item in value.items()}
    return [_storable_value(connection, item) for item in value] if isinstance(value, list | tuple) else value
