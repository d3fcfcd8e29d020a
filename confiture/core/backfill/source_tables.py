"""The tables that a backfill reads, and the columns that map a row to a batch key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from confiture.core.backfill.backfill_source import backfill_error
from confiture.core.backfill.batch_key import BatchKey
from confiture.core.backfill.capture import CapturedTable
from confiture.core.db.connection import Connection
from confiture.core.db.operators import qualified_operator, read_operators
from confiture.core.db.queries import query, quote_table
from confiture.models.catalog import QualifiedName
from confiture.models.plan import PlannedBackfill, PlannedStep, TableRef
from confiture.sql.batching import source_tables
from confiture.sql.parse_tree import parse_rendered
from confiture.text import pluralize

_WITHOUT_TRIGGERS = {"m": "a materialized view", "f": "a foreign table"}


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceTable:
    """A table that the statement reads, directly or through a view."""

    oid: int
    name: QualifiedName
    kind: str
    is_inherited: bool
    has_foreign_partitions: bool

    @property
    def uncapturable_reason(self) -> str | None:
        """The reason that triggers would miss writes to the table; None if triggers capture all writes."""
        if self.kind in _WITHOUT_TRIGGERS:
            return f"is {_WITHOUT_TRIGGERS[self.kind]}"
        if self.is_inherited:
            return "has inheritance children, and its triggers do not see writes to them"
        return "has foreign-table partitions" if self.has_foreign_partitions else None


def resolve_table(connection: Connection, step: PlannedStep, table: TableRef) -> QualifiedName:
    """Return the table that a name refers to. Raise StepFailed if the table does not exist."""
    tables = _find_tables(connection, [table])
    if len(tables) != 1:
        raise backfill_error(step, "undefined-table", f"there is no table {table}", "create it in an earlier phase")
    return tables[0].name


def resolve_source_tables(connection: Connection, step: PlannedStep) -> tuple[SourceTable, ...]:
    """Return the tables read by a backfill's statement."""
    return _find_tables(connection, source_tables(parse_rendered(step.rendered)[0]))


def tables_to_capture(
    connection: Connection, step: PlannedStep, backfill: PlannedBackfill, key: BatchKey, into: QualifiedName
) -> tuple[CapturedTable, ...]:
    """Return the tables whose writes are captured, with the columns that contain the key.

    Raise StepFailed if a table read by the statement is not in `captures` or cannot be captured.
    """
    columns = {key.table: tuple(column.name for column in key.columns)}
    for capture in backfill.captures:
        columns[resolve_table(connection, step, capture.table)] = capture.columns
    _check_target_key(step, backfill, key)
    captured_tables = []
    for table in resolve_source_tables(connection, step):
        listed = columns.get(table.name)
        if listed is None:
            raise backfill_error(
                step,
                "not-captured",
                f"writes to {table.name} would be missed: `captures` does not name its batch key columns",
                f"captures: {{{table.name}: [{', '.join(columns[key.table])}]}}; [] if no session writes to it",
            )
        if listed:
            _check_capturable(step, table, listed, key)
            _check_columns(connection, step, table, listed, key)
            captured_tables.append(CapturedTable(name=table.name, columns=listed, is_target=table.name == into))
    return tuple(captured_tables)


def _check_target_key(step: PlannedStep, backfill: PlannedBackfill, key: BatchKey) -> None:
    targets = backfill.target_columns
    missing = [column.name for column in key.columns if targets is not None and column.name not in targets]
    if missing:
        raise backfill_error(
            step,
            "target-without-key",
            f"{backfill.into} does not store the batch key columns {', '.join(missing)}: its rows cannot be identified",
            "insert the key columns unchanged, with a column list after INSERT INTO; or use on_writes: ignore",
        )


def _check_capturable(step: PlannedStep, table: SourceTable, columns: Sequence[str], key: BatchKey) -> None:
    if len(columns) != len(key):
        raise backfill_error(
            step,
            "not-captured",
            f"the batch key has {pluralize(len(key), 'column')}, but `captures` lists {len(columns)} for {table.name}",
            f"list the columns that contain {', '.join(column.name for column in key.columns)}, in this order",
        )
    if table.uncapturable_reason:
        hint = f"if no session writes to it during the backfill: captures: {{{table.name}: []}}"
        raise backfill_error(
            step, "not-captured", f"writes to {table.name} cannot be captured: it {table.uncapturable_reason}", hint
        )


