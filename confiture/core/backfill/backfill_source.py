"""Find the batch key for a driving table, and reject tables that cannot be read in batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from confiture.core.backfill.batch_key import BatchKey, KeyColumn
from confiture.core.db.connection import Connection
from confiture.core.db.errors import ROW_SECURITY_HINT, StepFailed
from confiture.core.db.operators import Operators, read_operators
from confiture.core.db.queries import query, quote_table
from confiture.models.catalog import QualifiedName
from confiture.models.plan import PlannedBackfill, PlannedStep
from confiture.sql.batching import batching_problem, source_tables
from confiture.sql.parse_tree import parse_rendered, quote_identifier

_ORDERS = ({0}, {3})
"""The values of pg_index.indoption for ascending and descending indexes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BackfillSource:
    """A driving table and its batch key. `estimated_rows` is the planner's estimate; None if never analyzed."""

    key: BatchKey
    estimated_rows: int | None


def find_source(connection: Connection, step: PlannedStep, backfill: PlannedBackfill) -> BackfillSource:
    """Return a backfill's driving table. Raise StepFailed, with a hint, if the table cannot be read in batches."""
    table = quote_table(backfill.source)
    row = connection.execute(query("key_source"), {"table": table}).fetchone()
    if row is None:
        raise backfill_error(
            step, "undefined-table", f"there is no table {backfill.source}", "create it in an earlier phase"
        )
    check_row_security(connection, step, backfill)
    names = backfill.key or tuple(row["primary_key"])
    if not names:
        raise backfill_error(
            step, "no-batch-key", f"{backfill.source} has no primary key", "name the columns with `key:`"
        )
    columns = _build_key_columns(step, row, names, read_operators(connection))
    key = BatchKey(table=QualifiedName(row["schema"], row["name"]), alias=backfill.alias, columns=tuple(columns))
    if not any(_is_index_prefix(index, names) for index in row["indexes"]):
        listed = ", ".join(map(quote_identifier, names))
        message = f"no index on {backfill.source} starts with the batch key ({listed}): each batch would scan all of it"
        hint = f"CREATE INDEX CONCURRENTLY ON {table} ({listed})"
        raise backfill_error(step, "no-batch-index", message, hint)
    problem = batching_problem(parse_rendered(step.rendered)[0], backfill.alias, names)
    if problem:
        raise backfill_error(step, problem.code, problem.message, problem.hint)
    return BackfillSource(key=key, estimated_rows=row["rows"])


def check_row_security(connection: Connection, step: PlannedStep, backfill: PlannedBackfill) -> None:
    """Raise StepFailed if row security hides rows from this role in a table that the backfill uses."""
    tables = dict.fromkeys([backfill.source, *source_tables(parse_rendered(step.rendered)[0]), backfill.into])
    names = [quote_table(table) for table in tables]
    hidden = connection.execute(query("row_security_active"), {"names": names}).fetchone()
    if hidden is not None:
        message = f"row security hides rows in {hidden['name']} from this role"
        raise backfill_error(step, "row-security", message, ROW_SECURITY_HINT)


def backfill_error(step: PlannedStep, code: str, message: str, hint: str, detail: tuple[str, ...] = ()) -> StepFailed:
    """Return an error, located at the statement, for a backfill that cannot start or continue."""
    offset = step.statements[0].offset
    return StepFailed(step.rendered.diagnostic(offset, code, message, detail=detail, hint=hint), None)


def _build_key_columns(
    step: PlannedStep, row: dict[str, Any], names: Sequence[str], operators: Operators
) -> list[KeyColumn]:
    facts_by_name = {name: facts for name, *facts in row["columns"]}
    columns = []
    for name in names:
        if name not in facts_by_name:
            raise backfill_error(step, "no-batch-key", f"{row['name']} has no column {name}", "check `key:`")
        type_, base, not_null, is_builtin, has_parts = facts_by_name[name]
        if not_null != "true":
            message = f"{row['name']}.{name} is nullable: no batch would contain its NULL rows"
            table = quote_table(QualifiedName(row["schema"], row["name"]))
            hint = (
                f"batch by other columns, or first ALTER TABLE {table} ALTER COLUMN"
                f" {quote_identifier(name)} SET NOT NULL"
            )
            raise backfill_error(step, "no-batch-key", message, hint)
        if has_parts == "true":
            # A literal of a composed type runs the checks of the domains inside it.
            message = f"{row['name']}.{name} has the type {type_}, which is composed of other types"
            raise backfill_error(step, "no-batch-key", message, "batch by columns of plain types")
        columns.append(
            KeyColumn(
                name=name,
                type=type_,
                base_type=base,
                operator_schema=operators.schema_for(base),
                is_builtin=is_builtin == "true",
            )
        )
    return columns


def _is_index_prefix(index: Sequence[tuple[str | None, int]], names: Sequence[str]) -> bool:
    """Whether an index returns rows in key order, forwards or backwards."""
    leading = index[: len(names)]
    return [name for name, _ in leading] == list(names) and {option for _, option in leading} in _ORDERS
