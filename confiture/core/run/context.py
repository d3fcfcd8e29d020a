"""What a run is of, how it goes about it, and how far a migration came."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from confiture.core.db.connection import Connection, ConnectionTarget
from confiture.core.db.errors import OVER_BUDGET, RETRYABLE
from confiture.core.db.history_store import HistoryStore
from confiture.core.db.migration_lock import MigrationLock
from confiture.core.state_machine import StateMachine
from confiture.models.events import Emit
from confiture.models.history import AppliedMigration
from confiture.models.plan import Direction, Plan, PlannedMigration
from confiture.models.settings import Settings
from confiture.models.tenancy_proofs import DEFAULT_TENANTS
from confiture.plan.project import PlannedProject

if TYPE_CHECKING:
    from confiture.lint.plan import PlanLintResult

USUAL_MS = 30_000


@dataclass(frozen=True, kw_only=True, slots=True)
class ProofOptions:
    """At how many tenants to look, and how long all proofs of a dry run may take, in milliseconds."""

    tenants: int = DEFAULT_TENANTS
    limit_ms: int = USUAL_MS


@dataclass(frozen=True, kw_only=True, slots=True)
class DryRunOptions:
    """How often a dry run is repeated, and the database by whose row counts its times are scaled.

    `confirmed` is needed where the environment is protected. With `full`, batched backfills are not only sampled.
    Without `proofs` it is not proved that tenants stay apart.
    """

    repeat: int = 1
    full: bool = False
    scale_to: ConnectionTarget | None = None
    confirmed: bool = False
    proofs: ProofOptions | None = field(default_factory=ProofOptions)
    store_prediction: bool = True
    """Whether what it predicts is kept in the project's folder."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunMode:
    """How a run goes about it."""

    direction: Direction
    dry_run: bool
    rehearsal: DryRunOptions

    @property
    def purpose(self) -> str:
        """What other sessions see of the run."""
        return "dry run" if self.dry_run else f"migrate {self.direction}"

    @property
    def retryable(self) -> frozenset[str]:
        """After which SQLSTATEs it tries again: a dry run does not go back to block others once more."""
        return RETRYABLE - {OVER_BUDGET} if self.dry_run else RETRYABLE


@dataclass(frozen=True, kw_only=True, slots=True)
class RunContext:
    """What holds for a whole run: the project, the database, the connection to it, and who is told what happens."""

    project: PlannedProject
    target: ConnectionTarget
    connection: Connection
    mode: RunMode
    emit: Emit

    @property
    def settings(self) -> Settings:
        """The project's settings."""
        return self.project.settings

    @property
    def store(self) -> HistoryStore:
        """The project's history, over the connection of the run."""
        return HistoryStore(self.connection, self.settings.history)


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedPlan:
    """A plan that was chosen under the lock, the history that it follows from, and what lint says of it (None of one
    that goes down).
    """

    plan: Plan
    history: tuple[AppliedMigration, ...]
    lock: MigrationLock
    lint_result: PlanLintResult | None


class RecordState(Enum):
    """What the history knows of a migration that runs."""

    UNRECORDED = "unrecorded"
    """Nothing: it has no row yet."""
    BEGUN = "begun"
    """A row, and the segments that are committed."""
    INTENT_SENT = "intent sent"
    """Perhaps also an intent: its commit may have reached the server, whatever is heard of it."""
    INTENDED = "intended"
    """Also an intent: the next segment may have run, or a part of it."""


_TRANSITIONS = {
    RecordState.UNRECORDED: {RecordState.BEGUN, RecordState.INTENT_SENT},
    RecordState.BEGUN: {RecordState.BEGUN, RecordState.INTENT_SENT},
    RecordState.INTENT_SENT: {RecordState.INTENDED},
    RecordState.INTENDED: {RecordState.BEGUN},
}


class MigrationProgress:
    """How far a migration came: its attempt, how many segments are committed, and what the history knows."""

    def __init__(
        self, plan: PlannedMigration, attempt: str, committed: int = 0, state: RecordState = RecordState.UNRECORDED
    ) -> None:
        self.plan = plan
        self.attempt = attempt
        self._committed = committed
        self._record = StateMachine(state, _TRANSITIONS)

    @property
    def committed_segments(self) -> int:
        """How many segments are committed: always the first ones."""
        return self._committed

    @property
    def is_begun(self) -> bool:
        """Whether the history has a row that says so."""
        return self._record.state in (RecordState.BEGUN, RecordState.INTENDED)

    @property
    def has_intent(self) -> bool:
        """Whether an intent is committed, or may be."""
        return self._record.state in (RecordState.INTENT_SENT, RecordState.INTENDED)

    @property
    def has_committed_work(self) -> bool:
        """Whether a part of the migration is committed, or may be."""
        return self._committed > 0 or self.has_intent

    @property
    def is_whole(self) -> bool:
        """Whether all of it is committed."""
        return self._committed == len(self.plan.segments)

    def send_intent(self) -> None:
        """The intent of the next segment is about to be committed."""
        self._record.enter(RecordState.INTENT_SENT)

    def confirm_intent(self) -> None:
        """It is committed."""
        self._record.enter(RecordState.INTENDED)

    def withdraw_intent(self) -> None:
        """It is deleted again: nothing of the segment is done."""
        self._record.enter(RecordState.BEGUN)

    def commit_segment(self) -> None:
        """The next segment is committed, and with it its intent where it had one."""
        self._record.enter(RecordState.BEGUN)
        self._committed += 1
