"""What a statement writes, or returns, as queries: these are what is proved.

- A query, INSERT ... SELECT, CREATE TABLE AS, a view: the query.
- UPDATE: which rows of its target get which values, `SELECT key, values FROM target, sources WHERE ...`; DELETE: which
  rows go. Where several sources match a row PostgreSQL takes one of them: here all are there, so nothing depends on it.
- MERGE: the same for each of its actions by itself, with the conditions of those before it excluded.
- INSERT ... ON CONFLICT: besides, which rows of the target the new ones meet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from confiture.core.db.operators import qualified_operator
from confiture.core.db.queries import quote_table
from confiture.core.tenancy.errors import NotProvable
from confiture.models.catalog import Catalog, Table, TableColumn, View
from confiture.models.plan import TableRef
from confiture.sql.parse_tree import pb, quote_identifier, strings
from confiture.sql.parser import parse_sql


@dataclass(frozen=True, kw_only=True, slots=True)
class WriteQuery:
    """A query that stands for what a statement does.

    `names` are those of its columns where they are not the query's own. `key` are the columns by which a written row
    is known: no two tenants may lay claim to the same. `target` is what is written, None for a plain query.
    """

    label: str
    query: Any
    target: Any = None
    """A RangeVar."""
    names: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    is_unique: bool = False
    """Whether NULLs in the key tell rows apart, as in a unique key."""
    unowned_alias: str = ""
    """What FROM calls the table whose rows of no tenant are given to one."""
    is_definition: bool = False
    """Whether the statement makes its target, so that this is not there yet, or is to be replaced."""


def build_write_queries(kind: str, node: Any, catalog: Catalog, column: str) -> tuple[WriteQuery, ...]:
    """The queries of a statement of the tree; none where it neither reads rows nor writes any.

    `column` names the tenant. Raises NotProvable.
    """
    reader = _READERS.get(kind)
    return tuple(reader(node, catalog, column)) if reader else ()


def _select(node: Any, catalog: Catalog, column: str) -> Iterator[WriteQuery]:
    if node.HasField("into_clause"):
        query = pb.SelectStmt()
        query.CopyFrom(node)
        query.ClearField("into_clause")
        yield WriteQuery(label="SELECT INTO", query=query, target=node.into_clause.rel, is_definition=True)
    else:
        yield WriteQuery(label="SELECT", query=node)


def _table_as(node: Any, catalog: Catalog, column: str) -> Iterator[WriteQuery]:
    label = "CREATE MATERIALIZED VIEW" if node.objtype == pb.OBJECT_MATVIEW else "CREATE TABLE AS"
    names = strings(node.into.col_names)
    if node.query.WhichOneof("node") != "select_stmt":
        raise NotProvable(f"{label} does not say its query")
    yield WriteQuery(label=label, query=node.query.select_stmt, target=node.into.rel, names=names, is_definition=True)


def _view(node: Any, catalog: Catalog, column: str) -> Iterator[WriteQuery]:
    names = strings(node.aliases)
    yield WriteQuery(
        label="CREATE VIEW", query=node.query.select_stmt, target=node.view, names=names, is_definition=True
    )


def _insert(node: Any, catalog: Catalog, column: str) -> Iterator[WriteQuery]:
    if not node.HasField("select_stmt"):
        return
    query = pb.SelectStmt()
    query.CopyFrom(node.select_stmt.select_stmt)
    if node.HasField("with_clause"):
        _add_with_clause(query, node.with_clause)
    for values in query.values_lists:
        for value in values.list.items:
            if value.WhichOneof("node") == "set_to_default":
                value.CopyFrom(_NULL)
    table = catalog.table(node.relation.schemaname or None, node.relation.relname)
    names = tuple(item.res_target.name for item in node.cols)
    if not names and table:
        names = tuple(one.name for one in table.columns if not one.generated)
    key = _conflict_key(node, table)
    shown = "INSERT ... ON CONFLICT" if key else "INSERT"
    yield WriteQuery(label=shown, query=query, target=node.relation, names=names, key=key, is_unique=True)
    if key and table and table.column(column) and column in names:
        yield _conflict_query(node, query, names, key, column, table)


def _conflict_key(node: Any, table: Table | None) -> tuple[str, ...]:
    """The columns by which ON CONFLICT tells that a row is there already; none where it is not plain to see."""
    if not node.HasField("on_conflict_clause"):
        return ()
    infer = node.on_conflict_clause.infer
    if infer.conname and table:
        found = table.constraint(infer.conname)
        return found.columns if found else ()
    return tuple(item.index_elem.name for item in infer.index_elems if item.index_elem.name)


def _conflict_query(
    node: Any, query: Any, names: Sequence[str], key: Sequence[str], column: str, table: Table
) -> WriteQuery:
    """Which new rows meet which that are there, each with its tenant."""
    here, there = quote_identifier("confiture new"), quote_identifier("confiture old")
    met = " AND ".join(
        _equality_condition(f"{here}.{quote_identifier(one)}", f"{there}.{quote_identifier(one)}", table.column(one))
        for one in key
    )
    tenants = (
        f"{here}.{quote_identifier(column)}",
        f"{there}.{quote_identifier(column)} AS {quote_identifier(f'{column} there')}",
    )
    listed = ", ".join((*tenants, *(f"{here}.{quote_identifier(one)}" for one in key if one != column)))
    target = quote_table(TableRef(node.relation.schemaname, node.relation.relname))
    text = f"SELECT {listed} FROM (SELECT 1) AS {here} JOIN {target} AS {there} ON {met}"  # noqa: S608 - quoted
    found = _parse_select(text)
    source = found.from_clause[0].join_expr.larg.range_subselect
    source.subquery.select_stmt.CopyFrom(query)
    source.alias.colnames.extend(pb.Node(string=pb.String(sval=name)) for name in names)
    return WriteQuery(label="rows that ON CONFLICT meets", query=found)


def _equality_condition(new: str, old: str, column: TableColumn | None) -> str:
    """That a new value is that of a row. By arrays: their operator finds that of any type, wherever it is. Both are
    cast, as the row's may be of a domain over the column's type here.
    """
    value, held = (f"CAST({one} AS {column.type})" if column else one for one in (new, old))
    return f"{old} IS NOT NULL AND ARRAY[{value}] {qualified_operator('=')} ARRAY[{held}]"


def _update(node: Any, catalog: Catalog, column: str) -> Iterator[WriteQuery]:
    target = _DmlTarget(node.relation, catalog, column)
    query = _target_query(target, [*node.from_clause], node)
    yield _update_query("UPDATE", target, query, node.target_list)


def _delete(node: Any, catalog: Catalog, column: str) -> Iterator[WriteQuery]:
    target = _DmlTarget(node.relation, catalog, column)
    query = _target_query(target, [*node.using_clause], node)
    yield _delete_query("DELETE", target, query)


def _target_query(target: _DmlTarget, sources: Sequence[Any], node: Any) -> Any:
    query = pb.SelectStmt(from_clause=[pb.Node(range_var=target.range_var), *sources])
    if node.HasField("where_clause"):
        if node.where_clause.WhichOneof("node") == "current_of_expr":
            raise NotProvable("WHERE CURRENT OF depends on a cursor")
        query.where_clause.CopyFrom(node.where_clause)
    if node.HasField("with_clause"):
        query.with_clause.CopyFrom(node.with_clause)
    return query


def _merge(node: Any, catalog: Catalog, column: str) -> Iterator[WriteQuery]:
    target = _DmlTarget(node.relation, catalog, column)
    before: dict[int, list[Any]] = {}
    for item in node.merge_when_clauses:
        action = item.merge_when_clause
        earlier = before.setdefault(action.match_kind, [])
        query = _merge_query(node, target, action.match_kind)
        conditions = [*earlier, *([action.condition] if action.HasField("condition") else ())]
        for place, condition in enumerate(conditions):
            _add_condition(query, condition if place >= len(earlier) else _not_true(condition))
        found = _merge_action_query(action, target, query, catalog)
        if found:
            yield found
        if action.HasField("condition"):
            earlier.append(action.condition)
        else:
            earlier.append(_parse_select("SELECT true").target_list[0].res_target.val)


def _merge_action_query(action: Any, target: _DmlTarget, query: Any, catalog: Catalog) -> WriteQuery | None:
    label = "MERGE: " + {
        pb.MERGE_WHEN_MATCHED: "WHEN MATCHED",
        pb.MERGE_WHEN_NOT_MATCHED_BY_SOURCE: "WHEN NOT MATCHED BY SOURCE",
        pb.MERGE_WHEN_NOT_MATCHED_BY_TARGET: "WHEN NOT MATCHED",
    }.get(action.match_kind, "")
    if action.command_type == pb.CMD_UPDATE:
        return _update_query(f"{label} THEN UPDATE", target, query, action.target_list)
    if action.command_type == pb.CMD_DELETE:
        return _delete_query(f"{label} THEN DELETE", target, query)
    if action.command_type != pb.CMD_INSERT or not action.values:
        return None
    names = tuple(item.res_target.name for item in action.target_list)
    table = target.table
    if not names and table:
        names = tuple(one.name for one in table.columns if not one.generated)[: len(action.values)]
    for value in action.values:
        chosen = _NULL if value.WhichOneof("node") == "set_to_default" else value
        query.target_list.append(pb.Node(res_target=pb.ResTarget(val=chosen)))
    return WriteQuery(label=f"{label} THEN INSERT", query=query, target=target.range_var, names=names)


def _merge_query(node: Any, target: _DmlTarget, match: int) -> Any:
    """The rows that an action of a MERGE is for, without its condition."""
    query = pb.SelectStmt()
    if match == pb.MERGE_WHEN_MATCHED:
        query.from_clause.extend([pb.Node(range_var=target.range_var), node.source_relation])
        query.where_clause.CopyFrom(node.join_condition)
    else:
        kept, other = pb.Node(range_var=target.range_var), node.source_relation
        if match == pb.MERGE_WHEN_NOT_MATCHED_BY_TARGET:
            kept, other = other, kept
        absent = _parse_select("SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM t WHERE true)")
        inner = absent.where_clause.bool_expr.args[0].sub_link.subselect.select_stmt
        inner.from_clause[0].CopyFrom(other)
        inner.where_clause.CopyFrom(node.join_condition)
        query.from_clause.append(kept)
        query.where_clause.CopyFrom(absent.where_clause)
    if node.HasField("with_clause"):
        query.with_clause.CopyFrom(node.with_clause)
    return query


class _DmlTarget:
    """The table that a statement changes rows of."""

    def __init__(self, range_var: Any, catalog: Catalog, column: str) -> None:
        self.range_var = range_var
        self.column = column
        self._catalog = catalog
        self.table = catalog.table(range_var.schemaname or None, range_var.relname)
        self.alias = range_var.alias.aliasname or range_var.relname
        if isinstance(catalog.relation(range_var.schemaname or None, range_var.relname), View):
            raise NotProvable(
                f"it changes rows through the view {range_var.relname}", "name the table that they are in"
            )
        if self.table is None:
            raise NotProvable(
                f"{range_var.relname} is not there, so none of its rows would be changed",
                "prove it in a dry run, which makes the tables first, or after the migration ran",
            )

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that tell its rows apart: all of them where no key does."""
        if self.table is None:
            return ()
        # the rows of tables that inherit from it are not held to its key
        key = None if self._catalog.has_inheritance_children(self.table) else self.table.primary_key
        return key.columns if key else tuple(one.name for one in self.table.columns)

    def column_expression(self, column: str) -> Any:
        """A column of it, as an expression."""
        return (
            _parse_select(f"SELECT {quote_identifier(self.alias)}.{quote_identifier(column)}")
            .target_list[0]
            .res_target.val
        )

    def has_tenant_column(self) -> bool:
        return self.table is not None and self.table.column(self.column) is not None


