"""Says what a failed run left behind, and what to do next."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import psycopg
from psycopg.pq import TransactionStatus

from confiture.core.db.connection import fetch_named_row
from confiture.core.db.errors import CheckNotSatisfied, StepFailed, TransactionEnded, db_error_diagnostic
from confiture.core.db.history_store import HistoryStore
from confiture.core.run.context import MigrationProgress, RecordState, RunContext
from confiture.core.run.session import Session
from confiture.errors import (
    CheckFailed,
    ConfitureError,
    DatabaseUnavailable,
    Diagnostic,
    Drift,
    MigrationFailed,
    MigrationStopped,
)
from confiture.models.events import INTERRUPTED
from confiture.models.history import SegmentState
from confiture.models.plan import Direction

_BACKEND_WAIT_S = 5.0
_POLL_S = 0.25


def classify_dry_run_failure(error: BaseException, progress: MigrationProgress | None) -> ConfitureError:
    """The error that a user is told of a failed dry run: nothing of it is left in any case. It ends as the real run
    would, which by then has committed the segments before.
    """
    if isinstance(error, ConfitureError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return MigrationFailed(_interrupted_diagnostic("nothing of a dry run is committed: run it again"))
    diagnostic = _to_diagnostic(error, progress)
    if isinstance(error, TransactionEnded):
        return MigrationStopped(diagnostic)
    if progress is not None and progress.committed_segments:
        plan = progress.plan
        of = f"{progress.committed_segments} of {len(plan.segments)} segments of {plan.migration.label}"
        would = f"a real run would have committed {of} by then and stopped midway"
        return MigrationStopped(replace(diagnostic, detail=(*diagnostic.detail, would)))
    return CheckFailed(diagnostic) if isinstance(error, CheckNotSatisfied) else MigrationFailed(diagnostic)


@dataclass(frozen=True, kw_only=True, slots=True)
class ActualProgress:
    """How far a failed migration came by what the database says. `news` is what the run had not heard of.

    Where that could not be asked, it is not `is_known`, and `progress` is what the run has heard.
    """

    progress: MigrationProgress | None
    news: Diagnostic | None = None
    is_known: bool = True


def read_actual_progress(
    error: BaseException, progress: MigrationProgress | None, context: RunContext, session: Session
) -> ActualProgress:
    """The progress of a migration that failed with this error; asks the database where that is in doubt."""
    if progress is None or isinstance(error, Drift):
        return ActualProgress(progress=progress)
    # a transaction whose COMMIT was never sent is rolled back, whatever became of the connection
    never_sent = isinstance(error, StepFailed | ConfitureError)
    if never_sent and not (session.connection.closed and progress.has_intent):
        return ActualProgress(progress=progress)
    try:
        return _ask_database(progress, context, session)
    except (psycopg.Error, DatabaseUnavailable, KeyboardInterrupt):
        return ActualProgress(progress=progress, is_known=False)


def classify_failure(error: BaseException, actual: ActualProgress) -> ConfitureError:
    """The error that a user is told."""
    progress = actual.progress
    if progress is None or isinstance(error, Drift):
        return error if isinstance(error, ConfitureError) else MigrationFailed(_to_diagnostic(error, progress))
    told = error.diagnostics if isinstance(error, ConfitureError) else (_to_diagnostic(error, progress),)
    if not actual.is_known:
        return MigrationStopped(*told, _unknown_outcome_diagnostic(progress))
    told += (actual.news,) if actual.news else ()
    if progress.has_committed_work or isinstance(error, TransactionEnded):
        return MigrationStopped(*told)
    if isinstance(error, ConfitureError):
        return error
    return CheckFailed(*told) if isinstance(error, CheckNotSatisfied) else MigrationFailed(*told)


def _to_diagnostic(error: BaseException, progress: MigrationProgress | None) -> Diagnostic:
    if isinstance(error, StepFailed):
        return error.diagnostic
    if isinstance(error, psycopg.Error):
        failure = db_error_diagnostic(error, "the transaction could not be committed")
        if progress is None:
            return failure
        migration = progress.plan.migration
        return migration.file.diagnostic(
            migration.span, failure.code, failure.message, detail=failure.detail, hint=failure.hint
        )
    return _interrupted_diagnostic("`confiture migrate status` says what is committed; the next run goes on from there")


def _interrupted_diagnostic(hint: str) -> Diagnostic:
    return Diagnostic(code=INTERRUPTED, message="interrupted", hint=hint)


def _ask_database(progress: MigrationProgress, context: RunContext, session: Session) -> ActualProgress:
    """The progress by the journal. Raises psycopg.Error or DatabaseUnavailable where it cannot be read, or the lost
    session does not end.
    """
    if session.connection.info.transaction_status is TransactionStatus.IDLE:
        return _read_journal(progress, context.store)
    session.connection.close()
    connection = context.target.connect("after a lost connection")
    try:
        deadline = time.monotonic() + _BACKEND_WAIT_S
        while fetch_named_row(connection, "backend_alive", pid=session.backend_pid)["alive"]:
            if time.monotonic() >= deadline:
                raise psycopg.errors.QueryCanceled("the lost session has not ended")
            time.sleep(_POLL_S)
        return _read_journal(progress, context.store.with_connection(connection))
    finally:
        connection.close()


def _read_journal(progress: MigrationProgress, store: HistoryStore) -> ActualProgress:
    journal = store.read_journal(progress.attempt) if store.is_installed() else {}
    committed = sum(entry.state is SegmentState.DONE for entry in journal.values())
    state = RecordState.BEGUN if journal else RecordState.UNRECORDED
    if len(journal) > committed:
        state = RecordState.INTENDED
    actual = MigrationProgress(progress.plan, progress.attempt, committed, state)
    is_news = committed > progress.committed_segments
    return ActualProgress(progress=actual, news=_committed_diagnostic(actual) if is_news else None)


def _committed_diagnostic(progress: MigrationProgress) -> Diagnostic:
    label = progress.plan.migration.label
    what = f"{label} is committed, the whole of it" if progress.is_whole else f"what ran of {label} is committed"
    return Diagnostic(
        code="committed",
        message=f"{what}: this happened after the commit",
        hint=f"`{_resume_command(progress)}` goes on from there",
    )


def _unknown_outcome_diagnostic(progress: MigrationProgress) -> Diagnostic:
    return Diagnostic(
        code="outcome-unknown",
        message=f"the connection is lost, and whether {progress.plan.migration.label} committed cannot be asked",
        hint=f"once the database is back: `confiture migrate status`, then `{_resume_command(progress)}`",
    )


def _resume_command(progress: MigrationProgress) -> str:
    return "confiture migrate down" if progress.plan.direction is Direction.DOWN else "confiture migrate up"
