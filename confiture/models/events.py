"""The events of a run. They are emitted while it runs; folding them gives the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from confiture.errors import Diagnostic
from confiture.models.findings import Finding
from confiture.models.plan import Direction, StepId
from confiture.models.records import record
from confiture.models.tenancy_proofs import IsolationReport
from confiture.models.trace import DryRunWarning, Estimate, StatementTrace


class Outcome(StrEnum):
    """The outcome of a step, a migration or a run."""

    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"
    ROLLED_BACK = "rolled back"
    STOPPED = "stopped"
    """Some segments are committed; the next run resumes."""


INTERRUPTED = "interrupted"
"""The code of the diagnostic for a run that Ctrl-C or SIGTERM ended."""


@record(frozen=True, kw_only=True, slots=True)
class Waiter:
    """A session that waited for one of Confiture's locks: the mode and the relation, how long, and the beginning of its
    query.
    """

    pid: int
    usename: str | None
    application_name: str | None
    query: str | None
    mode: str
    target: str
    waited_ms: float


@record(frozen=True, kw_only=True, slots=True)
class RunStarted:
    """A run begins: its direction, its database and its migrations."""

    direction: Direction
    dry_run: bool
    environment: str
    database: str
    migrations: tuple[str, ...]
    steps: int


@record(frozen=True, kw_only=True, slots=True)
class LintFinished:
    """Lint has checked the migrations that are about to run."""

    findings: tuple[Finding, ...]


@record(frozen=True, kw_only=True, slots=True)
class LockWaiting:
    """Another run holds the migration lock; `holder` describes it."""

    holder: str


@record(frozen=True, kw_only=True, slots=True)
class MigrationStarted:
    """A migration begins, or is resumed after its first `resumed_after` segments."""

    version: str
    name: str
    resumed_after: int = 0


@record(frozen=True, kw_only=True, slots=True)
class StepStarted:
    """A step begins."""

    step: StepId


@record(frozen=True, kw_only=True, slots=True)
class StepFinished:
    """A step ended.

    `rows` is the number of rows that it wrote, None if it is of a kind that does not write rows (DDL, a check). `stats`
    are the statistics that a hook returned.
    """

    step: StepId
    outcome: Outcome
    duration_ms: float
    rows: int | None = None
    note: str | None = None
    stats: Mapping[str, Any] | None = None


@record(frozen=True, kw_only=True, slots=True)
class SegmentRetried:
    """A segment did not get a lock, or lost a deadlock. It was rolled back and is retried after a wait."""

    version: str
    segment: int
    attempt: int
    attempts: int
    wait_ms: float
    reason: str


@record(frozen=True, kw_only=True, slots=True)
class BackfillProgressed:
    """The progress of a backfill, emitted about once a second. Rows are committed rows of the driving table.

    `estimated_rows` is the planner's estimate of all rows, None if the table was never analyzed; `remaining_s` follows
    from it and from the rate of this run, waits included. `waiting_for` is the reason for the current wait. `elapsed_s`
    counts from when this run began to fill.
    """

    step: StepId
    elapsed_s: float
    source_rows: int
    written_rows: int
    batches: int
    estimated_rows: int | None
    batch_rows: int
    rows_per_s: float | None
    remaining_s: float | None
    waiting_for: str | None = None


@record(frozen=True, kw_only=True, slots=True)
class HookProgressed:
    """The progress that a hook reports: `done` of `total`, in its own unit; `total` is None if unknown."""

    step: StepId
    done: float
    total: float | None


@record(frozen=True, kw_only=True, slots=True)
class BatchRetried:
    """A batch failed and was rolled back. It is retried with `rows` rows after a wait."""

    step: StepId
    rows: int
    attempt: int
    attempts: int
    wait_ms: float
    reason: str


@record(frozen=True, kw_only=True, slots=True)
class OthersBlocked:
    """Other sessions waited for this run's locks during a segment; the longest wait comes first. If `over_budget`, the
    segment was cancelled and rolled back.
    """

    version: str
    segment: int
    waiters: tuple[Waiter, ...]
    over_budget: bool


@record(frozen=True, kw_only=True, slots=True)
class DryRunFinished:
    """A dry run ended: what its last repetition did, and what follows from all repetitions.

    A failed dry run has no estimate. `isolation` reports whether tenants are isolated, None if that was not checked.
    """

    statements: tuple[StatementTrace, ...]
    warnings: tuple[DryRunWarning, ...]
    leftovers: tuple[str, ...]
    estimate: Estimate | None
    isolation: IsolationReport | None = None


@record(frozen=True, kw_only=True, slots=True)
class ServerMessage:
    """PostgreSQL sent a message while a step ran. `severity` is `NOTICE`, `WARNING` or `INFO`."""

    step: StepId
    severity: str
    message: str
    detail: str | None = None
    sqlstate: str | None = None


@record(frozen=True, kw_only=True, slots=True)
class Notice:
    """Information for the user; nothing went wrong."""

    text: str


@record(frozen=True, kw_only=True, slots=True)
class MigrationFinished:
    """A migration ended. `duration_ms` counts from its start in this run to its last commit."""

    version: str
    outcome: Outcome
    duration_ms: float


@record(frozen=True, kw_only=True, slots=True)
class RunFinished:
    """The run ended; `diagnostics` give the reasons if it did not end well."""

    outcome: Outcome
    duration_ms: float
    diagnostics: tuple[Diagnostic, ...] = ()


Event = (
    RunStarted
    | LintFinished
    | LockWaiting
    | MigrationStarted
    | StepStarted
    | StepFinished
    | SegmentRetried
    | BackfillProgressed
    | HookProgressed
    | BatchRetried
    | OthersBlocked
    | DryRunFinished
    | ServerMessage
    | Notice
    | MigrationFinished
    | RunFinished
)


Emit = Callable[[Event], None]


class Emitter:
    """Forwarder of each event to every listener, in order.

    A listener that raises is dropped, since it must not stop a migration; its exception is appended to `failures`.
    """

    def __init__(self, *listeners: Emit) -> None:
        self._listeners = list(listeners)
        self.failures: list[Exception] = []

    def __call__(self, event: Event) -> None:
        for listener in tuple(self._listeners):
            try:
                listener(event)
            except Exception as error:
                self._listeners.remove(listener)
                self.failures.append(error)
