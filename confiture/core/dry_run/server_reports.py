"""The server's reports about each statement of a dry run: temporary files, lock waits, notices, and plans.

Temporary files and lock waits arrive as messages with the level LOG; plans come from auto_explain. All of these need
privileges that only some roles have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import psycopg

from confiture.core.db.connection import Connection, fetch_named_row
from confiture.core.db.queries import query
from confiture.core.db.server_messages import is_plan_message
from confiture.core.dry_run.held_locks import MessageFlags, MessageLog, ServerMessages
from confiture.core.dry_run.plan_memory import PlanLog, read_default_limits
from confiture.models.plan import Statement
from confiture.models.trace import StatementMemory

_NO_PLANS = (psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedFile, psycopg.errors.UndefinedObject)
_DEFINES_FUNCTIONS = frozenset({"create_function_stmt", "alter_function_stmt", "drop_stmt", "do_stmt"})
_CALLS_FUNCTIONS = frozenset({"select_stmt", "do_stmt", "call_stmt"})
_RUNS_QUERIES = frozenset({"do_stmt", "call_stmt"})
"""Statements without a plan of their own, whose queries are reported only if they take long enough."""

TryExecute = Callable[..., object | None]
"""Runs SQL in a savepoint and returns None if it fails with one of the given errors."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StatementReport:
    """The server's reports about one statement."""

    messages: ServerMessages
    memory: StatementMemory


class ServerReports:
    """The server's reports since the last statement, and the settings that produce them."""

    def __init__(self, connection: Connection, try_execute: TryExecute) -> None:
        self._connection = connection
        self._try_execute = try_execute
        self._messages = MessageLog()
        self._visibility = MessageFlags(temp_files=False, lock_waits=False, may_hide_some=False)
        self._plans: PlanLog | None = None
        self._has_nested_plans = False

    def begin(self) -> None:
        """Load what reports plans, if the role may do so. Must be called once, in the transaction."""
        self._try_execute(query("load_auto_explain").decode(), *_NO_PLANS)

    def enable(self) -> None:
        """Have the server report temporary files, lock waits, and plans, as far as the role has the privileges."""
        temp_files, lock_waits = self._try_setting("log_temp_files = 0"), self._try_setting("log_lock_waits = on")
        self._visibility = MessageFlags(
            temp_files=temp_files, lock_waits=lock_waits, may_hide_some=self._has_hidden_messages()
        )
        reports_plans = (
            fetch_named_row(self._connection, "auto_explain_is_loaded")["loaded"]
            and self._try_execute(query("report_plans").decode(), *_NO_PLANS) is not None
        )
        self._plans = PlanLog(read_default_limits(self._connection)) if reports_plans else None
        self._has_nested_plans = False
        self.discard()

    def collect(self, message: psycopg.errors.Diagnostic) -> None:
        """Store a message from the server."""
        if not is_plan_message(message):
            self._messages.collect(message)
        elif self._plans is not None:
            self._plans.collect(message.message_primary or "")

    def prepare(self, statement: Statement) -> None:
        """Have the server report the plans of queries in functions too, if the statement may only call functions.

        Other statements may call functions or triggers for each row, and counting the rows of all queries in these
        takes time.
        """
        wanted = statement.node_kind in _CALLS_FUNCTIONS
        if self._plans is not None and wanted is not self._has_nested_plans:
            sql = f"SET LOCAL auto_explain.log_nested_statements = {wanted}"
            # The role that the migration has set may lack the privilege.
            if self._try_execute(sql, psycopg.errors.InsufficientPrivilege) is not None:
                self._has_nested_plans = wanted

    def discard(self) -> None:
        """Drop the reports on the dry run's own queries."""
        self._messages.take()
        if self._plans is not None:
            self._plans.pop()

    def take(self) -> PendingReport:
        """Return the reports since the last call. Must be called before the next query."""
        return PendingReport(
            messages=self._messages.take(),
            memory=self._plans.pop() if self._plans else None,
            visibility=self._visibility,
        )

    def restore(self, statement: Statement, settings: Mapping[str, Any]) -> None:
        """Enable reports again that the statement has disabled with RESET ALL, and find functions that hide some."""
        if settings["client_min_messages"] == "notice" and (self._visibility.temp_files or self._visibility.lock_waits):
            self.enable()
        elif statement.node_kind in _DEFINES_FUNCTIONS:
            self._visibility = replace(self._visibility, may_hide_some=self._has_hidden_messages())

    def _has_hidden_messages(self) -> bool:
        return bool(fetch_named_row(self._connection, "hides_messages")["hidden"])

    def _try_setting(self, setting: str) -> bool:
        """Try to make the server report temporary files or lock waits in English. Return whether it does."""
        in_english = query("messages_in_english").decode()
        sql = f"{in_english} SET LOCAL {setting}; SET LOCAL client_min_messages = log"
        return self._try_execute(sql, psycopg.errors.InsufficientPrivilege) is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class PendingReport:
    """The reports on a statement, before it is known whether the statement has hidden messages."""

    messages: list[tuple[str, str]]
    memory: StatementMemory | None
    visibility: MessageFlags

    def read(self, statement: Statement, settings: Mapping[str, Any], *, builds_indexes: bool) -> StatementReport:
        """Return the report, given the settings in force after the statement."""
        sees_log = settings["client_min_messages"] == "log" or settings["client_min_messages"].startswith("debug")
        visibility = replace(
            self.visibility,
            temp_files=self.visibility.temp_files and sees_log and settings["logs_temp_files"],
            lock_waits=self.visibility.lock_waits and sees_log and settings["logs_lock_waits"],
        )
        memory = self.memory or StatementMemory(
            limit_bytes=settings["maintenance_work_mem"] if builds_indexes else None
        )
        if self.memory and (builds_indexes or statement.node_kind in _RUNS_QUERIES):
            memory = replace(memory, is_lower_bound=True)
        return StatementReport(messages=ServerMessages.read(self.messages, visibility), memory=memory)
