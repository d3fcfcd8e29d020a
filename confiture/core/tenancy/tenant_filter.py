"""Rewrite queries so that they see only one tenant's rows: filter tables and inline views."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from google.protobuf.message import Message

from confiture.core.db.connection import Connection
from confiture.core.db.queries import query, quote_table
from confiture.core.tenancy.errors import NotProvable
from confiture.core.tenancy.tenant_scope import TenantRowFilter, TenantScope
from confiture.models.catalog import TEMPORARY, Catalog, Persistence, QualifiedName, Table, TableColumn, View
from confiture.models.plan import BATCH
from confiture.sql.parse_tree import pb, quote_identifier, strings
from confiture.sql.parser import parse_sql
from confiture.sql.traversal import find_nodes

_MARK = BATCH.strip('"')
_SYSTEM = ("pg_catalog", "information_schema")


def restrict_to_tenants(
    query: Any, row_filter: TenantRowFilter, catalog: Catalog, scope: TenantScope, unowned_alias: str = ""
) -> Any:
    """Return a copy of a query (a SelectStmt) restricted to a scope. `catalog` resolves the names in the query.

    The batch placeholder becomes `true`, and locking clauses are dropped. `unowned_alias` names the table in the
    outermost FROM whose rows without a tenant also stay visible. Raise NotProvable if a relation is unknown.
    """
    restricted_query = pb.SelectStmt()
    restricted_query.CopyFrom(query)
    restriction = _TenantRestriction(row_filter, catalog, scope)
    restriction.unowned_alias = unowned_alias
    restriction.rewrite_select(restricted_query, frozenset())
    return restricted_query


def find_tenant_relations(query: Any, row_filter: TenantRowFilter, catalog: Catalog) -> tuple[Table | View, ...]:
    """Return the distinct relations with tenant rows that a query reads, directly or through views."""
    restriction = _TenantRestriction(row_filter, catalog, TenantScope.NONE)
    query_copy = pb.SelectStmt()
    query_copy.CopyFrom(query)
    restriction.rewrite_select(query_copy, frozenset())
    return tuple(restriction.relations.values())


@dataclass(slots=True)
class _SelectLevel:
    """A SELECT and its tables by alias."""

    select: Any
    tables: dict[str, Table]
    unowned_alias: str = ""


class _TenantRestriction:
    """Rewrites one query in place."""

    def __init__(
        self, row_filter: TenantRowFilter, catalog: Catalog, scope: TenantScope, enclosing_views: tuple[View, ...] = ()
    ) -> None:
        self._row_filter = row_filter
        self._catalog = catalog
        self._scope = scope
        self._enclosing_views = enclosing_views
        self.relations: dict[object, Table | View] = {}
        self.unowned_alias = ""

    def rewrite_select(self, select: Any, cte_names: frozenset[str]) -> None:
        """Rewrite a SelectStmt. `cte_names` contains the names of the enclosing WITH queries."""
        select.ClearField("locking_clause")
        level, self.unowned_alias = _SelectLevel(select, {}, self.unowned_alias), ""
        cte_names = self._rewrite_with(select, cte_names)
        if select.HasField("larg"):
            self.rewrite_select(select.larg, cte_names)
            self.rewrite_select(select.rarg, cte_names)
        for field, value in select.ListFields():
            if field.name not in ("with_clause", "larg", "rarg"):
                self._rewrite_value(value, level, cte_names)
        _add_dependent_group_columns(level)

    def _rewrite_with(self, select: Any, cte_names: frozenset[str]) -> frozenset[str]:
        if not select.HasField("with_clause"):
            return cte_names
        clause = select.with_clause
        if clause.recursive:
            cte_names |= {item.common_table_expr.ctename for item in clause.ctes}
        for item in clause.ctes:
            query = item.common_table_expr.ctequery
            if query.WhichOneof("node") != "select_stmt":
                raise NotProvable("a WITH query writes rows", "write them in a separate statement")
            self.rewrite_select(query.select_stmt, cte_names)
            cte_names |= {item.common_table_expr.ctename}
        return cte_names

    def _rewrite_value(self, value: Any, level: _SelectLevel, cte_names: frozenset[str]) -> None:
        if not isinstance(value, Message):
            if not isinstance(value, str | bytes | int | float | bool):
                for one in value:
                    self._rewrite_value(one, level, cte_names)
            return
        if type(value) is pb.Node:
            self._rewrite_node(value, level, cte_names)
            return
        if type(value) is pb.SelectStmt:
            self.rewrite_select(value, cte_names)
            return
        for _, inner in value.ListFields():
            self._rewrite_value(inner, level, cte_names)

    def _rewrite_node(self, node: Any, level: _SelectLevel, cte_names: frozenset[str]) -> None:
        kind = node.WhichOneof("node")
        if kind is None:
            return
        if kind == "range_var":
            self._rewrite_relation(node, level, cte_names)
        elif kind == "range_table_sample":
            raise NotProvable("TABLESAMPLE returns different rows each time", "remove it for the proof")
        elif kind == "column_ref":
            self._rewrite_column_ref(node)
        else:
            self._rewrite_value(getattr(node, kind), level, cte_names)

    def _rewrite_column_ref(self, node: Any) -> None:
        fields = node.column_ref.fields
        if len(fields) == 1 and fields[0].string.sval == _MARK:
            node.CopyFrom(_TRUE)
        elif len(fields) == 3 and all(one.WhichOneof("node") == "string" for one in fields[:2]):
            schema, name = strings(fields[:2])
            if self._catalog.relation(schema, name):  # the replacement is only visible under its alias
                del fields[0]

    def _rewrite_relation(self, node: Any, level: _SelectLevel, cte_names: frozenset[str]) -> None:
        named = node.range_var
        if not named.schemaname and named.relname in cte_names:
            return
        relation = self._catalog.relation(named.schemaname or None, named.relname)
        if isinstance(relation, View) and not self._is_filtered(relation):
            if self._row_filter.reads_tenant_rows(relation):
                self._replace_relation(node, self._rewrite_view(relation), relation.columns)
            else:
                named.schemaname = relation.name.schema
            return
        if isinstance(relation, Table | View):
            self._add_filter(node, relation, level)
        elif relation is None and not _is_system_relation(named):
            raise NotProvable(
                f"{named.relname} does not exist",
                "prove it in a dry run, which creates the tables first, or after the migration has run",
            )

    def _is_filtered(self, view: View) -> bool:
        return view.materialized and self._row_filter.has_tenant_rows(view)

    def _add_filter(self, node: Any, relation: Table | View, level: _SelectLevel) -> None:
        condition = self._row_filter.condition(relation)
        named = node.range_var
        alias = named.alias.aliasname or named.relname
        if isinstance(relation, Table):
            level.tables[alias] = relation
        if condition is None:
            named.schemaname = relation.name.schema
            return
        self.relations[relation.name] = relation
        if self._scope is TenantScope.ALL:
            condition = "true"
        elif self._scope is TenantScope.NONE:
            condition = "false"
        column = self._row_filter.tenant_column(relation)
        if column and alias == level.unowned_alias:
            condition = f"{condition} OR {quote_identifier(column[0])} IS NULL"
        only = "" if named.inh else "ONLY "
        text = f"SELECT * FROM {only}{quote_table(relation.name)} WHERE {condition}"  # noqa: S608 - names are quoted
        self._replace_relation(node, _parse_select(text))

    def _rewrite_view(self, view: View) -> Any:
        if any(one.name == view.name for one in self._enclosing_views):
            raise NotProvable(f"view {view.name} reads itself")
        query = _parse_select(view.query.text)
        inner = _TenantRestriction(
            self._row_filter, self._row_filter.catalog, self._scope, (*self._enclosing_views, view)
        )
        inner.rewrite_select(query, frozenset())
        self.relations |= inner.relations
        return query

    def _replace_relation(self, node: Any, query: Any, columns: tuple[str, ...] = ()) -> None:
        """Replace a relation with a subquery that has the same alias."""
        named = node.range_var
        alias = pb.Alias(aliasname=named.alias.aliasname or named.relname)
        column_aliases = strings(named.alias.colnames)
        alias.colnames.extend(
            pb.Node(string=pb.String(sval=one)) for one in (*column_aliases, *columns[len(column_aliases) :])
        )
        node.CopyFrom(pb.Node(range_subselect=pb.RangeSubselect(subquery=pb.Node(select_stmt=query), alias=alias)))


def _add_dependent_group_columns(level: _SelectLevel) -> None:
    """Add the columns determined by a primary key to GROUP BY: PostgreSQL cannot infer them through a subquery."""
    select = level.select
    if not select.group_clause or any(one.WhichOneof("node") == "grouping_set" for one in select.group_clause):
        return
    grouped = {pair for one in select.group_clause if (pair := _find_group_column(one, level, select))}
    used = [*select.target_list, *select.sort_clause]
    if select.HasField("having_clause"):
        used.append(select.having_clause)
    for alias, table in level.tables.items():
        key = table.primary_key
        if key is None or not all((alias, column) in grouped for column in key.columns):
            continue
        for reference in [one for node in used for one in find_nodes(node, pb.ColumnRef)]:
            column = _column_for_alias(reference, alias, level)
            if column and (alias, column) not in grouped:
                grouped.add((alias, column))
                fields = [pb.Node(string=pb.String(sval=one)) for one in (alias, column)]
                select.group_clause.append(pb.Node(column_ref=pb.ColumnRef(fields=fields)))


def _find_group_column(node: Any, level: _SelectLevel, select: Any) -> tuple[str, str] | None:
    """Return the alias and column of a GROUP BY item specified by name or position."""
    if node.WhichOneof("node") == "a_const" and 0 < node.a_const.ival.ival <= len(select.target_list):
        node = select.target_list[node.a_const.ival.ival - 1].res_target.val
    if node.WhichOneof("node") != "column_ref":
        return None
    for alias in level.tables:
        column = _column_for_alias(node.column_ref, alias, level)
        if column:
            return alias, column
    return None


def _column_for_alias(reference: Any, alias: str, level: _SelectLevel) -> str | None:
    if any(one.WhichOneof("node") != "string" for one in reference.fields):
        return None
    *qualifier, column = strings(reference.fields)
    if qualifier and qualifier[-1] != alias:
        return None
    return column if level.tables[alias].column(column) else None


def _is_system_relation(named: Any) -> bool:
    return named.schemaname in _SYSTEM or (not named.schemaname and named.relname.startswith("pg_"))


def _parse_select(text: str) -> Any:
    return parse_sql(text).stmts[0].stmt.select_stmt


_TRUE = _parse_select("SELECT true").target_list[0].res_target.val


def with_search_path(catalog: Catalog, search_path: tuple[str, ...]) -> Catalog:
    """Return the catalog with a different search path."""
    return replace(catalog, search_path=search_path)


def add_temporary_tables(connection: Connection, catalog: Catalog) -> Catalog:
    """Return the catalog including the session's temporary tables, with their columns but without their keys."""
    rows = connection.execute(query("temporary_tables")).fetchall()
    if not rows:
        return catalog
    tables = [
        Table(
            name=QualifiedName(TEMPORARY, row["name"]),
            persistence=Persistence.TEMPORARY,
            columns=tuple(TableColumn(**column) for column in row["columns"]),
        )
        for row in rows
    ]
    return replace(catalog, tables={**catalog.tables, **{table.name: table for table in tables}})
