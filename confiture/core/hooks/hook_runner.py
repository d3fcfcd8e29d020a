"""Run hooks: create the context, lend each hook the session, and report its result or failure."""

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

from confiture.core.db.connection import Connection
from confiture.core.db.errors import CheckNotSatisfied, StepFailed, db_error_diagnostic
from confiture.core.hooks.connection import HookConnection, borrow_connection, guard_transaction
from confiture.core.hooks.errors import HookRefused, LintingError
from confiture.core.hooks.hook import HookContext
from confiture.core.hooks.hook_backfill import ReadOnlyMode, plan_hook_backfill, require_hook
from confiture.core.hooks.hook_output import RunNotes, parse_progress, to_json_value
from confiture.errors import ConfitureError, Diagnostic, Span
from confiture.files.access import display_path
from confiture.files.python.modules import extended_sys_path, stdout_to_stderr, traceback_line
from confiture.models.call_sites import CallSite
from confiture.models.events import Emit, HookProgressed
from confiture.models.hooks import HookResult
from confiture.models.plan import PlannedHook, PlannedStep, Statement, StepId
from confiture.text import error_text, shorten_sql

_LOGGERS = "confiture.hooks"
_FIX_HOOK = "fix the hook or the data, then run again; nothing that the hook did is committed"
_CORRECT = "correct the migration or the data, then run again"
_CAUGHT = "the hook caught this error and continued, but only code in `with conn.transaction():` can fail separately"
_BATCHED = "set `batched = True` on its class; the hook then runs outside the transaction, because each batch commits"


@dataclass(slots=True)
class HookObservation:
    """Observes a running hook: its last statement, the time spent in statements, and the time spent observing."""

    after_statement: Callable[[Statement, float], None]
    statements_ms: float = 0.0
    observing_ms: float = 0.0
    last_statement: str | None = None
    has_returned: bool = False
    """Whether the hook returned. A later error is one that the hook had caught."""

    def note_return(self) -> None:
        """Record that the hook returned."""
        self.has_returned = True

    def record(self, statement: Statement, duration_ms: float) -> None:
        """Record a successful statement."""
        self.last_statement = statement.text
        self.statements_ms += duration_ms
        started = time.perf_counter()
        self.after_statement(statement, duration_ms)
        self.observing_ms += (time.perf_counter() - started) * 1000


