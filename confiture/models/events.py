"""What happens during a run. Events are emitted as it goes; folding them gives the report."""

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
    """How a step, a migration or a run ended."""

    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"
    ROLLED_BACK = "rolled back"
    STOPPED = "stopped"
    """Some segments are committed; the next run resumes."""


INTERRUPTED = "interrupted"
"""The code of the diagnostic of a run that Ctrl-C or SIGTERM ended."""


@record(frozen=True, kw_only=True, slots=True)
class Waiter:
    """A session that waited for a lock of ours: which mode on what, how long, and the beginning of its query."""

    pid: int
    usename: str | None
    application_name: str | None
    query: str | None
    mode: str
    target: str
    waited_ms: float


@record(frozen=True, kw_only=True, slots=True)
class RunStarted:
    """The run begins: what it is about to do, and where."""

    direction: Direction
    dry_run: bool
    environment: str
    database: str
    migrations: tuple[str, ...]
    steps: int


@record(frozen=True, kw_only=True, slots=True)
class LintFinished:
    """What lint found in the migrations that are about to run."""

    findings: tuple[Finding, ...]


@record(frozen=True, kw_only=True, slots=True)
class LockWaiting:
    """Another run holds the lock; `holder` says who."""

    holder: str


@record(frozen=True, kw_only=True, slots=True)
class MigrationStarted:
    """A migration begins, or goes on after its first `resumed_after` segments."""

    version: str
    name: str
    resumed_after: int = 0


@record(frozen=True, kw_only=True, slots=True)
class StepStarted:
    """A step begins."""

    step: StepId


@record(frozen=True, kw_only=True, slots=True)
class StepFinished:
    """A step ended. `rows` is how many it wrote, None where it wrote none by its nature (DDL, a check). `stats` is what
    a hook says of itself.
    """

    step: StepId
    outcome: Outcome
    duration_ms: float
    rows: int | None = None
    note: str | None = None
    stats: Mapping[str, Any] | None = None


@record(frozen=True, kw_only=True, slots=True)
class SegmentRetried:
    """A segment could not get a lock (or lost a deadlock). It was rolled back and is tried again after a wait."""

    version: str
    segment: int
    attempt: int
    attempts: int
    wait_ms: float
    reason: str


@record(frozen=True, kw_only=True, slots=True)
class BackfillProgressed:
    """How far a backfill is, told about once a second. Rows are those of the driving table that are committed.

    `estimated_rows` is what the planner believes there is in all, None where the table was never analysed;
    `remaining_s` follows from it and from the rate of this run, waits included. `waiting_for` says why it waits now.
    `elapsed_s` counts from when this run began to fill.
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
    """How far a hook says that it is: `done` of `total`, in what it counts; None where it does not know the total."""

    step: StepId
    done: float
    total: float | None


@record(frozen=True, kw_only=True, slots=True)
class BatchRetried:
    """A batch failed and was rolled back. It is tried again, with `rows` rows, after a wait."""

    step: StepId
    rows: int
    attempt: int
    attempts: int
    wait_ms: float
    reason: str


@record(frozen=True, kw_only=True, slots=True)
class OthersBlocked:
    """We made others wait while a segment ran, the longest first. Over budget, it was cancelled and rolled back."""

    version: str
    segment: int
    waiters: tuple[Waiter, ...]
    over_budget: bool


@record(frozen=True, kw_only=True, slots=True)
class DryRunFinished:
    """A dry run ended: what it saw, in its last repetition, and what follows from all of them.

    One that failed on the way has no estimate. `isolation` says whether tenants stay apart, None where that was not
    proved.
    """

    statements: tuple[StatementTrace, ...]
    warnings: tuple[DryRunWarning, ...]
    leftovers: tuple[str, ...]
    estimate: Estimate | None
    isolation: IsolationReport | None = None


@record(frozen=True, kw_only=True, slots=True)
class Notice:
    """Something that people should know; nothing went wrong."""

    text: str


@record(frozen=True, kw_only=True, slots=True)
class MigrationFinished:
    """A migration ended. `duration_ms` counts from its start in this run to its last commit."""

    version: str
    outcome: Outcome
    duration_ms: float


@record(frozen=True, kw_only=True, slots=True)
class RunFinished:
    """The run ended; `diagnostics` say why where it did not end well."""

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
    | Notice
    | MigrationFinished
    | RunFinished
)


Emit = Callable[[Event], None]


class Emitter:
    """Passes each event to every listener, in order. `failures` holds what listeners raised: a listener that fails is
    dropped, for it must not stop a migration.
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
