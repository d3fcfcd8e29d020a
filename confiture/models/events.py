"""The events of a run. Events are emitted during the run and folded into the report."""

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
"""The diagnostic code for a run that Ctrl-C or SIGTERM ended."""


@record(frozen=True, kw_only=True, slots=True)
class Waiter:
    """A session that waited for a Confiture lock: the mode, the relation, the duration, and the start of its query."""

    pid: int
    usename: str | None
    application_name: str | None
    query: str | None
    mode: str
    target: str
    waited_ms: float


@record(frozen=True, kw_only=True, slots=True)
class RunStarted:
    """A run begins, with a direction, a database, and migrations."""

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
    """A step has ended.

    `rows` is the number of rows that the step wrote; None if steps of its kind do not write rows (DDL, a check).
    `stats` are the statistics that a hook returned.
    """

    step: StepId
    outcome: Outcome
    duration_ms: float
    rows: int | None = None
    note: str | None = None
    stats: Mapping[str, Any] | None = None


@record(frozen=True, kw_only=True, slots=True)
class SegmentRetried:
    """A segment could not acquire a lock, or lost a deadlock. It was rolled back and will be retried after a wait."""

    version: str
    segment: int
    attempt: int
    attempts: int
    wait_ms: float
    reason: str


@record(frozen=True, kw_only=True, slots=True)
class BackfillProgressed:
    """The progress of a backfill, emitted about once a second. Row counts refer to committed rows in the driving table.

    `estimated_rows` is the planner's estimate of all rows; None if the table was never analyzed. `remaining_s` is
    computed from `estimated_rows` and this run's rate, including waits. `waiting_for` is the reason for the current
    wait. `elapsed_s` counts from the time this run began to fill rows.
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
    """The progress that a hook reports: `done` of `total`, in the hook's own unit; `total` is None if unknown."""

    step: StepId
    done: float
    total: float | None


@record(frozen=True, kw_only=True, slots=True)
class BatchRetried:
    """A batch failed and was rolled back. It will be retried with `rows` rows after a wait."""

    step: StepId
    rows: int
    attempt: int
    attempts: int
    wait_ms: float
    reason: str


@record(frozen=True, kw_only=True, slots=True)
class OthersBlocked:
    """Other sessions waited for this run's locks during a segment; the longest wait comes first.

    If `over_budget`, the segment was cancelled and rolled back.
    """

    version: str
    segment: int
    waiters: tuple[Waiter, ...]
    over_budget: bool


@record(frozen=True, kw_only=True, slots=True)
class DryRunFinished:
    """A dry run has ended: the effects of the last repetition, and the conclusions from all repetitions.

    A failed dry run has no estimate. `isolation` reports whether tenants are isolated; None if this was not checked.
    """

    statements: tuple[StatementTrace, ...]
    warnings: tuple[DryRunWarning, ...]
    leftovers: tuple[str, ...]
    estimate: Estimate | None
    isolation: IsolationReport | None = None


@record(frozen=True, kw_only=True, slots=True)
class ServerMessage:
    """PostgreSQL sent a message during a step. `severity` is `NOTICE`, `WARNING` or `INFO`."""

    step: StepId
    severity: str
    message: str
    detail: str | None = None
    sqlstate: str | None = None


@record(frozen=True, kw_only=True, slots=True)
class Notice:
    """Information for the user about something that is not an error."""

    text: str


@record(frozen=True, kw_only=True, slots=True)
class MigrationFinished:
    """A migration has ended. `duration_ms` is the time from its start in this run to its last commit."""

    version: str
    outcome: Outcome
    duration_ms: float


@record(frozen=True, kw_only=True, slots=True)
class RunFinished:
    """The run has ended; `diagnostics` contains the reasons if the run failed."""

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
    """A forwarder that passes each event to every listener, in order.

    A listener that raises is dropped, because it must not stop a migration. The exception is appended to `failures`.
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
