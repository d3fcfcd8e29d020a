"""What the parts of one backfill share."""

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
"""Makes, for a connection, what deletes rows of the target that are stale and will be made again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerConfig:
    """What the workers of a backfill share: each has a connection of its own.

    `clear_factory` is None if no rows of the target can be stale.
    """

    database: ConnectionTarget
    settings: DatabaseSettings
    step: PlannedStep
    backfill: PlannedBackfill
    key: BatchKey
    backfill_id: BackfillId
    clear_factory: ClearFactory | None
    session_settings: tuple[str, ...] = ()
    """Statements that set what earlier segments of the migration set for the session."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BackfillContext:
    """One backfill: its step, its key, the table that it fills, its number, and the run's connection (in autocommit).

    It belongs to the main thread. `state` is as stored when it was opened: `preparing` if it has just begun.
    `estimated_rows` is what the planner believes the driving table to have, None if it was never analysed.
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
        """The columns of the target that hold the batch key; None if that is not known."""
        targets = self.backfill.target_columns
        return None if targets is None else [targets[column.name] for column in self.key.columns]

    def worker_config(self, clear_factory: ClearFactory | None) -> WorkerConfig:
        """What its workers need."""
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
