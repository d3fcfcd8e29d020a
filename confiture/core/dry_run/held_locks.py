"""The locks held by a dry run's transaction, and how long the statements waited for them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import psycopg

from confiture.core.dry_run.counters import RelationNames, Row
from confiture.models.plan import Statement
from confiture.models.trace import LockMode, LockTrace

CONCURRENTLY_MODE = LockMode.SHARE_UPDATE_EXCLUSIVE
"""The table lock for statements with CONCURRENTLY, according to PostgreSQL's manual. At the end, DETACH acquires a
stronger one."""
_TEMPORARY_FILE = re.compile(r"LOG: temporary file: .*, size (\d+)")
_LOCK_WAIT = re.compile(
    r"LOG: process \d+ acquired (?P<mode>\w+) on (relation (?P<oid>\d+) )?.*after (?P<ms>[\d.]+) ms"
)


class HeldLocks:
    """The lock modes held on each relation at the last poll. Locks are held until the transaction ends."""

    def __init__(self, names: RelationNames) -> None:
        self._names = names
        self._modes: dict[int, int] = {}

    def add(self, rows: Iterable[Row]) -> None:
        """Store a statement's locks after tracing it."""
        for row in rows:
            self._modes[row["oid"]] = self._modes.get(row["oid"], 0) | row["modes"]

    def new_locks(
        self,
        rows: Iterable[Row],
        started_ms: float,
        statement: Statement,
        waits: Mapping[tuple[int, str], float],
    ) -> Iterable[LockTrace]:
        """Yield the locks that a statement has acquired since the last poll."""
        real_mode = CONCURRENTLY_MODE if statement.original_sql else None
        for row in rows:
            if row["oid"] not in self._names:
                continue
            name, kind = self._names[row["oid"]]
            new = row["modes"] & ~self._modes.get(row["oid"], 0)
            for mode in (mode for mode in LockMode if new & 1 << len(mode)):
                yield LockTrace(
                    relation=name,
                    kind=kind,
                    mode=mode,
                    acquired_ms=started_ms + waits.get((row["oid"], mode.value), 0.0),
                    released_ms=started_ms,
                    real_mode=real_mode if real_mode and mode.strength > real_mode.strength else None,
                )


@dataclass(frozen=True, slots=True)
class MessageFlags:
    """Whether the server sends messages about temporary files and lock waits.

    If it `may_hide_some`, a function can hide messages, so their absence shows nothing.
    """

    temp_files: bool
    lock_waits: bool
    may_hide_some: bool


@dataclass(frozen=True, slots=True)
class ServerMessages:
    """The server's messages about a statement: notices and, if they are visible, temporary files and lock waits."""

    notices: tuple[str, ...]
    temp_bytes: int | None
    waited_ms: float | None
    waits: Mapping[tuple[int, str], float]
    """Milliseconds waited, by relation OID and lock mode."""

    @classmethod
    def read(cls, messages: Iterable[tuple[str, str]], visibility: MessageFlags) -> ServerMessages:
        """Read messages with the source files that sent them: RAISE cannot pretend to be the server's own code."""
        sizes, waits, notices = [], [], []
        for source, text in messages:
            size = _TEMPORARY_FILE.match(text) if source == "fd.c" else None
            wait = _LOCK_WAIT.match(text) if source == "proc.c" else None
            sizes += [int(size[1])] if size else []
            waits += [wait] if wait else []
            notices += [] if text.startswith("LOG:") else [text]
        knows_sizes = visibility.temp_files and (sizes or not visibility.may_hide_some)
        knows_waits = visibility.lock_waits and (waits or not visibility.may_hide_some)
        return cls(
            notices=tuple(notices),
            temp_bytes=sum(sizes) if knows_sizes else None,
            waited_ms=sum(float(wait["ms"]) for wait in waits) if knows_waits else None,
            waits={(int(wait["oid"]), wait["mode"]): float(wait["ms"]) for wait in waits if wait["oid"]},
        )


class MessageLog:
    """The server's messages since the last statement, each with the server's source file that sent it."""

    def __init__(self) -> None:
        self._messages: list[tuple[str, str]] = []

    def collect(self, notice: psycopg.errors.Diagnostic) -> None:
        """Store a server message."""
        text = f"{notice.severity_nonlocalized}: {notice.message_primary}"
        self._messages.append((notice.source_file or "", text))

    def take(self) -> list[tuple[str, str]]:
        """Return the messages since the last call."""
        messages, self._messages = self._messages, []
        return messages
