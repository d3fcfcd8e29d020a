"""Rewrites queries so that they see only a tenant's rows: tables behind a filter, views by their definition."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from google.protobuf.message import Message

from confiture.core.names import quoted
from confiture.core.tenancy.refusing import NotProvable
from confiture.core.tenancy.sight import Sight, Visibility
from confiture.models.catalog import Catalog, Table, View
from confiture.models.plan import BATCH
from confiture.sql.grammar import parse_sql
from confiture.sql.tree import identifier, pb, strings
from confiture.sql.walking import nodes_of

_MARK = BATCH.strip('"')
_SYSTEM = ("pg_catalog", "information_schema")


def restricted(query: Any, visibility: Visibility, catalog: Catalog, sight: Sight, unowned: str = "") -> Any:
    """A copy of a query (a SelectStmt) that sees that much. `catalog` is as the query's names are to be looked up.

    The mark of batches becomes `true`; locks are left out. `unowned` names the table of the outermost FROM whose rows
    of no tenant are seen, too. Raises NotProvable where a relation is not known.
    """
    copied = pb.SelectStmt()
    copied.CopyFrom(query)
    work = _Restricting(visibility, catalog, sight)
    work.unowned = unowned
    work.select(copied, frozenset())
    return copied


def tenant_relations(query: Any, visibility: Visibility, catalog: Catalog) -> tuple[Table | View, ...]:
    """The relations with tenants' rows that a query reads, itself and through views, each once."""
    work = _Restricting(visibility, catalog, Sight.NONE)
    copied = pb.SelectStmt()
    copied.CopyFrom(query)
    work.select(copied, frozenset())
    return tuple(work.found.values())


@dataclass(slots=True)
class _Level:
    """A SELECT: which of its names stand for which table."""

    select: Any
    tables: dict[str, Table]
    unowned: str = ""


class _Restricting:
    """Rewrites one query in place."""

    def __init__(self, visibility: Visibility, catalog: Catalog, sight: Sight, within: tuple[View, ...] = ()) -> None:
        self._visibility = visibility
        self._catalog = catalog
        self._sight = sight
        self._within = within
        self.found: dict[object, Table | View] = {}
        self.unowned = ""

    def select(self, select: Any, common: frozenset[str]) -> None:
        """Rewrites a SelectStmt. `common` are the names of the WITH queries around it."""
        select.ClearField("locking_clause")
        level, self.unowned = _Level(select, {}, self.unowned), ""
        common = self._with_queries(select, common)
        if select.HasField("larg"):
            self.select(select.larg, common)
            self.select(select.rarg, common)
        for field, value in select.ListFields():
            if field.name not in ("with_clause", "larg", "rarg"):
                self._below(value, level, common)
        _group_by_what_follows(level)

    def _with_queries(self, select: Any, common: frozenset[str]) -> frozenset[str]:
        if not select.HasField("with_clause"):
            return common
        clause = select.with_clause
        if clause.recursive:
            common |= {item.common_table_expr.ctename for item in clause.ctes}
        for item in clause.ctes:
            query = item.common_table_expr.ctequery
            if query.WhichOneof("node") != "select_stmt":
                raise NotProvable("a WITH query writes rows", "write them in a statement of their own")
            self.select(query.select_stmt, common)
            common |= {item.common_table_expr.ctename}
        return common

    def _below(self, value: Any, level: _Level, common: frozenset[str]) -> None:
        if not isinstance(value, Message):
            if not isinstance(value, str | bytes | int | float | bool):
                for one in value:
                    self._below(one, level, common)
            return
        if type(value) is pb.Node:
            self._node(value, level, common)
            return
        if type(value) is pb.SelectStmt:
            self.select(value, common)
            return
        for _, inner in value.ListFields():
            self._below(inner, level, common)

    def _node(self, node: Any, level: _Level, common: frozenset[str]) -> None:
        kind = node.WhichOneof("node")
        if kind is None:
            return
        if kind == "range_var":
            self._relation(node, level, common)
        elif kind == "range_table_sample":
            raise NotProvable("TABLESAMPLE takes other rows each time", "leave it out for the proof")
        elif kind == "column_ref":
            self._column(node)
        else:
            self._below(getattr(node, kind), level, common)

    def _column(self, node: Any) -> None:
        fields = node.column_ref.fields
        if len(fields) == 1 and fields[0].string.sval == _MARK:
            node.CopyFrom(_TRUE)
        elif len(fields) == 3 and all(one.WhichOneof("node") == "string" for one in fields[:2]):
            schema, name = strings(fields[:2])
            if self._catalog.relation(schema, name):  # what stands there now goes by its name alone
                del fields[0]

    def _relation(self, node: Any, level: _Level, common: frozenset[str]) -> None:
        named = node.range_var
        if not named.schemaname and named.relname in common:
            return
        relation = self._catalog.relation(named.schemaname or None, named.relname)
        if isinstance(relation, View) and not self._is_filtered(relation):
            if self._visibility.reads_tenants(relation):
                self._put(node, self._definition(relation), relation.columns)
            else:
                named.schemaname = relation.name.schema
            return
        if isinstance(relation, Table | View):
            self._filter(node, relation, level)
        elif relation is None and not _is_system(named):
            raise NotProvable(
                f"{named.relname} is not there",
                "prove it in a dry run, which makes the tables first, or after the migration ran",
            )

    def _is_filtered(self, view: View) -> bool:
        return view.materialized and self._visibility.is_tenants(view)

    def _filter(self, node: Any, relation: Table | View, level: _Level) -> None:
        condition = self._visibility.condition(relation)
        named = node.range_var
        alias = named.alias.aliasname or named.relname
        if isinstance(relation, Table):
            level.tables[alias] = relation
        if condition is None:
            named.schemaname = relation.name.schema
            return
        self.found[relation.name] = relation
        if self._sight is Sight.ALL:
            condition = "true"
        elif self._sight is Sight.NONE:
            condition = "false"
        column = self._visibility.tenant_column(relation)
        if column and alias == level.unowned:
            condition = f"{condition} OR {identifier(column[0])} IS NULL"
        only = "" if named.inh else "ONLY "
        text = f"SELECT * FROM {only}{quoted(relation.name)} WHERE {condition}"  # noqa: S608 - names are quoted
        self._put(node, _parsed(text))

    def _definition(self, view: View) -> Any:
        if any(one.name == view.name for one in self._within):
            raise NotProvable(f"view {view.name} reads itself")
        query = _parsed(view.query.text)
        inner = _Restricting(self._visibility, self._visibility.catalog, self._sight, (*self._within, view))
        inner.select(query, frozenset())
        self.found |= inner.found
        return query

    def _put(self, node: Any, query: Any, columns: tuple[str, ...] = ()) -> None:
        """Puts a subquery where a relation stands, under the same name."""
        named = node.range_var
        alias = pb.Alias(aliasname=named.alias.aliasname or named.relname)
        given = strings(named.alias.colnames)
        alias.colnames.extend(pb.Node(string=pb.String(sval=one)) for one in (*given, *columns[len(given) :]))
        node.CopyFrom(pb.Node(range_subselect=pb.RangeSubselect(subquery=pb.Node(select_stmt=query), alias=alias)))


