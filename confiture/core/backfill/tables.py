"""Which tables a backfill reads, and how a write to each maps to its batch key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from confiture.core.backfill.capture import CapturedTable
from confiture.core.backfill.keys import BatchKey
from confiture.core.backfill.source import failed
from confiture.core.database import Connection
from confiture.core.names import quoted
from confiture.core.operators import operator, read_operators
from confiture.core.queries import query
from confiture.models.catalog import Name
from confiture.models.plan import PlannedBackfill, PlannedStep, TableRef
from confiture.models.words import count
from confiture.sql.batching import tables_read
from confiture.sql.tree import parsed

_WITHOUT_TRIGGERS = {"m": "a materialized view", "f": "a foreign table"}


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadTable:
    """A table that the statement reads, itself or through a view."""

    oid: int
    name: Name
    kind: str
    is_inherited: bool
    has_foreign_partitions: bool

    @property
    def why_unseen(self) -> str | None:
        """Why triggers on it would not see all writes; None where they do."""
        if self.kind in _WITHOUT_TRIGGERS:
            return f"is {_WITHOUT_TRIGGERS[self.kind]}"
        if self.is_inherited:
            return "is inherited by other tables, whose writes its triggers do not see"
        return "has foreign tables as partitions" if self.has_foreign_partitions else None


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
            _require_columns(connection, step, table, listed, key)
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
            f"the batch key has {count(len(key), 'column')}, `captures` names {len(columns)} of {table.name}",
            f"name those that hold {', '.join(column.name for column in key.columns)}, in this order",
        )
    if table.why_unseen:
        hint = f"if nobody writes to it meanwhile: captures: {{{table.name}: []}}"
        raise failed(step, "not-captured", f"writes to {table.name} cannot be noted: it {table.why_unseen}", hint)


def _require_columns(
    connection: Connection, step: PlannedStep, table: ReadTable, columns: Sequence[str], key: BatchKey
) -> None:
    """A trigger that fails would fail the writes of others: what it does is made sure of before."""
    told = {"table": table.oid, "names": list(columns), "types": [column.note_type for column in key.columns]}
    for row, column in zip(connection.execute(query("captured_columns"), told), key.columns, strict=True):
        if not row["is_there"]:
            raise failed(step, "not-captured", f"{table.name} has no column {row['name']}", "look at `captures:`")
        if not row["fits"]:
            raise failed(
                step,
                "not-captured",
                f"{table.name}.{row['name']} is {row['type']}, the batch key's {column.name} is {column.type}",
                "name a column of the same type",
            )


def require_replaceable(connection: Connection, step: PlannedStep, backfill: PlannedBackfill, into: Name) -> None:
    """Raises StepFailed where the target may hold rows that are not the backfill's own, or where others hang on its
    rows: those of keys that others write are deleted and made anew.
    """
    targets = backfill.target_columns
    if targets is None:
        return
    name = sql.Identifier(*into)
    cascades = connection.execute(query("cascades"), {"table": name.as_string(connection)}).fetchall()
    if cascades:
        raise failed(
            step,
            "target-referenced",
            f"rows of {into} are deleted and made anew where others write meanwhile, and with them go those of others",
            "make these foreign keys after the backfill; or on_writes: ignore",
            detail=tuple(f"foreign key {row['name']} of {row['table']}" for row in cascades),
        )
    own = {*targets.values(), *backfill.constants}
    if backfill.conflict_columns and own.issuperset(backfill.conflict_columns):
        return
    if connection.execute(sql.SQL("SELECT FROM {} LIMIT 1").format(name)).fetchone() is not None:
        raise failed(
            step,
            "target-not-empty",
            f"{into} has rows already, and nothing says whose they are: they would be replaced where others write",
            f"empty {into}; or say ON CONFLICT (...) with columns that are the batch key, or the same in each row",
        )


def own_rows(connection: Connection, backfill: PlannedBackfill, into: Name) -> sql.Composed:
    """The condition that rows of the target, called t, are the backfill's own: it may share the table with others."""
    constants = [(column, backfill.constants.get(column)) for column in backfill.conflict_columns]
    told = [(column, value) for column, value in constants if value is not None]
    schemas = _operator_schemas(connection, into) if told else {}
    conditions = [
        sql.SQL("t.{} {} {}").format(
            sql.Identifier(column), sql.SQL(operator("=", schemas[column])), sql.Literal(value)
        )
        for column, value in told
    ]
    return sql.SQL(" AND ").join([*conditions, sql.SQL("true")])


def _operator_schemas(connection: Connection, table: Name) -> dict[str, str]:
    """The schema of each column's comparison operators."""
    operators = read_operators(connection)
    rows = connection.execute(query("column_types"), {"table": quoted(table)})
    return {row["name"]: operators.schema(row["type"]) for row in rows}


def _resolve(connection: Connection, tables: Sequence[TableRef]) -> tuple[ReadTable, ...]:
    names = {"names": [quoted(table) for table in tables]}
    rows: list[dict[str, Any]] = connection.execute(query("read_tables"), names).fetchall()
    return tuple(
        ReadTable(
            oid=row["oid"],
            name=Name(row["schema"], row["name"]),
            kind=row["kind"],
            is_inherited=row["is_inherited"],
            has_foreign_partitions=row["has_foreign_partitions"],
        )
        for row in rows
    )
