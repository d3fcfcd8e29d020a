"""Finds the batch key of a driving table, and refuses tables that cannot be read in batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from confiture.core.backfill.keys import BatchKey, KeyColumn
from confiture.core.database import Connection
from confiture.core.failures import StepFailed
from confiture.core.names import quoted
from confiture.core.operators import Operators, read_operators
from confiture.core.queries import query
from confiture.models.catalog import Name
from confiture.models.plan import PlannedBackfill, PlannedStep
from confiture.sql.batching import cutting_problem
from confiture.sql.tree import identifier, parsed

_ORDERS = ({0}, {3})
"""pg_index.indoption of an index in ascending order, and of one in descending order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A driving table with its batch key. `estimated_rows` is what the planner believes; None if never analysed."""

    key: BatchKey
    estimated_rows: int | None


def find_source(connection: Connection, step: PlannedStep, backfill: PlannedBackfill) -> Source:
    """The driving table of a backfill. Raises StepFailed where it cannot be read in batches, with what to do."""
    table = quoted(backfill.source)
    row = connection.execute(query("key_source"), {"table": table}).fetchone()
    if row is None:
        raise failed(step, "undefined-table", f"there is no table {backfill.source}", "make it in a phase before this")
    names = backfill.key or tuple(row["primary_key"])
    if not names:
        raise failed(step, "no-batch-key", f"{backfill.source} has no primary key", "name the columns with `key:`")
    columns = _columns(step, row, names, read_operators(connection))
    key = BatchKey(table=Name(row["schema"], row["name"]), alias=backfill.alias, columns=tuple(columns))
    if not any(_leads(index, names) for index in row["indexes"]):
        listed = ", ".join(map(identifier, names))
        message = f"no index of {backfill.source} begins with its batch key ({listed}): each batch would read it whole"
        hint = f"CREATE INDEX CONCURRENTLY ON {table} ({listed})"
        raise failed(step, "no-batch-index", message, hint)
    problem = cutting_problem(parsed(step.rendered)[0], backfill.alias, names)
    if problem:
        raise failed(step, problem.code, problem.message, problem.hint)
    return Source(key=key, estimated_rows=row["rows"])


def failed(step: PlannedStep, code: str, message: str, hint: str, detail: tuple[str, ...] = ()) -> StepFailed:
    """What is raised where a backfill cannot begin, placed at its statement."""
    offset = step.statements[0].offset
    return StepFailed(step.rendered.diagnostic(offset, code, message, detail=detail, hint=hint), None)


def _columns(step: PlannedStep, row: dict[str, Any], names: Sequence[str], operators: Operators) -> list[KeyColumn]:
    known = {name: (type_, base, not_null == "true") for name, type_, base, not_null in row["columns"]}
    found = []
    for name in names:
        if name not in known:
            raise failed(step, "no-batch-key", f"{row['name']} has no column {name}", "look at `key:`")
        type_, base, not_null = known[name]
        if not not_null:
            message = f"{row['name']}.{name} may be NULL: rows without it would be in no batch"
            table = quoted(Name(row["schema"], row["name"]))
            hint = f"batch by other columns, or first ALTER TABLE {table} ALTER COLUMN {identifier(name)} SET NOT NULL"
            raise failed(step, "no-batch-key", message, hint)
        found.append(KeyColumn(name=name, type=type_, base=base, operators=operators.schema(base)))
    return found


def _leads(index: Sequence[tuple[str | None, int]], names: Sequence[str]) -> bool:
    """Whether an index reads in the order of the key, forwards or backwards."""
    leading = index[: len(names)]
    return [name for name, _ in leading] == list(names) and {option for _, option in leading} in _ORDERS