def _group_by_what_follows(level: _Level) -> None:
    """Writes out the columns that a group's primary key determines: behind a filter PostgreSQL does not know that."""
    select = level.select
    if not select.group_clause or any(one.WhichOneof("node") == "grouping_set" for one in select.group_clause):
        return
    grouped = {found for one in select.group_clause if (found := _column_of(one, level, select))}
    used = [*select.target_list, *select.sort_clause]
    if select.HasField("having_clause"):
        used.append(select.having_clause)
    for alias, table in level.tables.items():
        key = table.primary_key
        if key is None or not all((alias, column) in grouped for column in key.columns):
            continue
        for reference in [one for node in used for one in nodes_of(node, pb.ColumnRef)]:
            column = _of_alias(reference, alias, level)
            if column and (alias, column) not in grouped:
                grouped.add((alias, column))
                fields = [pb.Node(string=pb.String(sval=one)) for one in (alias, column)]
                select.group_clause.append(pb.Node(column_ref=pb.ColumnRef(fields=fields)))


def _column_of(node: Any, level: _Level, select: Any) -> tuple[str, str] | None:
    """The alias and the column that GROUP BY names, by name or by place."""
    if node.WhichOneof("node") == "a_const" and 0 < node.a_const.ival.ival <= len(select.target_list):
        node = select.target_list[node.a_const.ival.ival - 1].res_target.val
    if node.WhichOneof("node") != "column_ref":
        return None
    for alias in level.tables:
        column = _of_alias(node.column_ref, alias, level)
        if column:
            return alias, column
    return None


def _of_alias(reference: Any, alias: str, level: _Level) -> str | None:
    if any(one.WhichOneof("node") != "string" for one in reference.fields):
        return None
    *qualifier, column = strings(reference.fields)
    if qualifier and qualifier[-1] != alias:
        return None
    return column if level.tables[alias].column(column) else None


def _is_system(named: Any) -> bool:
    return named.schemaname in _SYSTEM or (not named.schemaname and named.relname.startswith("pg_"))


def _parsed(text: str) -> Any:
    return parse_sql(text).stmts[0].stmt.select_stmt


_TRUE = _parsed("SELECT true").target_list[0].res_target.val


def looked_up_by(catalog: Catalog, search_path: tuple[str, ...]) -> Catalog:
    """The same catalog, with names looked up along another path."""
    return replace(catalog, search_path=search_path)
