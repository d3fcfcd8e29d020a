"""The internal tables: the migration history and the segment journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from confiture.core.db.connection import READ_LOCK_TIMEOUT_MS, Connection, fetch_named_row, set_lock_timeout
from confiture.core.db.errors import first_line
from confiture.core.db.history_rows import read_applied_migration, read_word, texts_to_row
from confiture.core.db.history_schema import TABLES, check_maker, read_format, revoke_from_others
from confiture.core.db.migration_lock import lock_key
from confiture.core.db.queries import FORMAT, history_schema_sql, query
from confiture.core.db.search_path import SCHEMA
from confiture.core.db.stored_texts import store_texts
from confiture.errors import DatabaseUnavailable, Diagnostic, Drift
from confiture.models.history import (
    AppliedMigration,
    HistoryKey,
    HistoryOrigin,
    JournalEntry,
    MigrationState,
    OtherHistory,
    SegmentState,
)
from confiture.models.plan import Direction, PlannedMigration, Segment
from confiture.models.predictions import Prediction
from confiture.plan.checksums import segment_fingerprint
from confiture.plan.texts import collect_texts

Cursor = psycopg.Cursor[dict[str, Any]]

_FIRST_WITH_BACKFILLS = 2
_INSTALLATION = HistoryKey(project="", target="installation")
"""Not a history. Its lock prevents two projects from creating or upgrading the tables at the same time."""


class HistoryStore:
    """One history, accessed over one connection and in its open transaction, if any.

    Methods that only read support every format up to the current one. Methods that write require the current format
    (`install`, `upgrade`).
    """

    def __init__(self, connection: Connection, key: HistoryKey) -> None:
        self._connection = connection
        self.key = key

    def with_connection(self, connection: Connection) -> HistoryStore:
        """Return the same history, accessed over another connection."""
        return HistoryStore(connection, self.key)

    def is_installed(self, *, only_reads: bool = False) -> bool:
        """Whether the history exists. Raise DatabaseUnavailable if the tables are from a newer version.

        Commands that write nothing pass `only_reads`.
        """
        return read_format(self._connection, only_reads=only_reads) > 0

    def is_current(self) -> bool:
        """Whether the tables have the current format. Raise DatabaseUnavailable if they are from a newer version."""
        return self._read_format() == FORMAT

    def has_backfills(self) -> bool:
        """Whether the format supports backfills. Raise DatabaseUnavailable if the tables are from a newer version."""
        return read_format(self._connection, only_reads=True) >= _FIRST_WITH_BACKFILLS

    def _read_format(self) -> int:
        """Return the table format before a write, or 0 if there are no tables."""
        return read_format(self._connection)

    def check_privileges(self) -> None:
        """Raise DatabaseUnavailable if the role cannot create the missing tables."""
        rights = fetch_named_row(self._connection, "state_rights")
        if not rights["may_install"]:
            raise DatabaseUnavailable(
                Diagnostic(
                    code="no-right-to-create",
                    message=f"the role {rights['role']} cannot create the history tables in schema confiture",
                    hint=f"GRANT CREATE ON DATABASE {rights['database']} TO {rights['role']}; or, as a superuser,"
                    f" CREATE SCHEMA {SCHEMA} AUTHORIZATION {rights['role']}",
                )
            )
        check_maker(self._connection)

    def install(self) -> None:
        """Create or upgrade the tables. Wait if another project is doing the same."""
        self._connection.execute(query("lock_installation"), {"key": lock_key(_INSTALLATION)})
        if not fetch_named_row(self._connection, "state_rights")["has_schema"]:
            self._connection.execute(query("create_schema"))
            revoke_from_others(self._connection, {SCHEMA})
        since = self._read_format()
        if since < FORMAT:
            self._connection.execute(history_schema_sql(since))
            self._connection.execute(query("close_tables"))
            revoke_from_others(self._connection, {name for name, added in TABLES.items() if added > since})

    def needs_upgrade(self) -> bool:
        """Whether the tables have a former format."""
        return 0 < self._read_format() < FORMAT

    def check_writable(self) -> None:
        """Raise DatabaseUnavailable if the role cannot create or upgrade the tables."""
        if not self._read_format():
            self.check_privileges()
        elif self.needs_upgrade():
            self._check_owner()

    def upgrade(self) -> None:
        """Upgrade the tables to the current format in one transaction. The caller must hold `upgrade_history`'s locks.

        Raise DatabaseUnavailable if the role cannot change the tables, or if another session has locked them.
        """
        with self._connection.transaction():
            self._check_owner()
            # Other sessions queue behind a session waiting for a table lock.
            set_lock_timeout(self._connection, READ_LOCK_TIMEOUT_MS, local=True)
            try:
                self.install()
            except psycopg.errors.LockNotAvailable as error:
                raise DatabaseUnavailable(
                    Diagnostic(
                        code="history-locked",
                        message="the history tables have a former format, and another session holds locks on them",
                        detail=(first_line(error),),
                        hint="run again after that session has ended; for example, pg_dump locks the tables",
                    )
                ) from error

    def _check_owner(self) -> None:
        row = fetch_named_row(self._connection, "owner_of_state")
        if not row["is_ours"]:
            raise DatabaseUnavailable(
                Diagnostic(
                    code="not-the-owner",
                    message=f"the history tables have a former format and belong to the role {row['owner']}",
                    hint=f"connect once as {row['owner']}, or as a member of that role, to upgrade the tables",
                )
            )

    def read_history(self) -> tuple[AppliedMigration, ...]:
        """Return all rows in creation order. The tables must exist."""
        return tuple(
            read_applied_migration(row) for row in self._connection.execute(query("history"), self.key.parameters)
        )

    def applied_versions(self) -> frozenset[str]:
        """Return the applied versions, from the table of migrations only. The tables must exist."""
        rows = self._connection.execute(query("applied_versions"), self.key.parameters)
        return frozenset(row["version"] for row in rows)

    def other_histories(self) -> tuple[OtherHistory, ...]:
        """Return the histories of other projects in this database, sorted by name. The tables must exist."""
        rows_by_project: dict[str, list[tuple[str, str]]] = {}
        rows: Any = self._connection.execute(query("other_histories"), self.key.parameters)
        for row in rows:
            rows_by_project.setdefault(row["project"], []).append((row["version"], row["checksum"]))
        return tuple(OtherHistory(project=project, rows=tuple(rows)) for project, rows in rows_by_project.items())

    def has_run(self) -> bool:
        """Whether any run was recorded in this history, even if everything was reverted."""
        return bool(fetch_named_row(self._connection, "has_journal", **self.key.parameters)["has_journal"])

    def rename(self, new: str) -> int:
        """Rename the history's project. Return the number of migrations in the history."""
        self._connection.execute(query("rename_identity"), {"old": self.key.project, "new": new})
        return self._connection.execute(query("rename_project"), {"old": self.key.project, "new": new}).rowcount

    def read_journal(self, attempt: str) -> dict[int, JournalEntry]:
        """Return the journal entries of one attempt, by segment number."""
        rows: Any = self._connection.execute(query("journal"), {"attempt": attempt})
        return {
            row["segment"]: JournalEntry(
                segment=row["segment"],
                state=read_word(SegmentState, row, "state"),
                fingerprint=row["fingerprint"],
            )
            for row in rows
        }

    def insert_running(self, plan: PlannedMigration, attempt: str) -> None:
        """Insert a migration that has several segments, before the first segment commits."""
        self._insert(plan, attempt, MigrationState.RUNNING, HistoryOrigin.RUN, chain_checksum="", duration_ms=None)

    def insert_applied(
        self,
        plan: PlannedMigration,
        attempt: str,
        chain_checksum: str,
        origin: HistoryOrigin,
        duration_ms: float | None,
    ) -> None:
        """Insert a migration as applied. `chain_checksum` is the chain checksum up to and including the migration."""
        self._insert(plan, attempt, MigrationState.APPLIED, origin, chain_checksum, duration_ms)

    def mark_applied(self, plan: PlannedMigration, attempt: str, chain_checksum: str) -> None:
        """Mark a migration that has several segments as applied."""
        self._update(
            "finish_migration",
            plan.version,
            {**self._store_migration(plan), "attempt": attempt, "chain": chain_checksum},
        )

    def record_prediction(self, prediction: Prediction, attempt: str) -> None:
        """Record the prediction for a migration, together with the measured duration of this attempt's steps."""
        self._connection.execute(
            query("record_prediction"),
            {
                **self.key.parameters,
                "attempt": attempt,
                "version": prediction.version,
                "predicted_ms": prediction.predicted_ms,
                "low_ms": prediction.low_ms,
                "high_ms": prediction.high_ms,
                "runs": prediction.runs,
            },
        )

    def mark_reverting(self, version: str, attempt: str) -> None:
        """Mark a migration as reverting: its `down` has several segments and has started."""
        self._update("mark_reverting", version, {"version": version, "attempt": attempt})

    def delete(self, version: str) -> None:
        """Delete a reverted migration but keep its journal."""
        self._update("delete_migration", version, {"version": version})

    def delete_intent(self, plan: PlannedMigration, segment: Segment, attempt: str) -> None:
        """Delete the intent for a segment that failed and left nothing behind.

        For the first segment, also remove the mark that the migration has started.
        """
        self._connection.execute(query("delete_journal"), {"attempt": attempt, "segment": segment.number})
        if segment.number == 1 and plan.direction is Direction.UP:
            self.delete(plan.version)
        elif segment.number == 1:
            self._update("unmark_reverting", plan.version, {"version": plan.version})

    def record_intent(self, plan: PlannedMigration, segment: Segment, attempt: str) -> None:
        """Record that a segment is about to run outside a transaction."""
        self._record("record_segment", plan, segment, attempt, SegmentState.INTENT)

    def complete_intent(
        self,
        plan: PlannedMigration,
        segment: Segment,
        attempt: str,
        steps: Sequence[Mapping[str, object]],
        duration_ms: float,
    ) -> None:
        """Mark an intent as done. Raise Drift if another run has already done so."""
        cursor = self._record("complete_intent", plan, segment, attempt, SegmentState.DONE, steps, duration_ms)
        _check_one_row(cursor, plan.version)

    def record_segment(
        self,
        plan: PlannedMigration,
        segment: Segment,
        attempt: str,
        steps: Sequence[Mapping[str, object]],
        duration_ms: float,
    ) -> None:
        """Record a segment as done. Raise UniqueViolation if another run has already recorded it."""
        self._record("record_segment", plan, segment, attempt, SegmentState.DONE, steps, duration_ms)

    def record_applied(
        self,
        plan: PlannedMigration,
        segment: Segment,
        attempt: str,
        steps: Sequence[Mapping[str, object]],
        duration_ms: float,
        chain_checksum: str,
        event: Mapping[str, Any],
    ) -> None:
        """Record a migration as applied together with its only segment and its event.

        The effect is the same as calling `record_segment` and `insert_applied`, and recording the event. `event`
        contains the parameters of the event.
        """
        self._connection.execute(
            query("record_applied"),
            {
                **event,
                **self.key.parameters,
                **self._store_migration(plan),
                **_segment_parameters(plan, segment, attempt, duration_ms),
                "segment_steps": Jsonb(list(steps)),
                "origin": HistoryOrigin.RUN.value,
                "chain": chain_checksum,
            },
        )

    def _store_migration(self, plan: PlannedMigration) -> dict[str, Any]:
        """Store a migration's texts, and return the parameters of its row, which refers to them."""
        texts = collect_texts(plan.migration)
        store_texts(self._connection, texts)
        return {
            "version": plan.version,
            "name": plan.migration.name,
            "checksum": plan.checksum,
            "steps": Jsonb([[step.phase.value, step.label, step.checksum] for step in plan.step_checksums]),
            "texts": Jsonb(texts_to_row(texts)),
            "inputs": Jsonb([[one.kind.value, one.name, one.digest] for one in plan.inputs()]),
        }

    def _record(
        self,
        name: str,
        plan: PlannedMigration,
        segment: Segment,
        attempt: str,
        state: SegmentState,
        steps: Sequence[Mapping[str, object]] = (),
        duration_ms: float | None = None,
    ) -> Cursor:
        parameters = self.key.parameters | _segment_parameters(plan, segment, attempt, duration_ms)
        return self._connection.execute(query(name), {**parameters, "state": state.value, "steps": Jsonb(list(steps))})

    def _update(self, name: str, version: str, parameters: Mapping[str, Any]) -> None:
        _check_one_row(self._connection.execute(query(name), {**self.key.parameters, **parameters}), version)

    def _insert(
        self,
        plan: PlannedMigration,
        attempt: str,
        state: MigrationState,
        origin: HistoryOrigin,
        chain_checksum: str,
        duration_ms: float | None,
    ) -> None:
        self._connection.execute(
            query("insert_migration"),
            {
                **self.key.parameters,
                **self._store_migration(plan),
                "attempt": attempt,
                "state": state.value,
                "origin": origin.value,
                "chain": chain_checksum,
                "duration_ms": duration_ms,
            },
        )


def _check_one_row(cursor: Cursor, version: str) -> None:
    if cursor.rowcount != 1:
        raise Drift(
            Diagnostic(
                code="drift",
                message=f"the history contains no row for {version} to change",
                detail=("another run has changed it, or the file now spells its version differently",),
                hint="compare `confiture migrate status` with the files",
            )
        )


def _segment_parameters(
    plan: PlannedMigration, segment: Segment, attempt: str, duration_ms: float | None
) -> dict[str, Any]:
    return {
        "attempt": attempt,
        "segment": segment.number,
        "version": plan.version,
        "direction": plan.direction.value,
        "fingerprint": segment_fingerprint(segment.steps),
        "duration_ms": duration_ms,
    }
