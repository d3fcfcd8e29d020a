"""The events of a history."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from confiture.core.db.connection import READ_LOCK_TIMEOUT_MS, ConnectionTarget, connect_for_query, set_lock_timeout
from confiture.core.db.history_schema import read_format
from confiture.core.db.identity_store import check_identity
from confiture.core.db.queries import FIRST_WITH_EVENTS, query
from confiture.models.history_events import EventOrigin, HistoryEvent
from confiture.models.settings import Settings
from confiture.plan.migration_order import version_key


@dataclass(frozen=True, kw_only=True, slots=True)
class EventFilter:
    """The events to return: of one migration, of one kind, and not before `since`. None means all."""

    version: str | None = None
    event: str | None = None
    since: datetime | None = None


def read_events(settings: Settings, database: ConnectionTarget, event_filter: EventFilter) -> tuple[HistoryEvent, ...]:
    """Return the events of the project's history, newest first; none if the tables have a former format.

    Raise InputError if the settings do not belong to the database, and DatabaseUnavailable.
    """
    with connect_for_query(database, "history", "the history cannot be read") as connection:
        set_lock_timeout(connection, READ_LOCK_TIMEOUT_MS)
        if read_format(connection, only_reads=True) < FIRST_WITH_EVENTS:
            return ()
        check_identity(connection, settings)
        parameters = {
            **settings.history.parameters,
            "event": event_filter.event,
            "since": event_filter.since and event_filter.since.isoformat(),
        }
        events = map(_read_event, connection.execute(query("events"), parameters).fetchall())
        if event_filter.version is None:
            return tuple(events)
        # 4 and 004 are the same version
        key = version_key(event_filter.version)
        return tuple(event for event in events if event.version is not None and version_key(event.version) == key)


def _read_event(row: dict[str, Any]) -> HistoryEvent:
    origin_names = ("os_user", "host", "process", "ci_run", "ci_actor", "commit", "is_dirty", "tool_version")
    durations = {name: _finite(row[name]) for name in ("predicted_ms", "low_ms", "high_ms", "duration_ms")}
    names = ("number", "event", "environment", "version", "name", "run", "attempt", "role", "reason", "details")
    values: dict[str, Any] = {name: row[name] for name in names} | durations
    origin = EventOrigin(**{name: row[name] for name in origin_names})
    return HistoryEvent(**values, at=datetime.fromisoformat(row["at"]), origin=origin)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
