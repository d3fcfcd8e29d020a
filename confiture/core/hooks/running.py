"""Runs hooks: makes each one's context, lends it the session, and tells what it did or why it failed."""

from __future__ import annotations

import copy
import inspect
import linecache
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg

from confiture.core.database import Connection
from confiture.core.events import Emit
from confiture.core.failures import CheckNotMet, StepFailed, plain_failure
from confiture.core.hooks.connection import HookConnection, lent, still_open
from confiture.core.hooks.errors import HookRefused, LintingError
from confiture.core.hooks.filling import ReadOnly, hook_of, planned_fill
from confiture.core.hooks.hook import HookContext
from confiture.core.hooks.telling import NotesOfRun, progress_of, shown
from confiture.errors import ConfitureError, Diagnostic, Span
from confiture.files.access import shown_path
from confiture.files.modules import importing_from, line_in, talking
from confiture.models.calls import Call
from confiture.models.events import HookProgressed
from confiture.models.hooks import HookResult
from confiture.models.plan import PlannedHook, PlannedStep, Statement, StepId
from confiture.text import error_text, shortened

_LOGGERS = "confiture.hooks"
_MEND = "mend the hook or the data, then run again: nothing that it did is committed"
_CORRECT = "correct the migration or the data, then run again"
_CAUGHT = "the hook caught this and went on: only what stands in `with conn.transaction():` can fail by itself"
_BATCHED = "set `batched = True` on its class: batches commit by themselves, so it then runs apart from the transaction"


@dataclass(slots=True)
class Watched:
    """What was seen of a hook while it ran: the last of its statements, their time, and the time that watching took."""

    observe: Callable[[Statement, float], None]
    statements_ms: float = 0.0
    watching_ms: float = 0.0
    last: str | None = None
    caught: bool = False
    """Whether the hook went on after an error that had ended its transaction."""

    def seen(self, statement: Statement, duration_ms: float) -> None:
        """Takes in a statement that succeeded."""
        self.last = statement.text
        self.statements_ms += duration_ms
        started = time.perf_counter()
        self.observe(statement, duration_ms)
        self.watching_ms += (time.perf_counter() - started) * 1000


