"""The parameters of a run, and the progress of each migration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from confiture.core.db.connection import Connection, ConnectionTarget
from confiture.core.db.errors import OVER_BUDGET, RETRYABLE
from confiture.core.db.event_log import EventLog
from confiture.core.db.history_store import HistoryStore
from confiture.core.db.migration_lock import MigrationLock
from confiture.core.state_machine import StateMachine
from confiture.models.events import Emit
from confiture.models.history import AppliedMigration
from confiture.models.identity import WriteRequest
from confiture.models.plan import Direction, Plan, PlannedMigration
from confiture.models.settings import Settings
from confiture.models.tenancy_proofs import DEFAULT_TENANTS
from confiture.plan.project import PlannedProject

if TYPE_CHECKING:
    from confiture.lint.plan import PlanLintResult

USUAL_MS = 30_000


@dataclass(frozen=True, kw_only=True, slots=True)
class ProofOptions:
    """The number of tenants sampled by a dry run, and the total time limit for its proofs in milliseconds."""

    tenants: int = DEFAULT_TENANTS
    limit_ms: int = USUAL_MS


@dataclass(frozen=True, kw_only=True, slots=True)
class DryRunOptions:
    """Dry-run options: the number of repetitions, and the database whose row counts are used to scale the durations.

    `confirmed` is required for protected environments. With `full`, batched backfills run completely instead of being
    sampled. Without `proofs`, tenant isolation is not proved.
    """

    repeat: int = 1
    full: bool = False
    scale_to: ConnectionTarget | None = None
    confirmed: bool = False
    proofs: ProofOptions | None = field(default_factory=ProofOptions)
    store_prediction: bool = True
    """Whether the prediction is stored in the project directory."""


class PlanCheck(Protocol):
    """Compares a saved plan with what runs. Each method raises Drift if they differ."""

    def check_plan(
        self, connection: Connection, history: Sequence[AppliedMigration], plans: Sequence[PlannedMigration]
    ) -> None:
        """Compare everything, after the migration lock is acquired."""

    def check_migration(
        self, connection: Connection, history: Sequence[AppliedMigration], plan: PlannedMigration
    ) -> None:
        """Compare what another session could have changed since then, before a migration."""

    def accept_migration(
        self, connection: Connection, history: Sequence[AppliedMigration], plan: PlannedMigration
    ) -> None:
        """Accept the changes that a migration of this run has made."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunMode:
    """The mode of a run: the direction, whether it is a dry run, and what the caller of a real run states."""

    direction: Direction
    dry_run: bool
    rehearsal: DryRunOptions
    guard: PlanCheck | None = None
    """Refuses to run anything that differs from a saved plan."""
    request: WriteRequest = field(default_factory=WriteRequest)

    @property
    def purpose(self) -> str:
        """The run's purpose, as shown to other sessions."""
        return "dry run" if self.dry_run else f"migrate {self.direction}"

    @property
    def retryable(self) -> frozenset[str]:
        """The SQLSTATEs after which the run retries. A dry run does not retry after blocking others for too long."""
        return RETRYABLE - {OVER_BUDGET} if self.dry_run else RETRYABLE


@dataclass(frozen=True, kw_only=True, slots=True)
class RunContext:
    """The context of a whole run: the project, the database, the database connection, and the event receiver.

    `log` writes the events of the history.
    """

    project: PlannedProject
    target: ConnectionTarget
    connection: Connection
    mode: RunMode
    emit: Emit
    log: EventLog

    @property
    def settings(self) -> Settings:
        """The project's settings."""
        return self.project.settings

    @property
    def store(self) -> HistoryStore:
        """The project's history, accessed over the run's connection."""
        return HistoryStore(self.connection, self.settings.history)


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedPlan:
    """A plan selected under the lock, the history it is based on, and its lint result (None when migrating down)."""

    plan: Plan
    history: tuple[AppliedMigration, ...]
    lock: MigrationLock
    lint_result: PlanLintResult | None


class RecordState(Enum):
    """The state of a running migration's history record."""

    UNRECORDED = "unrecorded"
    """The history contains no row yet."""
    BEGUN = "begun"
    """The history contains a row and the committed segments."""
    INTENT_SENT = "intent sent"
    """The history may also contain an intent, because the commit may have reached the server without a reply."""
    INTENDED = "intended"
    """The history also contains an intent. The next segment may have run, completely or in part."""


_TRANSITIONS = {
    RecordState.UNRECORDED: {RecordState.BEGUN, RecordState.INTENT_SENT},
    RecordState.BEGUN: {RecordState.BEGUN, RecordState.INTENT_SENT},
    RecordState.INTENT_SENT: {RecordState.INTENDED},
    RecordState.INTENDED: {RecordState.BEGUN},
}


class MigrationProgress:
    """The progress of a migration: the attempt, the number of committed segments, and the state of its record."""

    def __init__(
        self, plan: PlannedMigration, attempt: str, committed: int = 0, state: RecordState = RecordState.UNRECORDED
    ) -> None:
        self.plan = plan
        self.attempt = attempt
        self._committed = committed
        self._record = StateMachine(state, _TRANSITIONS)

    @property
    def committed_segments(self) -> int:
        """The number of committed segments. These are always the first ones."""
        return self._committed

    @property
    def is_begun(self) -> bool:
        """Whether the history contains a row for the migration."""
        return self._record.state in (RecordState.BEGUN, RecordState.INTENDED)

    @property
    def has_intent(self) -> bool:
        """Whether an intent is, or may be, committed."""
        return self._record.state in (RecordState.INTENT_SENT, RecordState.INTENDED)

    @property
    def has_confirmed_intent(self) -> bool:
        """Whether an intent is certainly committed."""
        return self._record.state is RecordState.INTENDED

    @property
    def has_committed_work(self) -> bool:
        """Whether part of the migration is, or may be, committed."""
        return self._committed > 0 or self.has_intent

    @property
    def is_whole(self) -> bool:
        """Whether the whole migration is committed."""
        return self._committed == len(self.plan.segments)

    def send_intent(self) -> None:
        """Note that the intent for the next segment is about to be committed."""
        self._record.enter(RecordState.INTENT_SENT)

    def confirm_intent(self) -> None:
        """Note that the intent is committed."""
        self._record.enter(RecordState.INTENDED)

    def begin_segment(self) -> None:
        """Note that a part of the next segment is committed."""
        self.send_intent()
        self.confirm_intent()

    def withdraw_intent(self) -> None:
        """Note that the intent was deleted, because no part of the segment was done."""
        self._record.enter(RecordState.BEGUN)

    def commit_segment(self) -> None:
        """Note that the next segment is committed, together with its intent, if any."""
        self._record.enter(RecordState.BEGUN)
        self._committed += 1
