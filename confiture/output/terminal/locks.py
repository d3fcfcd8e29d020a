"""The locks of running migrations as tables."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table

from confiture.durations import format_duration
from confiture.models.locks import Blocker, RunningSession
from confiture.output.colors import BLOCKED_ACCESS_STYLES
from confiture.output.terminal.console import CleanText
from confiture.text import shorten_sql


def locks_table(sessions: Sequence[RunningSession], database: str) -> RenderableType:
    """Return each session with its locks (strongest first), the sessions that it blocks, and its blockers."""
    if not sessions:
        return CleanText(f"No migration holds or waits for a lock on {database}.")
    parts: list[RenderableType] = []
    for session in sessions:
        age = "" if session.transaction_ms is None else f" for {format_duration(session.transaction_ms)}"
        parts.append(
            CleanText(f"{session.application_name}, process {session.pid}, in a transaction{age}", style="bold")
        )
        parts.append(CleanText(f"  {session.state}: {_query_line(session.query)}", style="dim"))
        parts.append(_session_table(session))
        parts += [
            CleanText(
                f"  blocks {waiter.application_name or 'a session'} ({waiter.usename}, process {waiter.pid}) for"
                f" {format_duration(waiter.waited_ms)} on {waiter.target}: {_query_line(waiter.query)}",
                style="red",
            )
            for waiter in session.waiters
        ]
        parts += [
            CleanText(
                f"  waits for {blocker.application_name or 'a session'} ({_blocker_text(blocker)}):"
                f" {_query_line(blocker.query)}",
                style="yellow",
            )
            for blocker in session.blockers
        ]
    return Group(*parts)


def _blocker_text(blocker: Blocker) -> str:
    process = () if blocker.pid is None else (f"process {blocker.pid}",)
    return ", ".join(filter(None, (blocker.usename, *process, blocker.state)))


def _session_table(session: RunningSession) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("Relation", overflow="fold")
    table.add_column("Mode")
    table.add_column("State")
    table.add_column("Blocks")
    for lock in sorted(session.locks, key=lambda lock: (lock.granted, -lock.mode.strength, lock.relation)):
        state = CleanText("held") if lock.granted else CleanText("waiting", style="bold yellow")
        blocked = CleanText(lock.mode.blocked_access.value, style=BLOCKED_ACCESS_STYLES[lock.mode.blocked_access])
        table.add_row(CleanText(lock.relation), lock.mode.sql, state, blocked)
    return table


def _query_line(query: str | None) -> str:
    return shorten_sql(query or "", 100)
