"""Whether a statement can be repeated for rows that other sessions have written in the meantime."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from confiture.models.plan import TableRef
from confiture.sql.batching.parts import is_batch_condition
from confiture.sql.parse_tree import ParsedStatement, flatten_and, pb, strings
from confiture.sql.parsing import SqlProblem
from confiture.sql.traversal import find_nodes


def replay_problem(statement: ParsedStatement, source: TableRef) -> SqlProblem | None:
    """Return why rows cannot be filled again after other sessions have written them; None if refilling is safe."""
    written = statement.node.relation if statement.kind == "insert_stmt" else None
    reads = [
        table
        for table in find_nodes(statement.node, pb.RangeVar)
        if table is not written and table.relname == source.name
    ]
    if len(reads) > 1:
        return SqlProblem(
            "not-captured",
            f"the statement reads {source} more than once: a write to one row can affect rows with other keys",
            statement.offset,
            "use `on_writes: ignore` if no other session writes, or fill a table first and read it in a second"
            " backfill",
        )
    return _compounding_update_problem(statement) if statement.kind == "update_stmt" else None


def _compounding_update_problem(statement: ParsedStatement) -> SqlProblem | None:
    """Return the problem if an UPDATE is not idempotent, that is, if it reads the column that it sets and no condition
    excludes finished rows.
    """
    node = statement.node
    assigned = {target.res_target.name for target in node.target_list}
    compounding = assigned & {name for target in node.target_list for name in _columns_read(target.res_target.val)}
    rest = [part for part in flatten_and(node.where_clause) if not is_batch_condition(part.column_ref)]
    if not compounding or any(assigned & set(_columns_read(part)) for part in rest):
        return None
    names = ", ".join(sorted(compounding))
    return SqlProblem(
        "backfill-compounds",
        f"the UPDATE computes {names} from {names}: a row that is written concurrently would be updated twice",
        statement.offset,
        f"exclude finished rows with WHERE {{{{ batch }}}} AND (... {names} ...), or set another column",
    )


def _columns_read(expression: Any) -> Iterator[str]:
    for column in find_nodes(expression, pb.ColumnRef):
        if all(field.WhichOneof("node") == "string" for field in column.fields):
            yield strings(column.fields)[-1]
