"""The locks of running migrations, for people and for machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table

from confiture.models.locks import Blocker, RunningSession
from confiture.models.words import duration
from confiture.report.colours import BLOCKS
from confiture.report.machine import document
from confiture.report.objects import rounded, waiter_object
from confiture.report.terminal import Text
from confiture.text import shortened


def locks_view(sessions: Sequence[RunningSession], database: str) -> RenderableType:
    """Each session with its locks, the strongest first, whom it blocks, and who blocks it."""
    if not sessions:
        return Text(f"No migration holds or waits for a lock on {database}.")
    parts: list[RenderableType] = []
    for session in sessions:
        age = "" if session.transaction_ms is None else f" for {duration(session.transaction_ms)}"
        parts.append(Text(f"{session.application_name}, process {session.pid}, in a transaction{age}", style="bold"))
        parts.append(Text(f"  {session.state}: {_one_line(session.query)}", style="dim"))
        parts.append(_table(session))
        parts += [
            Text(
                f"  blocks {waiter.application_name or 'a session'} ({waiter.usename}, process {waiter.pid}) for"
                f" {duration(waiter.waited_ms)} on {waiter.target}: {_one_line(waiter.query)}",
                style="red",
            )
            for waiter in session.waiters
        ]
        parts += [
            Text(
                f"  waits for {blocker.application_name or 'a session'} ({_process(blocker)}):"
                f" {_one_line(blocker.query)}",
                style="yellow",
            )
            for blocker in session.blockers
        ]
    return Group(*parts)


def _process(blocker: Blocker) -> str:
    process = () if blocker.pid is None else (f"process {blocker.pid}",)
    return ", ".join(filter(None, (blocker.usename, *process, blocker.state)))


def _table(session: RunningSession) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("Relation", overflow="fold")
    table.add_column("Mode")
    table.add_column("State")
    table.add_column("Keeps out")
    for lock in sorted(session.locks, key=lambda lock: (lock.granted, -lock.mode.strength, lock.relation)):
        state = Text("held") if lock.granted else Text("waiting", style="bold yellow")
        keeps_out = Text(lock.mode.blocks.value, style=BLOCKS[lock.mode.blocks])
        table.add_row(Text(lock.relation), lock.mode.sql, state, keeps_out)
    return table


def _one_line(query: str | None) -> str:
    return shortened(query or "", 100)


def locks_document(sessions: Sequence[RunningSession], database: str) -> dict[str, Any]:
    """The same as JSON: `confiture locks --format json`."""
    return document("confiture.locks") | {
        "database": database,
        "sessions": [_session(session) for session in sessions],
    }


def _session(session: RunningSession) -> dict[str, Any]:
    return {
        "pid": session.pid,
        "application_name": session.application_name,
        "state": session.state,
        "query": session.query,
        "transaction_ms": rounded(session.transaction_ms),
        "locks": [
            {"relation": lock.relation, "mode": lock.mode.value, "granted": lock.granted} for lock in session.locks
        ],
        "waiters": [waiter_object(waiter) for waiter in session.waiters],
        "blockers": [_blocker(blocker) for blocker in session.blockers],
    }


def _blocker(blocker: Blocker) -> dict[str, Any]:
    return {
        "pid": blocker.pid,
        "usename": blocker.usename,
        "application_name": blocker.application_name,
        "state": blocker.state,
        "query": blocker.query,
        "transaction_ms": rounded(blocker.transaction_ms),
    }
