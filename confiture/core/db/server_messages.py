"""Report NOTICE, WARNING and INFO messages that PostgreSQL sends while a step runs."""

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
"""The maximum number of distinct messages reported per step."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MessageFields:
    """A server message. psycopg's own diagnostic is valid only while the notice handler runs."""

    severity: str
    message: str
    detail: str | None
    sqlstate: str | None


def is_plan_message(diagnostic: psycopg.errors.Diagnostic) -> bool:
    """Whether auto_explain sent a message with a plan to the client only. SQL cannot send such a message."""
    return diagnostic.severity_nonlocalized == "INFO" and diagnostic.source_function == "explain_ExecutorEnd"


def read_message(diagnostic: psycopg.errors.Diagnostic) -> MessageFields | None:
    """Read a server message; return None for a message meant for the server log, or for the dry run."""
    severity = diagnostic.severity_nonlocalized or diagnostic.severity or ""
    if severity not in _SEVERITIES or is_plan_message(diagnostic):
        return None
    return MessageFields(
        severity=severity,
        message=diagnostic.message_primary or "",
        detail=diagnostic.message_detail,
        sqlstate=diagnostic.sqlstate,
    )


class StepMessages:
    """The messages from one step. Each distinct message is emitted once; the others are counted."""

    def __init__(self, step: StepId, emit: Emit) -> None:
        self._step = step
        self._emit = emit
        self._reported: set[MessageFields] = set()
        self._omitted = 0

    def add(self, message: MessageFields) -> None:
        """Emit or count a message."""
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
    """Report messages that the connection receives inside the context as messages from a step."""
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