@dataclass(slots=True)
class HookRunner:
    """Runs the hooks of one run. `root` is the project directory."""

    emit: Emit
    root: Path
    dry_run: bool
    _failure: Diagnostic | None = None
    _stats: dict[str, dict[str, Any]] = field(default_factory=dict)

    def note_failure(self, failure: Diagnostic) -> None:
        """Store the reason that the migration failed, for on_error hooks."""
        self._failure = failure

    @contextmanager
    def restore_stats_on_error(self, version: str) -> Iterator[None]:
        """Restore the shared stats if the code inside the context fails: it is rolled back and may be retried."""
        former = _copy_stats(self._stats.get(version, {}))
        try:
            yield
        except BaseException:
            self._stats[version] = former
            raise

    def run(
        self,
        connection: Connection,
        identity: StepId,
        step: PlannedStep,
        after_statement: Callable[[Statement, float], None],
    ) -> tuple[HookResult, float]:
        """Run a hook in the open transaction, if any. `after_statement` receives each statement that the hook runs.

        Return the hook's result and the milliseconds spent in `after_statement`, which do not count toward the hook.
        Raise StepFailed, and any exception from `after_statement`.
        """
        observation = HookObservation(after_statement)
        started = time.perf_counter()
        with guard_transaction(connection, require_hook(step).name):
            result = self._run_hook(connection, identity, step, observation, _reject_backfill)
            in_python_ms = (time.perf_counter() - started) * 1000 - observation.observing_ms - observation.statements_ms
            observation.record(
                Statement(text=f"-- the hook's Python: {require_hook(step).name}", offset=0, node_kind=""), in_python_ms
            )
        return result, observation.observing_ms

    def run_batched(
        self, connection: Connection, identity: StepId, step: PlannedStep, run_backfill: Callable[[PlannedStep], int]
    ) -> HookResult:
        """Run a hook outside the migration's transaction. The hook can only read, and run one backfill.

        `run_backfill` runs the requested backfill and returns the number of rows written. Raise the same errors as
        `run` and `run_backfill`.
        """
        read_only = ReadOnlyMode(connection)
        row_counts: list[int] = []
        errors: list[BaseException] = []

        def fill_once(fields: Mapping[str, Any], call: CallSite) -> int:
            if row_counts:
                raise HookRefused(
                    "a hook can run only one backfill, because progress is stored per step; write another hook"
                )
            row_counts.append(0)
            try:
                planned = plan_hook_backfill(step, fields, call, self.root)
                with read_only.disabled():
                    row_counts[0] = run_backfill(planned)
            except BaseException as error:
                errors.append(error)
                raise
            return row_counts[0]

        with read_only.enabled():
            try:
                result = self._run_hook(connection, identity, step, HookObservation(_ignore_statement), fill_once)
            except StepFailed:
                if errors and isinstance(errors[0], ConfitureError):
                    raise errors[0] from None
                raise
        if errors:
            # Raise even if the hook caught the error, because an incomplete backfill must not be recorded as done.
            raise errors[0]
        if result.rows_affected is None and row_counts:
            return replace(result, rows_affected=row_counts[0])
        return result

    def _run_hook(
        self,
        connection: Connection,
        identity: StepId,
        step: PlannedStep,
        observation: HookObservation,
        request_backfill: Callable[[Mapping[str, Any], CallSite], int],
    ) -> HookResult:
        hook = require_hook(step)
        stats = self._stats.setdefault(identity.version, {})
        context = self._build_context(hook, identity, stats, request_backfill)
        with (
            self._errors_translated(step, hook, observation),
            self._logs_forwarded(hook.name),
            borrow_connection(connection, observation.record) as own,
        ):
            with extended_sys_path(self.root), stdout_to_stderr():
                returned = _execute_hook(hook, own, context)
            observation.note_return()
            own.check_usable()
        result = returned or HookResult(identity.phase, hook.name)
        if result.rows_affected is None:
            result = replace(result, rows_affected=own.rows_written)
        stats |= result.stats
        return replace(result, stats=to_json_value(result.stats))

    def _build_context(
        self,
        hook: PlannedHook,
        identity: StepId,
        stats: dict[str, Any],
        request_backfill: Callable[[Mapping[str, Any], CallSite], int],
    ) -> HookContext:
        def progress(done: float, total: float | None) -> None:
            done, total = parse_progress(done, total)
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
            error=self._failure,
            _progress=progress,
            _backfill=request_backfill,
        )

    @contextmanager
    def _logs_forwarded(self, name: str) -> Iterator[None]:
        """Forward the hook's log messages to the run."""
        logger = logging.getLogger(f"{_LOGGERS}.{name}")
        handler = RunNotes(self.emit, name)
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
    def _errors_translated(self, step: PlannedStep, hook: PlannedHook, observation: HookObservation) -> Iterator[None]:
        """Translate the hook's exceptions to step failures; let exceptions that end the run pass."""
        try:
            yield
        except (StepFailed, KeyboardInterrupt):
            raise
        except psycopg.Error as error:
            diagnostic = db_error_diagnostic(error, f"the hook {hook.name!r} failed")
            detail = (
                (f"the last statement before the error: {shorten_sql(observation.last_statement)}",)
                if observation.last_statement
                else ()
            )
            detail = (_CAUGHT,) if observation.has_returned else detail
            raise StepFailed(self._locate_diagnostic(step, hook, error, diagnostic, detail), error.sqlstate) from error
        except LintingError as error:
            message = f"the hook {hook.name!r} rejected the migration: {str(error) or type(error).__name__}"
            diagnostic = Diagnostic(code="linting-failed", message=message, hint=_CORRECT)
            raise CheckNotSatisfied(self._locate_diagnostic(step, hook, error, diagnostic), None) from error
        except BaseException as error:
            # Exceptions from asyncio and sys.exit are also hook failures. Only Ctrl-C ends the run.
            message = f"the hook {hook.name!r} failed: {error_text(error)}"
            diagnostic = Diagnostic(code="hook-failed", message=message, hint=_FIX_HOOK)
            raise StepFailed(self._locate_diagnostic(step, hook, error, diagnostic), None) from error

    def _locate_diagnostic(
        self,
        step: PlannedStep,
        hook: PlannedHook,
        error: BaseException,
        diagnostic: Diagnostic,
        detail: tuple[str, ...] = (),
    ) -> Diagnostic:
        """Return the diagnostic located at the failing line in the hook's file, or at the step if it is unknown."""
        path = inspect.getsourcefile(hook.hook)
        line = traceback_line(path, error.__traceback__) if path else None
        if path is None or line is None:
            source = step.rendered.source.file
            return source.diagnostic(
                step.span,
                diagnostic.code,
                diagnostic.message,
                detail=(*diagnostic.detail, *detail),
                hint=diagnostic.hint,
            )
        excerpt = linecache.getline(path, line).rstrip("\n")
        span = Span(
            path=display_path(Path(path), self.root), line=line, column=len(excerpt) - len(excerpt.lstrip()) + 1
        )
        return replace(diagnostic, span=span, excerpt=excerpt or None, detail=(*diagnostic.detail, *detail))


def _copy_stats(stats: Mapping[str, Any]) -> dict[str, Any]:
    """Return a deep copy of the stats where possible. Locks and connections cannot be copied."""
    copies = {}
    for name, value in stats.items():
        try:
            copies[name] = copy.deepcopy(value)
        except Exception:
            # The user's own objects may raise any exception.
            copies[name] = value
    return copies


def _execute_hook(hook: PlannedHook, connection: HookConnection, context: HookContext) -> HookResult | None:
    returned = hook.hook().execute(connection, context)
    if returned is not None and not isinstance(returned, HookResult):
        raise TypeError(f"execute must return a HookResult or None, not {returned!r}")
    if isinstance(returned, HookResult) and returned.phase != context.phase:
        raise ValueError(f"the result has the phase {returned.phase}, but the hook ran in {context.phase.value}")
    return returned


def _reject_backfill(fields: Mapping[str, Any], call: CallSite) -> int:
    raise HookRefused(f"context.backfill requires a batched hook: {_BATCHED}")


def _ignore_statement(statement: Statement, duration_ms: float) -> None:
    """Ignore the statement."""
