"""Reads the statement of a backfill: where its batch condition stands, and what cutting it into batches would break.

A batch sees only its own rows of the driving table. So whatever the query puts together (groups, DISTINCT, windows)
must stay within the batch key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any

from confiture.models.plan import BATCH, TableRef
from confiture.models.values import value
from confiture.sql.parsing import SqlProblem
from confiture.sql.tree import ParsedStatement, flatten_and, pb, strings
from confiture.sql.walking import nodes_of

_MARK = BATCH.strip('"')


@value(frozen=True, kw_only=True, slots=True)
class Fill:
    """The statement of a backfill, understood.

    `alias` is what its query calls the driving table. `target_columns` are the columns of that table which an INSERT
    takes as they are, with their names in the target; None for UPDATE and DELETE. `conflict_columns` are those that its
    ON CONFLICT names, `constants` the columns of the target that get the same value in each row.
    """

    alias: str
    target_columns: Mapping[str, str] | None
    conflict_columns: tuple[str, ...] = ()
    constants: Mapping[str, str | int] = field(default_factory=dict)


def read_fill(
    statement: ParsedStatement, source: TableRef, alias: str | None, into: TableRef, key: Sequence[str]
) -> tuple[Fill | None, tuple[SqlProblem, ...]]:
    """What the statement does with the driving table, or what is wrong with it. An empty `key` is not yet known."""
    try:
        return _Reading(statement, source, alias, into).fill(key), ()
    except SqlProblem as problem:
        return None, (problem,)


def cutting_problem(statement: ParsedStatement, alias: str, key: Sequence[str]) -> SqlProblem | None:
    """What of the statement would fall apart if it were cut by this key; None where nothing does."""
    query = _query(statement)
    try:
        if query is not None:
            _require_whole_groups(statement, query, alias, key)
        elif statement.kind == "update_stmt":
            _require_kept_key(statement, alias, key)
    except SqlProblem as problem:
        return problem
    return None


def repeating_problem(statement: ParsedStatement, source: TableRef) -> SqlProblem | None:
    """Why rows cannot be filled again when others have written them; None where they can."""
    written = statement.node.relation if statement.kind == "insert_stmt" else None
    reads = [
        table
        for table in nodes_of(statement.node, pb.RangeVar)
        if table is not written and table.relname == source.name
    ]
    if len(reads) > 1:
        return SqlProblem(
            "not-captured",
            f"the statement reads {source} more than once: a write to one row may change what belongs to other keys",
            statement.offset,
            "`on_writes: ignore` while nobody writes; or two backfills, the first into a table of what the other reads",
        )
    return _compounding(statement) if statement.kind == "update_stmt" else None


def _compounding(statement: ParsedStatement) -> SqlProblem | None:
    """An UPDATE whose second run gives something else than the first: it reads what it sets, and does not say where it
    is done.
    """
    node = statement.node
    assigned = {target.res_target.name for target in node.target_list}
    read = assigned & {name for target in node.target_list for name in _columns_read(target.res_target.val)}
    rest = [part for part in flatten_and(node.where_clause) if not _is_mark(part.column_ref)]
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
    for column in nodes_of(expression, pb.ColumnRef):
        if all(field.WhichOneof("node") == "string" for field in column.fields):
            yield strings(column.fields)[-1]


def tables_read(statement: ParsedStatement) -> tuple[TableRef, ...]:
    """The tables and views that the statement reads, each once: what an UPDATE or DELETE writes, too."""
    local = {cte.ctename for cte in nodes_of(statement.node, pb.CommonTableExpr)}
    written = statement.node.relation if statement.kind == "insert_stmt" else None
    found = {
        TableRef(table.schemaname or None, table.relname)
        for table in nodes_of(statement.node, pb.RangeVar)
        if table is not written and not (table.relname in local and not table.schemaname)
    }
    return tuple(sorted(found, key=str))


class _Reading:
    """Reads one statement."""

    def __init__(self, statement: ParsedStatement, source: TableRef, alias: str | None, into: TableRef) -> None:
        self._statement = statement
        self._source = source
        self._asked_alias = alias
        self._into = into

    def fill(self, key: Sequence[str]) -> Fill:
        statement = self._statement
        if statement.kind not in ("insert_stmt", "update_stmt", "delete_stmt"):
            raise self._problem(
                "backfill-kind", "a backfill is an INSERT ... SELECT, an UPDATE or a DELETE", "write one of these"
            )
        self._require_target()
        query = _query(statement)
        if statement.kind == "insert_stmt" and query is None:
            raise self._problem("backfill-kind", "a backfill inserts from a SELECT", "INSERT INTO ... SELECT ... FROM")
        condition = (query if query is not None else statement.node).where_clause
        self._require_mark(condition)
        alias = self._alias(query)
        if key and (problem := cutting_problem(statement, alias, key)):
            raise problem
        if query is None:
            return Fill(alias=alias, target_columns=None)
        return Fill(
            alias=alias,
            target_columns=_targets(statement.node, query, alias),
            conflict_columns=_conflict_columns(statement.node),
            constants=_constants(statement.node, query),
        )

    def _require_target(self) -> None:
        relation = self._statement.node.relation
        written = TableRef(relation.schemaname or None, relation.relname)
        schemas = {written.schema, self._into.schema} - {None}
        if written.name != self._into.name or len(schemas) > 1:
            raise self._problem(
                "backfill-target",
                f"the statement writes {written}, `into` names {self._into}",
                "write the same table in both",
            )

    def _require_mark(self, condition: Any) -> None:
        marks = [node for node in nodes_of(self._statement.node, pb.ColumnRef) if _is_mark(node)]
        if not marks:
            raise self._problem("no-batch", "the statement does not say WHERE {{ batch }}", "add it to the WHERE")
        if len(marks) > 1:
            raise self._problem("no-batch", "{{ batch }} stands there more than once", "write it once")
        if not any(_is_mark(part.column_ref) for part in flatten_and(condition)):
            raise self._problem(
                "no-batch",
                "{{ batch }} does not stand in the outermost WHERE, joined to the rest by AND",
                "WHERE {{ batch }} AND (...)",
            )

    def _alias(self, query: Any) -> str:
        """What the query calls the driving table: it must be in its FROM, or be what is written."""
        node = self._statement.node
        clauses = query.from_clause if query is not None else _sources(self._statement)
        tables = list(_tables(clauses))
        if query is None:
            tables.append(node.relation)
        asked = self._asked_alias
        found = [one for one in tables if one.relname == self._source.name and asked in (None, _called(one))]
        if len(found) == 1:
            if any(found[0] == table for table in _optional(clauses)):
                message = f"an outer join makes rows without {_called(found[0])}: these would be in no batch"
                raise self._problem("backfill-source", message, "drive by the other table, or join the other way round")
            return _called(found[0])
        called = f" AS {asked}" if asked else ""
        if found:
            message = f"the statement reads {self._source} more than once: which is read in batches?"
            raise self._problem("backfill-source", message, "say so with `alias:`")
        message = f"the statement does not read {self._source}{called}, which `from` names"
        raise self._problem("backfill-source", message, "write the driving table, and its alias, as the query does")

    def _problem(self, code: str, message: str, hint: str) -> SqlProblem:
        return SqlProblem(code, message, self._statement.offset, hint)


def _query(statement: ParsedStatement) -> Any | None:
    """The SELECT of an INSERT; None where there is none, or it is VALUES or a set operation."""
    if statement.kind != "insert_stmt" or not statement.node.HasField("select_stmt"):
        return None
    query = statement.node.select_stmt.select_stmt
    return query if query.op == pb.SETOP_NONE and not query.values_lists else None


def _is_mark(column: Any) -> bool:
    return len(column.fields) == 1 and column.fields[0].string.sval == _MARK


def _sources(statement: ParsedStatement) -> Any:
    return statement.node.from_clause if statement.kind == "update_stmt" else statement.node.using_clause


def _tables(clauses: Iterable[Any]) -> Iterator[Any]:
    """The tables of a FROM, those in joins included."""
    for item in clauses:
        kind = item.WhichOneof("node")
        if kind == "range_var":
            yield item.range_var
        elif kind == "join_expr":
            yield from _tables((item.join_expr.larg, item.join_expr.rarg))


def _optional(clauses: Iterable[Any]) -> Iterator[Any]:
    """The tables of a FROM for which an outer join may put NULL."""
    for item in clauses:
        if item.WhichOneof("node") != "join_expr":
            continue
        join = item.join_expr
        if join.jointype in (pb.JOIN_LEFT, pb.JOIN_FULL):
            yield from _tables((join.rarg,))
        if join.jointype in (pb.JOIN_RIGHT, pb.JOIN_FULL):
            yield from _tables((join.larg,))
        yield from _optional((join.larg, join.rarg))


def _called(table: Any) -> str:
    return str(table.alias.aliasname or table.relname)


def _require_whole_groups(statement: ParsedStatement, query: Any, alias: str, key: Sequence[str]) -> None:
    """Raises SqlProblem where the query puts rows of several batches together."""
    outputs = [target.res_target for target in query.target_list]
    if query.group_clause:
        grouped = {_column_of(item, outputs, alias) for item in query.group_clause}
        _require(statement, grouped, key, "GROUP BY", "a group would be cut in two by a batch")
    elif any(_is_aggregate(call) for target in outputs for call in nodes_of(target, pb.FuncCall)):
        raise SqlProblem(
            "backfill-groups",
            "the query aggregates without GROUP BY: it would give a row for each batch",
            statement.offset,
            f"GROUP BY {', '.join(f'{alias}.{column}' for column in key)}",
        )
    if query.distinct_clause:
        on = [item for item in query.distinct_clause if item.WhichOneof("node")]
        columns = on or [target.val for target in outputs]
        _require(statement, {_column_of(one, outputs, alias) for one in columns}, key, "DISTINCT", "rows would repeat")
    if query.HasField("limit_count") or query.HasField("limit_offset"):
        hint = "remove it"
        raise SqlProblem("backfill-groups", "LIMIT and OFFSET would count in each batch anew", statement.offset, hint)
    for window in _windows(query, outputs):
        parts = {_column_of(item, (), alias) for item in window.partition_clause}
        _require(statement, parts, key, "PARTITION BY", "a window would see only its batch")


def _require_kept_key(statement: ParsedStatement, alias: str, key: Sequence[str]) -> None:
    """Raises SqlProblem where an UPDATE moves rows along the key by which it walks."""
    node = statement.node
    moved = [target.res_target.name for target in node.target_list if target.res_target.name in key]
    if moved and _called(node.relation) == alias:
        raise SqlProblem(
            "backfill-key-written",
            f"the UPDATE sets {', '.join(moved)} of the batch key: rows would move before or behind the walk",
            statement.offset,
            "batch by another key (`key:`)",
        )


def _windows(query: Any, outputs: Iterable[Any]) -> Iterator[Any]:
    named = {item.window_def.name: item.window_def for item in query.window_clause}
    for target in outputs:
        for call in nodes_of(target, pb.FuncCall):
            if call.HasField("over"):
                yield named.get(call.over.name or call.over.refname, call.over)


def _require(statement: ParsedStatement, found: set[str | None], key: Sequence[str], clause: str, why: str) -> None:
    missing = [column for column in key if column not in found]
    if missing:
        raise SqlProblem(
            "backfill-groups",
            f"{clause} leaves out {', '.join(missing)} of the batch key: {why}",
            statement.offset,
            f"add it to {clause}, or batch by a key that is in it (`key:`)",
        )


def _column_of(node: Any, outputs: Sequence[Any], alias: str) -> str | None:
    """The column of the driving table that an expression is: as it stands, or by its place or name in the output."""
    kind = node.WhichOneof("node")
    if kind == "a_const" and node.a_const.HasField("ival"):
        place = node.a_const.ival.ival
        return _column_of(outputs[place - 1].val, (), alias) if 0 < place <= len(outputs) else None
    if kind != "column_ref" or any(field.WhichOneof("node") != "string" for field in node.column_ref.fields):
        return None
    parts = strings(node.column_ref.fields)
    if len(parts) == 1:
        named = next((output for output in outputs if output.name == parts[0]), None)
        return _column_of(named.val, (), alias) if named is not None else str(parts[0])
    return str(parts[-1]) if parts[-2] == alias else None


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


def _targets(insert: Any, query: Any, alias: str) -> dict[str, str]:
    """Which columns of the driving table reach which columns of the target unchanged, for an INSERT with a list."""
    found: dict[str, str] = {}
    for column, target in zip(insert.cols, query.target_list, strict=False):
        source = _column_of(target.res_target.val, (), alias)
        if source is not None:
            found.setdefault(source, column.res_target.name)
    return found


def _conflict_columns(insert: Any) -> tuple[str, ...]:
    """The columns of ON CONFLICT (...); none where it has none, or names expressions."""
    elements = [element.index_elem for element in insert.on_conflict_clause.infer.index_elems]
    return tuple(element.name for element in elements) if all(element.name for element in elements) else ()


def _constants(insert: Any, query: Any) -> dict[str, str | int]:
    """The columns of the target that an INSERT with a list gives one text or whole number."""
    found: dict[str, str | int] = {}
    for column, target in zip(insert.cols, query.target_list, strict=False):
        value = target.res_target.val
        while value.WhichOneof("node") == "type_cast":
            value = value.type_cast.arg
        if value.WhichOneof("node") == "a_const" and value.a_const.HasField("sval"):
            found[column.res_target.name] = value.a_const.sval.sval
        elif value.WhichOneof("node") == "a_const" and value.a_const.HasField("ival"):
            found[column.res_target.name] = value.a_const.ival.ival
    return found