def _check_columns(
    connection: Connection, step: PlannedStep, table: SourceTable, columns: Sequence[str], key: BatchKey
) -> None:
    """Check that the trigger cannot fail, because a trigger error would make other sessions' writes fail."""
    parameters = {"table": table.oid, "names": list(columns), "types": [column.log_type for column in key.columns]}
    for row, column in zip(connection.execute(query("captured_columns"), parameters), key.columns, strict=True):
        if not row["is_there"]:
            raise backfill_error(step, "not-captured", f"{table.name} has no column {row['name']}", "check `captures:`")
        if not row["fits"]:
            raise backfill_error(
                step,
                "not-captured",
                f"{table.name}.{row['name']} is {row['type']}, but the batch key's {column.name} is {column.type}",
                "name a column of the same type",
            )


def check_rows_replaceable(
    connection: Connection, step: PlannedStep, backfill: PlannedBackfill, into: QualifiedName
) -> None:
    """Check that target rows can be deleted and refilled, as is done for keys that other sessions write.

    Raise StepFailed if the target may contain rows that the backfill did not write, or if foreign keys cascade from it.
    """
    targets = backfill.target_columns
    if targets is None:
        return
    name = sql.Identifier(*into)
    cascades = connection.execute(query("cascades"), {"table": name.as_string(connection)}).fetchall()
    if cascades:
        raise backfill_error(
            step,
            "target-referenced",
            f"concurrent writes delete and refill rows in {into}, and foreign keys would cascade each deletion",
            "create these foreign keys after the backfill; or use on_writes: ignore",
            detail=tuple(f"foreign key {row['name']} on {row['table']}" for row in cascades),
        )
    own = {*targets.values(), *backfill.constants}
    if backfill.conflict_columns and own.issuperset(backfill.conflict_columns):
        return
    if connection.execute(sql.SQL("SELECT FROM {} LIMIT 1").format(name)).fetchone() is not None:
        raise backfill_error(
            step,
            "target-not-empty",
            f"{into} already contains rows, which the backfill could replace when it applies concurrent writes",
            f"empty {into}; or add ON CONFLICT (...) with columns that are the batch key, or constant in each row",
        )


def own_rows_predicate(connection: Connection, backfill: PlannedBackfill, into: QualifiedName) -> sql.Composed:
    """Return the condition that this backfill wrote the target rows, aliased t. Other steps may fill the target too."""
    constants = [(column, backfill.constants.get(column)) for column in backfill.conflict_columns]
    values = [(column, value) for column, value in constants if value is not None]
    schemas = _operator_schemas(connection, into) if values else {}
    conditions = [
        sql.SQL("t.{} {} {}").format(
            sql.Identifier(column), sql.SQL(qualified_operator("=", schemas[column])), sql.Literal(value)
        )
        for column, value in values
    ]
    return sql.SQL(" AND ").join([*conditions, sql.SQL("true")])


def _operator_schemas(connection: Connection, table: QualifiedName) -> dict[str, str]:
    """Return the schema that contains each column's comparison operators."""
    operators = read_operators(connection)
    rows = connection.execute(query("column_types"), {"table": quote_table(table)})
    return {row["name"]: operators.schema_for(row["type"]) for row in rows}


def _find_tables(connection: Connection, tables: Sequence[TableRef]) -> tuple[SourceTable, ...]:
    names = {"names": [quote_table(table) for table in tables]}
    rows: list[dict[str, Any]] = connection.execute(query("read_tables"), names).fetchall()
    return tuple(
        SourceTable(
            oid=row["oid"],
            name=QualifiedName(row["schema"], row["name"]),
            kind=row["kind"],
            is_inherited=row["is_inherited"],
            has_foreign_partitions=row["has_foreign_partitions"],
        )
        for row in rows
    )
