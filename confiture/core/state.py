"""Our own tables: the history of migrations and the journal of their segments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg.types.json import Jsonb

from confiture.core.database import Connection, one_row
from confiture.core.queries import query, state_ddl
from confiture.errors import DatabaseUnavailable, Diagnostic
from confiture.models.history import AppliedMigration, JournalEntry, Origin, SegmentState, State
from confiture.models.migration import Phase
from confiture.models.plan import Direction, PlannedMigration, Segment, StepChecksum

FORMAT = 1
"""The version of our tables that this program reads and writes."""


class StateStore:
    """Reads and writes our tables over one connection, in whatever transaction is open there."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def installed(self) -> bool:
        """Whether our tables are there. Raises DatabaseUnavailable where a newer program made them."""
        if not one_row(self._connection, "state_format")["installed"]:
            return False
        version = one_row(self._connection, "format_version")["version"]
        if version != FORMAT:
            raise DatabaseUnavailable(
                Diagnostic(
                    code="newer-state",
                    message=f"the tables in schema confiture have format {version}; this program knows {FORMAT}",
                    hint="upgrade confiture",
                )
            )
        return True

    def install(self) -> None:
        """Makes our tables."""
        self._connection.execute(state_ddl())

    def history(self) -> tuple[AppliedMigration, ...]:
        """All rows, in the order in which they were made. The tables must be there."""
        return tuple(_applied(row) for row in self._connection.execute(query("history")))

    def journal(self, attempt: str) -> dict[int, JournalEntry]:
        """What one attempt committed, by the number of the segment."""
        rows: Any = self._connection.execute(query("journal"), {"attempt": attempt})
        return {
            row["segment"]: JournalEntry(
                segment=row["segment"], state=SegmentState(row["state"]), fingerprint=row["fingerprint"]
            )
            for row in rows
        }

    def begin(self, plan: PlannedMigration, attempt: str) -> None:
        """Enters a migration that takes several segments, before its first one commits."""
        self._insert(plan, attempt, State.RUNNING, Origin.RUN, link="", duration_ms=None)

    def insert_applied(
        self, plan: PlannedMigration, attempt: str, link: str, origin: Origin, duration_ms: float | None
    ) -> None:
        """Enters a migration as applied. `link` is its checksum of the chain."""
        self._insert(plan, attempt, State.APPLIED, origin, link, duration_ms)

    def finish(self, plan: PlannedMigration, attempt: str, link: str) -> None:
        """Marks a migration that took several segments as applied."""
        self._connection.execute(query("finish_migration"), {**_described(plan), "attempt": attempt, "chain": link})

    def begin_reverting(self, version: str, attempt: str) -> None:
        """Marks that a migration's `down` takes several segments and has begun."""
        self._connection.execute(query("mark_reverting"), {"version": version, "attempt": attempt})

    def delete(self, version: str) -> None:
        """Forgets a migration that was undone; its journal stays."""
        self._connection.execute(query("delete_migration"), {"version": version})

    def withdraw(self, plan: PlannedMigration, segment: Segment, attempt: str) -> None:
        """Takes back the intent of a segment that failed and left nothing; if it was the first, also the mark that
        the migration had begun.
        """
        self._connection.execute(query("delete_journal"), {"attempt": attempt, "segment": segment.number})
        if segment.number == 1 and plan.direction is Direction.UP:
            self.delete(plan.version)
        elif segment.number == 1:
            self._connection.execute(query("unmark_reverting"), {"version": plan.version})

    def record(
        self,
        plan: PlannedMigration,
        segment: Segment,
        attempt: str,
        state: SegmentState,
        steps: Sequence[Mapping[str, object]] = (),
        duration_ms: float | None = None,
    ) -> None:
        """Enters a segment into the journal, or completes its intent."""
        self._connection.execute(
            query("record_segment"),
            {
                "attempt": attempt,
                "segment": segment.number,
                "version": plan.version,
                "direction": plan.direction.value,
                "state": state.value,
                "fingerprint": segment.fingerprint,
                "steps": Jsonb(list(steps)),
                "duration_ms": duration_ms,
            },
        )

    def _insert(
        self,
        plan: PlannedMigration,
        attempt: str,
        state: State,
        origin: Origin,
        link: str,
        duration_ms: float | None,
    ) -> None:
        self._connection.execute(
            query("insert_migration"),
            {
                **_described(plan),
                "attempt": attempt,
                "state": state.value,
                "origin": origin.value,
                "chain": link,
                "duration_ms": duration_ms,
            },
        )


def _described(plan: PlannedMigration) -> dict[str, Any]:
    return {
        "version": plan.version,
        "name": plan.migration.name,
        "checksum": plan.checksum,
        "steps": Jsonb([[step.phase.value, step.label, step.checksum] for step in plan.step_checksums]),
    }


def _applied(row: dict[str, Any]) -> AppliedMigration:
    return AppliedMigration(
        position=row["position"],
        version=row["version"],
        name=row["name"],
        state=State(row["state"]),
        origin=Origin(row["origin"]),
        attempt=row["attempt"],
        checksum=row["checksum"],
        chain=row["chain"],
        steps=tuple(
            StepChecksum(phase=Phase(phase), label=label, checksum=sum_) for phase, label, sum_ in row["steps"]
        ),
        applied_at=row["applied_at"],
        applied_by=row["applied_by"],
        duration_ms=row["duration_ms"],
    )