@dataclass(slots=True)
class HookRuns:
    """Runs the hooks of one run. `root` is the project's folder; `error` is why a migration failed, for on_error."""

    emit: Emit
    root: Path
    dry_run: bool
    error: Diagnostic | None = None
    _stats: dict[str, dict[str, Any]] = field(default_factory=dict)

    @contextmanager
    def as_before_if_it_fails(self, version: str) -> Iterator[None]:
        """What hooks told each other inside is forgotten where it fails: it is rolled back, and may be tried again."""
        former = _copied(self._stats.get(version, {}))
        try:
            yield
        except BaseException:
            self._stats[version] = former
            raise

    def run(
        self, connection: Connection, identity: StepId, step: PlannedStep, observe: Callable[[Statement, float], None]
    ) -> tuple[HookResult, float]:
        """Runs a hook in whatever transaction is open. `observe` is told of each of its statements.

        Gives its result, and the milliseconds of `observe`, which are not the hook's. Raises StepFailed, or what
        `observe` raises.
        """
        watched = Watched(observe)
        started = time.perf_counter()
        with still_open(connection, hook_of(step).name):
            result = self._run(connection, identity, step, watched, _refuse_to_fill)
            in_python_ms = (time.perf_counter() - started) * 1000 - watched.watching_ms - watched.statements_ms
            watched.seen(Statement(text=f"-- the hook's Python: {hook_of(step).name}", offset=0, node=""), in_python_ms)
        return result, watched.watching_ms

    def run_batched(
        self, connection: Connection, identity: StepId, step: PlannedStep, fill: Callable[[PlannedStep], int]
    ) -> HookResult:
        """Runs a hook apart from the migration's transaction, where it may only read, and fill once.

        `fill` runs the backfill that it asks for, and gives the rows that this wrote. Raises as `run` and `fill` do.
        """
        reading = ReadOnly(connection)
        filled: list[int] = []
        failed: list[BaseException] = []

        def fill_once(fields: Mapping[str, Any], call: Call) -> int:
            if filled:
                raise HookRefused("a hook fills once: how far it came is kept by step. Write another hook for the rest")
            filled.append(0)
            try:
                planned = planned_fill(step, fields, call, self.root)
                with reading.off():
                    filled[0] = fill(planned)
            except BaseException as error:
                failed.append(error)
                raise
            return filled[0]

        with reading.on():
            try:
                result = self._run(connection, identity, step, Watched(_unwatched), fill_once)
            except StepFailed:
                if failed and isinstance(failed[0], ConfitureError):
                    raise failed[0] from None
                raise
        if failed:
            # whatever the hook made of it: what is not filled must not be recorded as done
            raise failed[0]
        if result.rows_affected is None and filled:
            return replace(result, rows_affected=filled[0])
        return result

    def _run(
        self,
        connection: Connection,
        identity: StepId,
        step: PlannedStep,
        watched: Watched,
        fill: Callable[[Mapping[str, Any], Call], int],
    ) -> HookResult:
        hook = hook_of(step)
        stats = self._stats.setdefault(identity.version, {})
        context = self._context(hook, identity, stats, fill)
        with self._failures(step, hook, watched), self._logging(hook.name), lent(connection, watched.seen) as own:
            with importing_from(self.root), talking():
                returned = _executed(hook, own, context)
            watched.caught = True
            own.require_sound()
        result = returned or HookResult(identity.phase, hook.name)
        if result.rows_affected is None:
            result = replace(result, rows_affected=own.rows_written)
        stats |= result.stats
        return replace(result, stats=shown(result.stats))

    def _context(
        self,
        hook: PlannedHook,
        identity: StepId,
        stats: dict[str, Any],
        fill: Callable[[Mapping[str, Any], Call], int],
    ) -> HookContext:
        def progress(done: float, total: float | None) -> None:
            done, total = progress_of(done, total)
            self.emit(HookProgressed(step=identity, done=done, total=total))

        return HookContext(
            migration=hook.migration,
            direction=hook.direction,
            phase=identity.phase,
            dry_run=self.dry_run,
            environment=hook.environment,
            vars=hook.variables,
            stats=stats,
            logger=logging.getLogger(f"{_LOGGERS}.{hook.name}"),
            error=self.error,
            _progress=progress,
            _backfill=fill,
        )

    @contextmanager
    def _logging(self, name: str) -> Iterator[None]:
        """Shows what the hook's logger is given with the run."""
        logger = logging.getLogger(f"{_LOGGERS}.{name}")
        handler = NotesOfRun(self.emit, name)
        former = logger.level
        logger.addHandler(handler)
        if logger.getEffectiveLevel() > logging.INFO:
            logger.setLevel(logging.INFO)
        try:
            yield
        finally:
            logger.removeHandler(handler)
            logger.setLevel(former)

    @contextmanager
    def _failures(self, step: PlannedStep, hook: PlannedHook, watched: Watched) -> Iterator[None]:
        """Tells what the hook raises as its failure; what is raised to end the run passes."""
        try:
            yield
        except (StepFailed, KeyboardInterrupt):
            raise
        except psycopg.Error as error:
            told = plain_failure(error, f"the hook {hook.name!r} failed")
            detail = (f"the last statement before: {shortened(watched.last)}",) if watched.last else ()
            detail = (_CAUGHT,) if watched.caught else detail
            raise StepFailed(self._placed(step, hook, error, told, detail), error.sqlstate) from error
        except LintingError as error:
            message = f"the hook {hook.name!r} refuses the migration: {str(error) or type(error).__name__}"
            told = Diagnostic(code="linting-failed", message=message, hint=_CORRECT)
            raise CheckNotMet(self._placed(step, hook, error, told), None) from error
        except BaseException as error:
            # also what asyncio and sys.exit raise is the hook's own: only Ctrl-C ends the run
            message = f"the hook {hook.name!r} failed: {error_text(error)}"
            told = Diagnostic(code="hook-failed", message=message, hint=_MEND)
            raise StepFailed(self._placed(step, hook, error, told), None) from error

    def _placed(
        self,
        step: PlannedStep,
        hook: PlannedHook,
        error: BaseException,
        told: Diagnostic,
        detail: tuple[str, ...] = (),
    ) -> Diagnostic:
        """The diagnostic at the line of the hook's file where it failed; at the step's, where that is not known."""
        path = inspect.getsourcefile(hook.hook)
        line = line_in(path, error.__traceback__) if path else None
        if path is None or line is None:
            source = step.rendered.source.file
            return source.diagnostic(step.span, told.code, told.message, detail=(*told.detail, *detail), hint=told.hint)
        excerpt = linecache.getline(path, line).rstrip("\n")
        span = Span(path=shown_path(Path(path), self.root), line=line, column=len(excerpt) - len(excerpt.lstrip()) + 1)
        return replace(told, span=span, excerpt=excerpt or None, detail=(*told.detail, *detail))


def _copied(stats: Mapping[str, Any]) -> dict[str, Any]:
    """Stats, each copied in depth where that is possible: a lock or a connection is not."""
    copies = {}
    for name, value in stats.items():
        try:
            copies[name] = copy.deepcopy(value)
        except Exception:
            # the user's own objects may raise anything
            copies[name] = value
    return copies


def _executed(hook: PlannedHook, connection: HookConnection, context: HookContext) -> HookResult | None:
    returned = hook.hook().execute(connection, context)
    if returned is not None and not isinstance(returned, HookResult):
        raise TypeError(f"execute returns a HookResult or nothing, not {returned!r}")
    if isinstance(returned, HookResult) and returned.phase != context.phase:
        raise ValueError(f"the result is of {returned.phase}, the hook ran in {context.phase.value}")
    return returned


def _refuse_to_fill(fields: Mapping[str, Any], call: Call) -> int:
    raise HookRefused(f"context.backfill needs a hook that is batched: {_BATCHED}")


def _unwatched(statement: Statement, duration_ms: float) -> None:
    """Watches nothing."""