def _update_query(label: str, target: _DmlTarget, query: Any, assignments: Any) -> WriteQuery:
    """The rows that are changed, by key, each with its new values, and with the tenant that it is of then."""
    key, assigns = target.key, False
    values = dict(_iterate_assignments(assignments))
    columns: list[tuple[str, Any]] = []
    if target.column in values:
        assigns = True
        columns.append((target.column, values.pop(target.column)))
        columns.append((f"{target.column} before", target.column_expression(target.column)))
    elif target.has_tenant_column():
        columns.append((target.column, target.column_expression(target.column)))
    taken = {name for name, _ in columns}
    columns += [
        (f"key {name}" if name in values else name, target.column_expression(name)) for name in key if name not in taken
    ]
    columns += [*values.items()]
    for name, value in columns:
        query.target_list.append(pb.Node(res_target=pb.ResTarget(name=name, val=value)))
    names = tuple(name for name, _ in columns)
    by = tuple(f"{target.column} before" if one == target.column and one not in key else one for one in key)
    known = tuple(f"key {name}" if f"key {name}" in names else name for name in by)
    if not assigns:
        return WriteQuery(label=label, query=query, target=target.range_var, names=names)
    return WriteQuery(
        label=label, query=query, target=target.range_var, names=names, key=known, unowned_alias=target.alias
    )


