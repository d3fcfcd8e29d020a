"""Report the messages that PostgreSQL sends while a step runs: NOTICE, WARNING and INFO."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from confiture.core.db.connection import Connection
from confiture.models.events import Emit, Notice, ServerMessage
from confiture.models.plan import StepId
from confiture.text import pluralize

_SEVERITIES = frozenset({"NOTICE", "WARNING", "INFO"})
_MAX_MESSAGES = 50
"""The number of different messages of a step that are reported."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MessageFields:
    """A message of the server. psycopg's diagnostic is valid only while its handler runs."""

    severity: str
    message: str
    detail: str | None
    sqlstate: str | None


def read_message(diagnostic: psycopg.errors.Diagnostic) -> MessageFields | None:
    """Read a message of the server; None for one that is meant for its log."""
    severity = diagnostic.severity_nonlocalized or diagnostic.severity or ""
    if severity not in _SEVERITIES:
        return None
    return MessageFields(
        severity=severity,
        message=diagnostic.message_primary or "",
        detail=diagnostic.message_detail,
        sqlstate=diagnostic.sqlstate,
    )


class StepMessages:
    """The messages of one step: each different one is emitted once, the others are counted."""

    def __init__(self, step: StepId, emit: Emit) -> None:
        self._step = step
        self._emit = emit
        self._reported: set[MessageFields] = set()
        self._omitted = 0

    def add(self, message: MessageFields) -> None:
        """Emit a message, or count it."""
        if message in self._reported or len(self._reported) >= _MAX_MESSAGES:
            self._omitted += 1
            return
        self._reported.add(message)
        self._emit(
            ServerMessage(
                step=self._step,
                severity=message.severity,
                message=message.message,
                detail=message.detail,
                sqlstate=message.sqlstate,
            )
        )

    def finish(self) -> None:
        """Report how many messages were not emitted."""
        if self._omitted:
            count = pluralize(self._omitted, "more message")
            label = f"{self._step.version} {self._step.name}"
            self._emit(Notice(text=f"{label}: PostgreSQL sent {count}, repeated or beyond the first {_MAX_MESSAGES}"))


@contextmanager
def server_messages_reported(connection: Connection, step: StepId, emit: Emit) -> Iterator[None]:
    """Report the messages of a connection inside as those of a step."""
    messages = StepMessages(step, emit)

    def handle(diagnostic: psycopg.errors.Diagnostic) -> None:
        message = read_message(diagnostic)
        if message is not None:
            messages.add(message)

    connection.add_notice_handler(handle)
    try:
        yield
    finally:
        connection.remove_notice_handler(handle)
        messages.finish()
