"""The JSON documents for the events of a history, and for the identity of a database."""

from __future__ import annotations

from typing import Any

from confiture.models.history_events import HistoryEvent
from confiture.output.json.document import with_schema_version
from confiture.output.json.objects import round_to_microseconds
from confiture.output.writer import HistorySummary, IdentitySummary


def history_document(summary: HistorySummary) -> dict[str, Any]:
    """Describe the events of a history, newest first: `migrate history`."""
    return with_schema_version("confiture.history") | {
        "environment": summary.environment,
        "database": summary.database,
        "project": summary.project,
        "events": [_event_object(event) for event in summary.events],
    }


def _event_object(event: HistoryEvent) -> dict[str, Any]:
    origin = event.origin
    return {
        "number": event.number,
        "at": event.at.isoformat(),
        "event": event.event,
        "environment": event.environment,
        "version": event.version,
        "name": event.name,
        "run": event.run,
        "attempt": event.attempt,
        "role": event.role,
        "os_user": origin.os_user,
        "host": origin.host,
        "process": origin.process,
        "ci_run": origin.ci_run,
        "ci_actor": origin.ci_actor,
        "commit": origin.commit,
        "dirty": origin.is_dirty,
        "tool_version": origin.tool_version,
        "reason": event.reason,
        "predicted_ms": round_to_microseconds(event.predicted_ms),
        "predicted_low_ms": round_to_microseconds(event.low_ms),
        "predicted_high_ms": round_to_microseconds(event.high_ms),
        "execution_time_ms": round_to_microseconds(event.duration_ms),
        "details": dict(event.details),
    }


def identity_document(summary: IdentitySummary) -> dict[str, Any]:
    """Describe the identities in a database: `identity show`."""
    return with_schema_version("confiture.identity") | {
        "environment": summary.environment,
        "database": summary.database,
        "project": summary.project,
        "schema": summary.resolution.schema_name,
        "search_path": list(summary.resolution.search_path),
        "identities": [
            {
                "project": identity.project,
                "target": identity.target,
                "environment": identity.environment,
                "declared": identity.is_declared,
                "protected": identity.is_protected,
                "schema": identity.resolution.schema_name,
                "search_path": list(identity.resolution.search_path),
                "since": identity.since.isoformat(),
                "set_by": identity.set_by,
            }
            for identity in summary.identities
        ],
    }