def _delete_query(label: str, target: _DmlTarget, query: Any) -> WriteQuery:
    columns = [target.column] if target.has_tenant_column() else []
    columns += [name for name in target.key if name not in columns]
    for name in columns:
        query.target_list.append(pb.Node(res_target=pb.ResTarget(name=name, val=target.column_expression(name))))
    query.distinct_clause.append(pb.Node())
    return WriteQuery(label=label, query=query, target=target.range_var, names=tuple(columns))


def _iterate_assignments(assignments: Any) -> Iterator[tuple[str, Any]]:
    """The columns that SET sets, and the expressions that they get."""
    for item in assignments:
        target = item.res_target
        value = target.val
        if value.WhichOneof("node") == "multi_assign_ref":
            value = _multi_assign_value(value.multi_assign_ref)
        if value.WhichOneof("node") == "set_to_default":
            value = _NULL
        yield target.name, value


def _multi_assign_value(reference: Any) -> Any:
    """The expression for one column of SET (a, b) = (...)."""
    source = reference.source
    if source.WhichOneof("node") == "row_expr":
        return source.row_expr.args[reference.colno - 1]
    if source.WhichOneof("node") == "sub_link" and len(source.sub_link.subselect.select_stmt.target_list):
        copied = pb.Node()
        copied.CopyFrom(source)
        copied.sub_link.sub_link_type = pb.EXPR_SUBLINK
        query = copied.sub_link.subselect.select_stmt
        if len(query.target_list) == reference.ncolumns:
            chosen = pb.Node()
            chosen.CopyFrom(query.target_list[reference.colno - 1])
            del query.target_list[:]
            query.target_list.append(chosen)
            return copied
    raise NotProvable("SET (...) = ... sets several columns from something that cannot be taken apart")


