"""A backfill statement: its batch condition, the tables that it reads, and the table that it writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any

from confiture.models.plan import TableRef
from confiture.models.records import record
from confiture.sql.batching.groups import batching_problem
from confiture.sql.batching.parts import alias_in_query, driving_column, insert_query, is_batch_condition
from confiture.sql.parse_tree import ParsedStatement, flatten_and, pb
from confiture.sql.parsing import SqlProblem
from confiture.sql.traversal import find_nodes


@record(frozen=True, kw_only=True, slots=True)
class BatchStatement:
    """The analyzed statement of a backfill.

    `alias` is the name of the driving table in its query. `target_columns` maps the driving table's columns that an
    INSERT inserts unchanged to their names in the target; None for UPDATE and DELETE. `conflict_columns` are the
    columns named in ON CONFLICT. `constants` are the target columns that get the same value in each row.
    """

    alias: str
    target_columns: Mapping[str, str] | None
    conflict_columns: tuple[str, ...] = ()
    constants: Mapping[str, str | int] = field(default_factory=dict)


def read_batch_statement(
    statement: ParsedStatement, source: TableRef, alias: str | None, into: TableRef, key: Sequence[str]
) -> tuple[BatchStatement | None, tuple[SqlProblem, ...]]:
    """Return the analyzed statement or its problems. An empty `key` means that the batch key is not known yet."""
    try:
        return _StatementReader(statement, source, alias, into).batch_statement(key), ()
    except SqlProblem as problem:
        return None, (problem,)


def source_tables(statement: ParsedStatement) -> tuple[TableRef, ...]:
    """Return the tables and views that the statement reads, each once, including the target of an UPDATE or DELETE."""
    local = {cte.ctename for cte in find_nodes(statement.node, pb.CommonTableExpr)}
    written = statement.node.relation if statement.kind == "insert_stmt" else None
    tables = {
        TableRef(table.schemaname or None, table.relname)
        for table in find_nodes(statement.node, pb.RangeVar)
        if table is not written and not (table.relname in local and not table.schemaname)
    }
    return tuple(sorted(tables, key=str))


class _StatementReader:
    """Analyzes one statement."""

    def __init__(self, statement: ParsedStatement, source: TableRef, alias: str | None, into: TableRef) -> None:
        self._statement = statement
        self._source = source
        self._asked_alias = alias
        self._into = into

    def batch_statement(self, key: Sequence[str]) -> BatchStatement:
        statement = self._statement
        if statement.kind not in ("insert_stmt", "update_stmt", "delete_stmt"):
            raise self._problem(
                "backfill-kind",
                "a backfill must be an INSERT ... SELECT, an UPDATE or a DELETE",
                "rewrite the statement",
            )
        self._check_target()
        query = insert_query(statement)
        if statement.kind == "insert_stmt" and query is None:
            raise self._problem(
                "backfill-kind", "a backfill must insert from a SELECT", "write INSERT INTO ... SELECT ... FROM"
            )
        condition = (query if query is not None else statement.node).where_clause
        self._check_batch_condition(condition)
        alias = self._find_alias(query)
        if key and (problem := batching_problem(statement, alias, key)):
            raise problem
        if query is None:
            return BatchStatement(alias=alias, target_columns=None)
        return BatchStatement(
            alias=alias,
            target_columns=_target_columns(statement.node, query, alias),
            conflict_columns=_conflict_columns(statement.node),
            constants=_constant_columns(statement.node, query),
        )

    def _check_target(self) -> None:
        relation = self._statement.node.relation
        written = TableRef(relation.schemaname or None, relation.relname)
        schemas = {written.schema, self._into.schema} - {None}
        if written.name != self._into.name or len(schemas) > 1:
            raise self._problem(
                "backfill-target",
                f"the statement writes {written}, but `into` is {self._into}",
                "use the same table in both",
            )

    def _check_batch_condition(self, condition: Any) -> None:
        marks = [node for node in find_nodes(self._statement.node, pb.ColumnRef) if is_batch_condition(node)]
        if not marks:
            raise self._problem("no-batch", "the statement does not contain {{ batch }}", "add it to the WHERE")
        if len(marks) > 1:
            raise self._problem("no-batch", "{{ batch }} occurs more than once", "write it once")
        if not any(is_batch_condition(part.column_ref) for part in flatten_and(condition)):
            raise self._problem(
                "no-batch",
                "{{ batch }} must be in the outermost WHERE, combined with the rest by AND",
                "write WHERE {{ batch }} AND (...)",
            )

    def _find_alias(self, query: Any) -> str:
        """Return the driving table's name in the query.

        The table must be in FROM, or be the target of the statement.
        """
        node = self._statement.node
        clauses = query.from_clause if query is not None else _from_clauses(self._statement)
        tables = list(_iter_from_tables(clauses))
        if query is None:
            tables.append(node.relation)
        alias = self._asked_alias
        matches = [one for one in tables if one.relname == self._source.name and alias in (None, alias_in_query(one))]
        if len(matches) == 1:
            if any(matches[0] == table for table in _iter_nullable_tables(clauses)):
                message = (
                    f"an outer join returns rows without {alias_in_query(matches[0])}, and these rows are in no batch"
                )
                raise self._problem(
                    "backfill-source", message, "use the other table as the driving table, or reverse the join"
                )
            return alias_in_query(matches[0])
        as_alias = f" AS {alias}" if alias else ""
        if matches:
            message = f"the statement reads {self._source} more than once, so the driving table is ambiguous"
            raise self._problem("backfill-source", message, "set `alias:` to the alias of the driving table")
        message = f"the statement does not read the driving table {self._source}{as_alias} (`from:`)"
        raise self._problem("backfill-source", message, "set `from:` and `alias:` to a table in the query")

    def _problem(self, code: str, message: str, hint: str) -> SqlProblem:
        return SqlProblem(code, message, self._statement.offset, hint)


def _from_clauses(statement: ParsedStatement) -> Any:
    return statement.node.from_clause if statement.kind == "update_stmt" else statement.node.using_clause


def _iter_from_tables(clauses: Iterable[Any]) -> Iterator[Any]:
    """Return the tables in a FROM, including those in joins."""
    for item in clauses:
        kind = item.WhichOneof("node")
        if kind == "range_var":
            yield item.range_var
        elif kind == "join_expr":
            yield from _iter_from_tables((item.join_expr.larg, item.join_expr.rarg))


def _iter_nullable_tables(clauses: Iterable[Any]) -> Iterator[Any]:
    """Return the tables in a FROM on the nullable side of an outer join."""
    for item in clauses:
        if item.WhichOneof("node") != "join_expr":
            continue
        join = item.join_expr
        if join.jointype in (pb.JOIN_LEFT, pb.JOIN_FULL):
            yield from _iter_from_tables((join.rarg,))
        if join.jointype in (pb.JOIN_RIGHT, pb.JOIN_FULL):
            yield from _iter_from_tables((join.larg,))
        yield from _iter_nullable_tables((join.larg, join.rarg))


def _target_columns(insert: Any, query: Any, alias: str) -> dict[str, str]:
    """Map the driving table's columns that an INSERT with a column list inserts unchanged to target columns."""
    targets: dict[str, str] = {}
    for column, target in zip(insert.cols, query.target_list, strict=False):
        source = driving_column(target.res_target.val, (), alias)
        if source is not None:
            targets.setdefault(source, column.res_target.name)
    return targets


def _conflict_columns(insert: Any) -> tuple[str, ...]:
    """Return the columns named in ON CONFLICT (...); empty without such a clause, or if it contains expressions."""
    elements = [element.index_elem for element in insert.on_conflict_clause.infer.index_elems]
    return tuple(element.name for element in elements) if all(element.name for element in elements) else ()


def _constant_columns(insert: Any, query: Any) -> dict[str, str | int]:
    """Return the target columns that an INSERT with a column list sets to a string or integer constant."""
    constants: dict[str, str | int] = {}
    for column, target in zip(insert.cols, query.target_list, strict=False):
        value = target.res_target.val
        while value.WhichOneof("node") == "type_cast":
            value = value.type_cast.arg
        if value.WhichOneof("node") == "a_const" and value.a_const.HasField("sval"):
            constants[column.res_target.name] = value.a_const.sval.sval
        elif value.WhichOneof("node") == "a_const" and value.a_const.HasField("ival"):
            constants[column.res_target.name] = value.a_const.ival.ival
    return constants
