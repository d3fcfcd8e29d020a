"""Which tables a backfill reads, and how a write to each maps to its batch key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from confiture.core.backfill.capture import CapturedTable
from confiture.core.backfill.keys import BatchKey
from confiture.core.backfill.source import failed
from confiture.core.database import Connection
from confiture.core.queries import query
from confiture.models.catalog import Name
from confiture.models.plan import PlannedBackfill, PlannedStep, TableRef
from confiture.plan.rendering import quote_identifier
from confiture.sql.backfills import tables_read
from confiture.sql.tree import parsed

_WITHOUT_TRIGGERS = {"m": "a materialized view", "f": "a foreign table"}


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadTable:
    """A table that the statement reads, itself or through a view."""

    oid: int
    name: Name
    kind: str
    is_inherited: bool


def resolved(connection: Connection, step: PlannedStep, table: TableRef) -> Name:
    """The table that a name means. Raises StepFailed where there is none."""
    found = _resolve(connection, [table])
    if len(found) != 1:
        raise failed(step, "undefined-table", f"there is no table {table}", "make it in a phase before this")
    return found[0].name


def read_tables(connection: Connection, step: PlannedStep) -> tuple[ReadTable, ...]:
    """The tables that the statement of a backfill reads."""
    return _resolve(connection, tables_read(parsed(step.rendered)[0]))


def captured_tables(
    connection: Connection, step: PlannedStep, backfill: PlannedBackfill, key: BatchKey, into: Name
) -> tuple[CapturedTable, ...]:
    """The tables whose writes are noted, with the columns that hold the key.

    Raises StepFailed where a table that the statement reads is not said to be captured, or cannot be.
    """
    columns = {key.table: tuple(column.name for column in key.columns)}
    for capture in backfill.captures:
        columns[resolved(connection, step, capture.table)] = capture.columns
    _require_target_key(step, backfill, key)
    found = []
    for table in read_tables(connection, step):
        listed = columns.get(table.name)
        if listed is None:
            raise failed(
                step,
                "not-captured",
                f"writes to {table.name} would go unseen: which of its columns hold the batch key?",
                f"captures: {{{table.name}: [{', '.join(columns[key.table])}]}}; [] if nobody writes to it",
            )
        if listed:
            _require_capturable(step, table, listed, key)
            found.append(CapturedTable(name=table.name, columns=listed, is_filled=table.name == into))
    return tuple(found)


def _require_target_key(step: PlannedStep, backfill: PlannedBackfill, key: BatchKey) -> None:
    targets = backfill.target_columns
    missing = [column.name for column in key.columns if targets is not None and column.name not in targets]
    if missing:
        raise failed(
            step,
            "target-without-key",
            f"{backfill.into} does not take {', '.join(missing)} of the batch key: its rows could not be found again",
            "insert the key's columns as they are, with a list of columns after INSERT INTO; or on_writes: ignore",
        )


def _require_capturable(step: PlannedStep, table: ReadTable, columns: Sequence[str], key: BatchKey) -> None:
    if len(columns) != len(key):
        raise failed(
            step,
            "not-captured",
            f"the batch key has {len(key)} columns, `captures` names {len(columns)} of {table.name}",
            f"name those that hold {', '.join(column.name for column in key.columns)}, in this order",
        )
    if table.kind in _WITHOUT_TRIGGERS or table.is_inherited:
        why = _WITHOUT_TRIGGERS.get(table.kind, "inherited by other tables, whose writes its triggers do not see")
        hint = "if nobody writes to it meanwhile: captures: {...: []}"
        raise failed(step, "not-captured", f"writes to {table.name} cannot be noted: it is {why}", hint)


def _resolve(connection: Connection, tables: Sequence[TableRef]) -> tuple[ReadTable, ...]:
    names = [".".join(quote_identifier(part) for part in table if part) for table in tables]
    rows: list[dict[str, Any]] = connection.execute(query("read_tables"), {"names": names}).fetchall()
    return tuple(
        ReadTable(
            oid=row["oid"], name=Name(row["schema"], row["name"]), kind=row["kind"], is_inherited=row["is_inherited"]
        )
        for row in rows
    )