def _add_condition(query: Any, condition: Any) -> None:
    both = pb.BoolExpr(boolop=pb.AND_EXPR, args=[query.where_clause, condition])
    query.where_clause.CopyFrom(pb.Node(bool_expr=both))


def _not_true(condition: Any) -> Any:
    return pb.Node(boolean_test=pb.BooleanTest(arg=condition, booltesttype=pb.IS_NOT_TRUE))


def _add_with_clause(query: Any, clause: Any) -> None:
    """Gives a query the WITH queries of the statement around it."""
    if query.HasField("with_clause"):
        inner = pb.SelectStmt()
        inner.CopyFrom(query)
        query.Clear()
        query.CopyFrom(_parse_select("SELECT * FROM (SELECT 1) AS inserted"))
        query.from_clause[0].range_subselect.subquery.select_stmt.CopyFrom(inner)
    query.with_clause.CopyFrom(clause)


def _parse_select(text: str) -> Any:
    return parse_sql(text).stmts[0].stmt.select_stmt


_NULL = _parse_select("SELECT NULL").target_list[0].res_target.val
_READERS = {
    "select_stmt": _select,
    "insert_stmt": _insert,
    "update_stmt": _update,
    "delete_stmt": _delete,
    "merge_stmt": _merge,
    "create_table_as_stmt": _table_as,
    "view_stmt": _view,
}
