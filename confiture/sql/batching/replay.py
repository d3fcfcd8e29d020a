"""Whether a statement can run again for rows that others have written meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from confiture.models.plan import TableRef
from confiture.sql.batching.parts import is_batch_condition
from confiture.sql.parse_tree import ParsedStatement, flatten_and, pb, strings
from confiture.sql.parsing import SqlProblem
from confiture.sql.traversal import find_nodes


def replay_problem(statement: ParsedStatement, source: TableRef) -> SqlProblem | None:
    """Why rows cannot be filled again when others have written them; None where they can."""
    written = statement.node.relation if statement.kind == "insert_stmt" else None
    reads = [
        table
        for table in find_nodes(statement.node, pb.RangeVar)
        if table is not written and table.relname == source.name
    ]
    if len(reads) > 1:
        return SqlProblem(
            "not-captured",
            f"the statement reads {source} more than once: a write to one row may change what belongs to other keys",
            statement.offset,
            "`on_writes: ignore` while nobody writes; or two backfills, the first into a table of what the other reads",
        )
    return _compounding_update_problem(statement) if statement.kind == "update_stmt" else None


def _compounding_update_problem(statement: ParsedStatement) -> SqlProblem | None:
    """An UPDATE whose second run gives something else than the first: it reads what it sets, and does not say where it
    is done.
    """
    node = statement.node
    assigned = {target.res_target.name for target in node.target_list}
    read = assigned & {name for target in node.target_list for name in _columns_read(target.res_target.val)}
    rest = [part for part in flatten_and(node.where_clause) if not is_batch_condition(part.column_ref)]
    if not read or any(assigned & set(_columns_read(part)) for part in rest):
        return None
    names = ", ".join(sorted(read))
    return SqlProblem(
        "backfill-compounds",
        f"the UPDATE makes {names} from {names}: a row that others write meanwhile would get it twice",
        statement.offset,
        f"say where it is done, WHERE {{{{ batch }}}} AND (... {names} ...); or set another column",
    )


def _columns_read(expression: Any) -> Iterator[str]:
    for column in find_nodes(expression, pb.ColumnRef):
        if all(field.WhichOneof("node") == "string" for field in column.fields):
            yield strings(column.fields)[-1]
