"""Runs the engine in this process, where a test needs many runs or a say in what happens during one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from confiture.core.commands import DownOptions, UpOptions, down, up
from confiture.core.db.connection import ConnectionTarget as Target
from confiture.core.db.connection import resolve_database
from confiture.errors import ConfitureError, Diagnostic, ExitCode
from confiture.files.settings import SettingsOverrides, load_settings
from confiture.models.events import Emitter, Event, Notice, RunFinished, SegmentRetried, StepFinished
from confiture.plan.project import load_project
from tests.support.projects import Project
from tests.support.servers import Database

SEGMENTS = """
    ddl:
      - name: table
        sql: CREATE TABLE t (id int)
    after_ddl:
      - name: rows
        sql: INSERT INTO t SELECT generate_series(1, 3)
      - name: index
        sql: CREATE INDEX CONCURRENTLY i ON t (id)
      - name: more rows
        sql: INSERT INTO t VALUES (4)
"""
"""Steps of a migration that commits twice on its way."""
Listener = Callable[[Event], None]


@dataclass
class Ran:
    """What a run did."""

    events: list[Event] = field(default_factory=list)
    error: ConfitureError | None = None

    @property
    def code(self) -> int:
        return int(self.error.exit_code) if self.error else int(ExitCode.DONE)

    @property
    def diagnostic(self) -> Diagnostic:
        assert self.error, "the run succeeded"
        return self.error.diagnostics[0]

    @property
    def diagnostics(self) -> Sequence[Diagnostic]:
        return self.error.diagnostics if self.error else ()

    @property
    def codes(self) -> list[str]:
        return [diagnostic.code for diagnostic in self.diagnostics]

    @property
    def notes(self) -> str:
        return "\n".join(event.text for event in self.events if isinstance(event, Notice))

    @property
    def retries(self) -> int:
        return sum(isinstance(event, SegmentRetried) for event in self.events)

    @property
    def outcome(self) -> str:
        return next(event.outcome.value for event in self.events if isinstance(event, RunFinished))

    @property
    def steps(self) -> list[tuple[str, str, str]]:
        """Phase, name and outcome of each step, in the order in which they ended."""
        ended = [event for event in self.events if isinstance(event, StepFinished)]
        return [(event.step.phase.value, event.step.name, event.outcome.value) for event in ended]

    def expect(self, code: int) -> Ran:
        assert self.code == code, f"exit {self.code}: {self.error and self.error.diagnostics} {self.notes}"
        return self


def migrate_up(project: Project, *listeners: Listener, url: str | None = None, **options: Any) -> Ran:
    """`confiture migrate up`; what listeners raise ends it, unless it is an Exception."""
    return _run(project, url, listeners, lambda loaded, target, emit: up(loaded, target, UpOptions(**options), emit))


def migrate_down(project: Project, *listeners: Listener, url: str | None = None, **options: Any) -> Ran:
    """`confiture migrate down`."""
    return _run(
        project, url, listeners, lambda loaded, target, emit: down(loaded, target, DownOptions(**options), emit)
    )


def dry_run(project: Project, *listeners: Listener, **options: Any) -> Ran:
    """`confiture migrate --dry-run`."""
    return migrate_up(project, *listeners, dry_run=True, **options)


def _run(project: Project, url: str | None, listeners: tuple[Listener, ...], work: Callable[..., None]) -> Ran:
    ran = Ran()
    settings = load_settings(project.root, SettingsOverrides(database=url or project.environ["DATABASE_URL"]), {})
    loaded = load_project(settings, {})

    def note(_: str) -> None:
        return None

    with resolve_database(settings, note) as target:
        assert isinstance(target, Target)
        try:
            work(loaded, target, Emitter(ran.events.append, *listeners))
        except ConfitureError as error:
            ran.error = error
    return ran


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Waits for a condition, long enough for the slowest machine."""
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.02)


def nothing_remains(database: Database) -> bool:
    """Whether the database is as empty as it was made, apart from the record of what failed."""
    if database.value("SELECT to_regclass('confiture.migrations')") is not None:
        recorded = "SELECT 1 FROM confiture.migrations UNION ALL SELECT 1 FROM confiture.journal"
        events = {event for (event,) in database.rows("SELECT event FROM confiture.history_events")}
        if database.rows(recorded) or not events & {"failed", "stopped"}:
            return False
    return database.rows("SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace") == []


def history(database: Database) -> list[tuple]:
    """Version and state of each row, none where there are no tables of ours."""
    if database.value("SELECT to_regclass('confiture.migrations')") is None:
        return []
    return database.rows("SELECT version, state FROM confiture.migrations ORDER BY position")
