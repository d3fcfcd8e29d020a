"""Detection of statements that cannot be split into batches, because they combine rows from several batches or change
the batch key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from confiture.sql.batching.parts import alias_in_query, driving_column, insert_query
from confiture.sql.parse_tree import ParsedStatement, pb, strings
from confiture.sql.parsing import SqlProblem
from confiture.sql.traversal import find_nodes


def batching_problem(statement: ParsedStatement, alias: str, key: Sequence[str]) -> SqlProblem | None:
    """Return why the statement cannot be split by this key; None if it can."""
    query = insert_query(statement)
    try:
        if query is not None:
            _check_groups_within_key(statement, query, alias, key)
        elif statement.kind == "update_stmt":
            _check_key_unchanged(statement, alias, key)
    except SqlProblem as problem:
        return problem
    return None


def _check_groups_within_key(statement: ParsedStatement, query: Any, alias: str, key: Sequence[str]) -> None:
    """Raise SqlProblem if the query combines rows from several batches."""
    outputs = [target.res_target for target in query.target_list]
    if query.group_clause:
        grouped = {driving_column(item, outputs, alias) for item in query.group_clause}
        _check_clause(statement, grouped, key, "GROUP BY", "a group could be split between two batches")
    elif any(_is_aggregate(call) for target in outputs for call in find_nodes(target, pb.FuncCall)):
        raise SqlProblem(
            "backfill-groups",
            "the query aggregates without GROUP BY: it would return one row per batch",
            statement.offset,
            f"add GROUP BY {', '.join(f'{alias}.{column}' for column in key)}",
        )
    if query.distinct_clause:
        on = [item for item in query.distinct_clause if item.WhichOneof("node")]
        columns = on or [target.val for target in outputs]
        _check_clause(
            statement,
            {driving_column(one, outputs, alias) for one in columns},
            key,
            "DISTINCT",
            "rows from different batches would not be merged",
        )
    if query.HasField("limit_count") or query.HasField("limit_offset"):
        message = "LIMIT and OFFSET would apply to each batch separately"
        raise SqlProblem("backfill-groups", message, statement.offset, "remove the clause")
    for window in _iter_windows(query, outputs):
        parts = {driving_column(item, (), alias) for item in window.partition_clause}
        _check_clause(statement, parts, key, "PARTITION BY", "a window would contain only the rows of its batch")


def _check_key_unchanged(statement: ParsedStatement, alias: str, key: Sequence[str]) -> None:
    """Raise SqlProblem if an UPDATE changes its own batch key."""
    node = statement.node
    assigned = [target.res_target.name for target in node.target_list if target.res_target.name in key]
    if assigned and alias_in_query(node.relation) == alias:
        raise SqlProblem(
            "backfill-key-written",
            f"the UPDATE sets {', '.join(assigned)} of the batch key: rows could be skipped or updated twice",
            statement.offset,
            "use another batch key (`key:`)",
        )


def _iter_windows(query: Any, outputs: Iterable[Any]) -> Iterator[Any]:
    named = {item.window_def.name: item.window_def for item in query.window_clause}
    for target in outputs:
        for call in find_nodes(target, pb.FuncCall):
            if call.HasField("over"):
                yield named.get(call.over.name or call.over.refname, call.over)


def _check_clause(
    statement: ParsedStatement, found: set[str | None], key: Sequence[str], clause: str, why: str
) -> None:
    missing = [column for column in key if column not in found]
    if missing:
        raise SqlProblem(
            "backfill-groups",
            f"{clause} does not contain {', '.join(missing)} of the batch key: {why}",
            statement.offset,
            f"add the column to {clause}, or use a batch key that {clause} contains (`key:`)",
        )


_AGGREGATES = frozenset(
    {
        "array_agg",
        "any_value",
        "avg",
        "bit_and",
        "bit_or",
        "bit_xor",
        "bool_and",
        "bool_or",
        "count",
        "every",
        "json_agg",
        "json_object_agg",
        "jsonb_agg",
        "jsonb_object_agg",
        "max",
        "min",
        "range_agg",
        "range_intersect_agg",
        "string_agg",
        "sum",
        "xmlagg",
        "corr",
        "covar_pop",
        "covar_samp",
        "stddev",
        "stddev_pop",
        "stddev_samp",
        "variance",
        "var_pop",
        "var_samp",
        "mode",
        "percentile_cont",
        "percentile_disc",
    }
)


def _is_aggregate(call: Any) -> bool:
    if call.HasField("over"):
        return False
    return call.agg_star or call.agg_within_group or strings(call.funcname)[-1] in _AGGREGATES
