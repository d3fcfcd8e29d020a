"""Finds the batch key of a driving table, and refuses tables that cannot be read in batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from confiture.core.backfill.batch_key import BatchKey, KeyColumn
from confiture.core.db.connection import Connection
from confiture.core.db.errors import StepFailed
from confiture.core.db.operators import Operators, read_operators
from confiture.core.db.queries import query, quote_table
from confiture.models.catalog import QualifiedName
from confiture.models.plan import PlannedBackfill, PlannedStep
from confiture.sql.batching import batching_problem
from confiture.sql.parse_tree import parse_rendered, quote_identifier

_ORDERS = ({0}, {3})
"""pg_index.indoption of an index in ascending order, and of one in descending order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BackfillSource:
    """A driving table with its batch key. `estimated_rows` is what the planner believes; None if never analysed."""

    key: BatchKey
    estimated_rows: int | None


def find_source(connection: Connection, step: PlannedStep, backfill: PlannedBackfill) -> BackfillSource:
    """The driving table of a backfill. Raises StepFailed where it cannot be read in batches, with what to do."""
    table = quote_table(backfill.source)
    row = connection.execute(query("key_source"), {"table": table}).fetchone()
    if row is None:
        raise backfill_error(
            step, "undefined-table", f"there is no table {backfill.source}", "make it in a phase before this"
        )
    names = backfill.key or tuple(row["primary_key"])
    if not names:
        raise backfill_error(
            step, "no-batch-key", f"{backfill.source} has no primary key", "name the columns with `key:`"
        )
    columns = _build_key_columns(step, row, names, read_operators(connection))
    key = BatchKey(table=QualifiedName(row["schema"], row["name"]), alias=backfill.alias, columns=tuple(columns))
    if not any(_is_index_prefix(index, names) for index in row["indexes"]):
        listed = ", ".join(map(quote_identifier, names))
        message = f"no index of {backfill.source} begins with its batch key ({listed}): each batch would read it whole"
        hint = f"CREATE INDEX CONCURRENTLY ON {table} ({listed})"
        raise backfill_error(step, "no-batch-index", message, hint)
    problem = batching_problem(parse_rendered(step.rendered)[0], backfill.alias, names)
    if problem:
        raise backfill_error(step, problem.code, problem.message, problem.hint)
    return BackfillSource(key=key, estimated_rows=row["rows"])


def backfill_error(step: PlannedStep, code: str, message: str, hint: str, detail: tuple[str, ...] = ()) -> StepFailed:
    """What is raised where a backfill cannot begin, placed at its statement."""
    offset = step.statements[0].offset
    return StepFailed(step.rendered.diagnostic(offset, code, message, detail=detail, hint=hint), None)


def _build_key_columns(
    step: PlannedStep, row: dict[str, Any], names: Sequence[str], operators: Operators
) -> list[KeyColumn]:
    known = {name: facts for name, *facts in row["columns"]}
    found = []
    for name in names:
        if name not in known:
            raise backfill_error(step, "no-batch-key", f"{row['name']} has no column {name}", "look at `key:`")
        type_, base, not_null, is_builtin, has_parts = known[name]
        if not_null != "true":
            message = f"{row['name']}.{name} may be NULL: rows without it would be in no batch"
            table = quote_table(QualifiedName(row["schema"], row["name"]))
            hint = (
                f"batch by other columns, or first ALTER TABLE {table} ALTER COLUMN"
                f" {quote_identifier(name)} SET NOT NULL"
            )
            raise backfill_error(step, "no-batch-key", message, hint)
        if has_parts == "true":
            # a literal of such a type in one of our statements runs the checks of the domains inside
            message = f"{row['name']}.{name} is of the type {type_}, which is made of other types"
            raise backfill_error(step, "no-batch-key", message, "batch by columns of plain types")
        found.append(
            KeyColumn(
                name=name,
                type=type_,
                base_type=base,
                operator_schema=operators.schema_for(base),
                is_builtin=is_builtin == "true",
            )
        )
    return found


def _is_index_prefix(index: Sequence[tuple[str | None, int]], names: Sequence[str]) -> bool:
    """Whether an index reads in the order of the key, forwards or backwards."""
    leading = index[: len(names)]
    return [name for name, _ in leading] == list(names) and {option for _, option in leading} in _ORDERS
