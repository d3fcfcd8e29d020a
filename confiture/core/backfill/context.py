"""Objects shared by the components of one backfill."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from confiture.core.backfill.backfill_store import BackfillId, BackfillStore
from confiture.core.backfill.batch_key import BatchKey
from confiture.core.backfill.heartbeat import Heartbeat
from confiture.core.db.connection import Connection, ConnectionTarget
from confiture.models.catalog import QualifiedName
from confiture.models.events import Emit
from confiture.models.plan import PlannedBackfill, PlannedStep, StepId
from confiture.models.settings import DatabaseSettings

ClearFactory = Callable[[Connection], Callable[[], None]]
"""A factory that, given a connection, returns a function that deletes stale target rows before a refill."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerConfig:
    """The configuration shared by the workers of a backfill; each worker has its own connection.

    `clear_factory` is None if no target rows can be stale.
    """

    database: ConnectionTarget
    settings: DatabaseSettings
    step: PlannedStep
    backfill: PlannedBackfill
    key: BatchKey
    backfill_id: BackfillId
    clear_factory: ClearFactory | None
    session_settings: tuple[str, ...] = ()
    """Statements that apply the session settings made by the migration's earlier segments."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BackfillContext:
    """The context of one backfill: its step, key, target and number, and the run's connection in autocommit mode.

    Only the main thread uses the context. `state` is the state stored when the backfill was opened: `preparing` if the
    backfill is new. `estimated_rows` is the planner's estimate for the driving table, or None if the table was never
    analyzed.
    """

    connection: Connection
    database: ConnectionTarget
    settings: DatabaseSettings
    emit: Emit
    heartbeat: Heartbeat
    identity: StepId
    step: PlannedStep
    backfill: PlannedBackfill
    key: BatchKey
    into: QualifiedName
    store: BackfillStore
    number: int
    state: str
    estimated_rows: int | None
    session_settings: tuple[str, ...] = ()

    @property
    def target_key(self) -> list[str] | None:
        """The target columns that contain the batch key; None if unknown."""
        targets = self.backfill.target_columns
        return None if targets is None else [targets[column.name] for column in self.key.columns]

    def worker_config(self, clear_factory: ClearFactory | None) -> WorkerConfig:
        """Return the worker configuration."""
        return WorkerConfig(
            database=self.database,
            settings=self.settings,
            step=self.step,
            backfill=self.backfill,
            key=self.key,
            backfill_id=self.store.backfill_id,
            clear_factory=clear_factory,
            session_settings=self.session_settings,
        )
