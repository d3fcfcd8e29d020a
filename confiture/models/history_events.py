"""The events of a history: what happened to each migration, who did it, where, and why."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from confiture.models.records import record


class HistoryEventKind(StrEnum):
    """The kind of an event. The values are stored."""

    PLANNED = "planned"
    """A run is about to apply or revert the migration."""
    RESUMED = "resumed"
    """A run continues an interrupted migration."""
    APPLIED = "applied"
    UNDONE = "undone"
    FAILED = "failed"
    """The migration failed and was rolled back."""
    STOPPED = "stopped"
    """The migration failed after a commit. The next run resumes it."""
    BASELINED = "baselined"
    ADOPTED = "adopted"
    """The history of another project became this project's."""
    ACCEPTED = "accepted"
    IDENTIFIED = "identified"
    """`identity set` changed the identity of the database."""


@record(frozen=True, kw_only=True, slots=True)
class EventOrigin:
    """The origin of a command: the user and the machine, the CI job, and the state of the files. None if unknown.

    `ci_run` is the URL of the CI job, without credentials. `is_dirty` is whether the work tree differs from `commit`.
    """

    os_user: str | None = None
    host: str | None = None
    process: int | None = None
    ci_run: str | None = None
    ci_actor: str | None = None
    commit: str | None = None
    is_dirty: bool | None = None
    tool_version: str


@record(frozen=True, kw_only=True, slots=True)
class HistoryEvent:
    """One event. `number` increases, `run` is the same for all events of a command. Durations are in milliseconds."""

    number: int
    at: datetime
    event: str
    environment: str
    version: str | None
    name: str | None
    run: str
    attempt: str | None
    role: str
    origin: EventOrigin
    reason: str | None
    predicted_ms: float | None
    low_ms: float | None
    high_ms: float | None
    duration_ms: float | None
    details: Mapping[str, Any]
