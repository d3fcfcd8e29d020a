"""The locks of running migrations as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from confiture.models.locks import Blocker, RunningSession
from confiture.output.json.document import with_schema_version
from confiture.output.json.objects import round_to_microseconds, waiter_object


def locks_document(sessions: Sequence[RunningSession], database: str) -> dict[str, Any]:
    """Return the document for `confiture locks --format json`."""
    return with_schema_version("confiture.locks") | {
        "database": database,
        "sessions": [_session_object(session) for session in sessions],
    }


def _session_object(session: RunningSession) -> dict[str, Any]:
    return {
        "pid": session.pid,
        "application_name": session.application_name,
        "state": session.state,
        "query": session.query,
        "transaction_ms": round_to_microseconds(session.transaction_ms),
        "locks": [
            {"relation": lock.relation, "mode": lock.mode.value, "granted": lock.granted} for lock in session.locks
        ],
        "waiters": [waiter_object(waiter) for waiter in session.waiters],
        "blockers": [_blocker_object(blocker) for blocker in session.blockers],
    }


def _blocker_object(blocker: Blocker) -> dict[str, Any]:
    return {
        "pid": blocker.pid,
        "usename": blocker.usename,
        "application_name": blocker.application_name,
        "state": blocker.state,
        "query": blocker.query,
        "transaction_ms": round_to_microseconds(blocker.transaction_ms),
    }
