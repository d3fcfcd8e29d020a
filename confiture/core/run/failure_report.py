"""Report what a failed run left behind, and what to do next."""

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
from confiture.models.history import HISTORY_LOST, SegmentState
from confiture.models.plan import Direction
from confiture.text import pluralize

_BACKEND_WAIT_S = 5.0
_POLL_S = 0.25
_MISSING_RELATION = frozenset({"42P01", "3F000"})


def classify_dry_run_failure(error: BaseException, progress: MigrationProgress | None) -> ConfitureError:
    """Return the error to report for a failed dry run.

    A dry run leaves nothing behind, but reports the same kind of error as a real run, which would have committed the
    earlier segments.
    """
    if isinstance(error, ConfitureError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return MigrationFailed(_interrupted_diagnostic("a dry run commits nothing, so run it again"))
    diagnostic = _to_diagnostic(error, progress)
    if isinstance(error, TransactionEnded):
        return MigrationStopped(diagnostic)
    if progress is not None and progress.has_committed_work:
        plan = progress.plan
        of = f"{progress.committed_segments} of {pluralize(len(plan.segments), 'segment')} of {plan.migration.label}"
        parts = [of] if progress.committed_segments else []
        parts += ["batches of the backfill"] if progress.has_intent else []
        would = f"a real run would have committed {' and '.join(parts)} by then, and been interrupted"
        return MigrationStopped(replace(diagnostic, detail=(*diagnostic.detail, would)))
    return CheckFailed(diagnostic) if isinstance(error, CheckNotSatisfied) else MigrationFailed(diagnostic)


@dataclass(frozen=True, kw_only=True, slots=True)
class ActualProgress:
    """The progress of a failed migration according to the database. `news` contains what the run did not know.

    If the database could not be queried, `is_known` is false and `progress` is what the run knew.
    """

    progress: MigrationProgress | None
    news: Diagnostic | None = None
    is_known: bool = True


def read_actual_progress(
    error: BaseException, progress: MigrationProgress | None, context: RunContext, session: Session
) -> ActualProgress:
    """Return the progress of a migration that failed with the error. Query the database if the progress is in doubt."""
    if progress is None or isinstance(error, Drift):
        return ActualProgress(progress=progress)
    # A transaction is rolled back if its COMMIT was never sent, even if the connection was lost.
    never_sent = isinstance(error, StepFailed | ConfitureError)
    is_state_missing = isinstance(error, StepFailed) and error.sqlstate in _MISSING_RELATION
    if never_sent and not is_state_missing and not (session.connection.closed and progress.has_intent):
        return ActualProgress(progress=progress)
    try:
        return _ask_database(progress, context, session)
    except (psycopg.Error, DatabaseUnavailable, KeyboardInterrupt):
        return ActualProgress(progress=progress, is_known=False)


def classify_failure(error: BaseException, actual: ActualProgress) -> ConfitureError:
    """Return the error to report to the user."""
    progress = actual.progress
    if progress is None or isinstance(error, Drift):
        return error if isinstance(error, ConfitureError) else MigrationFailed(_to_diagnostic(error, progress))
    diagnostics = error.diagnostics if isinstance(error, ConfitureError) else (_to_diagnostic(error, progress),)
    if not actual.is_known:
        return MigrationStopped(*diagnostics, _unknown_outcome_diagnostic(progress))
    diagnostics += (actual.news,) if actual.news else ()
    if progress.has_committed_work or isinstance(error, TransactionEnded):
        return MigrationStopped(*diagnostics)
    if isinstance(error, ConfitureError):
        return error
    return CheckFailed(*diagnostics) if isinstance(error, CheckNotSatisfied) else MigrationFailed(*diagnostics)


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
    return _interrupted_diagnostic(
        "`confiture migrate status` shows what is committed; the next run continues from there"
    )


def _interrupted_diagnostic(hint: str) -> Diagnostic:
    return Diagnostic(code=INTERRUPTED, message="interrupted", hint=hint)


def _ask_database(progress: MigrationProgress, context: RunContext, session: Session) -> ActualProgress:
    """Return the progress according to the journal.

    Raise psycopg.Error or DatabaseUnavailable if the journal cannot be read, or if the lost session does not end.
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
    if committed < progress.committed_segments or (progress.has_confirmed_intent and not journal):
        return ActualProgress(progress=progress, news=_history_lost_diagnostic(progress))
    state = RecordState.BEGUN if journal else RecordState.UNRECORDED
    if len(journal) > committed:
        state = RecordState.INTENDED
    actual = MigrationProgress(progress.plan, progress.attempt, committed, state)
    is_news = committed > progress.committed_segments
    return ActualProgress(progress=actual, news=_committed_diagnostic(actual) if is_news else None)


def _committed_diagnostic(progress: MigrationProgress) -> Diagnostic:
    label = progress.plan.migration.label
    what = f"all of {label} is committed" if progress.is_whole else f"the part of {label} that ran is committed"
    return Diagnostic(
        code="committed",
        message=f"{what}; the error occurred after the commit",
        hint=f"run `{_resume_command(progress)}` to continue from there",
    )


def _history_lost_diagnostic(progress: MigrationProgress) -> Diagnostic:
    plan = progress.plan
    segments = f"{progress.committed_segments} of {pluralize(len(plan.segments), 'segment')} of {plan.migration.label}"
    part = " and part of the next one" if progress.has_intent else ""
    return Diagnostic(
        code=HISTORY_LOST,
        message=f"{segments}{part} are committed, but the history no longer records them",
        hint="restore the tables in the schema confiture from a backup; or revert what is committed by hand"
        f" before you run `{_resume_command(progress)}`",
    )


def _unknown_outcome_diagnostic(progress: MigrationProgress) -> Diagnostic:
    return Diagnostic(
        code="outcome-unknown",
        message=f"the connection was lost, and it is unknown whether {progress.plan.migration.label} committed",
        hint=f"once the database is back up, run `confiture migrate status`, then `{_resume_command(progress)}`",
    )


def _resume_command(progress: MigrationProgress) -> str:
    return "confiture migrate down" if progress.plan.direction is Direction.DOWN else "confiture migrate up"
