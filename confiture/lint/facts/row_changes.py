"""UPDATE, DELETE, and MERGE in a statement, and whether they change only a few rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from confiture.lint.engine.context import StatementContext
from confiture.lint.facts.alter_table import has_concurrent_users
from confiture.lint.facts.row_bounds import QueryScope, collect_ctes, find_sources, has_few_rows, is_bounded
from confiture.lint.facts.table_sizes import resolve_relation_name
from confiture.models.catalog import QualifiedName, Table, TableKind, View
from confiture.sql.parse_tree import pb
from confiture.sql.traversal import find_relations_read

_VERBS = {"update_stmt": "UPDATE", "delete_stmt": "DELETE", "merge_stmt": "MERGE"}
CHANGING = frozenset({*_VERBS, "insert_stmt", "select_stmt"})
"""The kinds of statements that can change rows. A SELECT can do so in its WITH queries."""


@dataclass(frozen=True, kw_only=True)
class RowChange:
    """An UPDATE, DELETE, or MERGE. `common` maps names to the visible WITH queries."""

    kind: str
    node: Any
    common: Mapping[str, Any]

    @property
    def verb(self) -> str:
        """The SQL keyword."""
        return _VERBS[self.kind]

    @property
    def effect_text(self) -> str:
        """The verb that describes the effect on rows."""
        return "remove" if self.kind == "delete_stmt" else "change"


def find_row_changes(kind: str, node: Any, ctes: Mapping[str, Any] | None = None) -> Iterator[RowChange]:
    """Return the changes that a statement makes. Changes in its WITH queries come first."""
    if kind not in CHANGING:
        return
    queries = collect_ctes(node)
    if kind == "insert_stmt":
        queries |= collect_ctes(node.select_stmt.select_stmt)
    ctes = {**(ctes or {}), **queries}
    for query in queries.values():
        inner = query.WhichOneof("node")
        if inner in CHANGING - {"select_stmt"}:
            yield from find_row_changes(inner, getattr(query, inner), ctes)
    if kind in _VERBS and (kind != "merge_stmt" or _is_row_change(node)):
        yield RowChange(kind=kind, node=node, common=ctes)


def is_unbounded(change: RowChange, context: StatementContext) -> bool:
    """Whether a change to a table in use can affect an unlimited number of rows."""
    node, target = change.node, change.node.relation
    table = context.table(target)
    if has_no_users(context, target) or (not _is_view(context, target) and not has_concurrent_users(context, target)):
        return False
    if table and table.kind is TableKind.PARTITIONED and not target.inh:
        return False  # ONLY: a partitioned table itself has no rows
    if change.kind == "merge_stmt":
        return _is_delete_of_unmatched(node) or not is_bounded(node.join_condition, _query_scope(change, context))
    return not node.HasField("where_clause") or not is_bounded(node.where_clause, _query_scope(change, context))


def _is_view(context: StatementContext, range_var: Any) -> bool:
    return isinstance(context.relation(range_var), View)


def has_no_users(context: StatementContext, range_var: Any) -> bool:
    """Whether no other session uses a relation, because it is new, temporary, a view of only such relations, or a
    system table.
    """
    relation = context.relation(range_var)
    if relation is None:
        return is_system_table(resolve_relation_name(context, range_var))
    if isinstance(relation, View) and not relation.materialized:
        return bool(relation.relations) and all(is_new_name(context, name) for name in relation.relations)
    return context.is_new(range_var)


def is_system_table(name: QualifiedName) -> bool:
    """Whether a name is that of a PostgreSQL system table, all of which begin with `pg_`."""
    return name.schema in ("pg_catalog", "information_schema") or name.name.startswith("pg_")


def is_new_name(context: StatementContext, name: QualifiedName) -> bool:
    """Whether the relation with that name is temporary or was created by this migration."""
    table = context.catalog.tables.get(name)
    return name in context.created or bool(table and table.persistence == "temporary")


def find_read_tables(select: Any, context: StatementContext) -> tuple[QualifiedName, ...]:
    """Return the tables in use that a query reads, each once; replace a view with the tables that it reads."""
    tables: dict[QualifiedName, None] = {}
    for range_var in find_relations_read(select):
        relation = context.relation(range_var)
        below = relation.relations if isinstance(relation, View) and not relation.materialized else ()
        for name in below or (resolve_relation_name(context, range_var),):
            if not is_new_name(context, name) and not is_system_table(name):
                tables[name] = None
    return tuple(tables)


def is_large_read(select: Any, context: StatementContext) -> bool:
    """Whether a query may read many rows from tables in use."""
    return bool(find_read_tables(select, context)) and not has_few_rows(select, context, {})


def integer_primary_key(table: Table | None) -> str | None:
    """Return a table's primary key if it is a single integer column; otherwise None."""
    key = table.primary_key if table else None
    if table is None or key is None or len(key.columns) != 1:
        return None
    column = table.column(key.columns[0])
    return column.name if column and column.type in ("smallint", "integer", "bigint") else None


def _query_scope(change: RowChange, context: StatementContext) -> QueryScope:
    node = change.node
    items = {"update_stmt": "from_clause", "delete_stmt": "using_clause"}.get(change.kind)
    listed = getattr(node, items) if items else [node.source_relation]
    few = find_sources(listed, context, change.common)
    return QueryScope(subject=context, target=node.relation, common=change.common, sources=few)


def _is_row_change(node: Any) -> bool:
    clauses = (clause.merge_when_clause for clause in node.merge_when_clauses)
    return any(clause.command_type in (pb.CMD_UPDATE, pb.CMD_DELETE) for clause in clauses)


def _is_delete_of_unmatched(node: Any) -> bool:
    clauses = (clause.merge_when_clause for clause in node.merge_when_clauses)
    return any(
        clause.match_kind == pb.MERGE_WHEN_NOT_MATCHED_BY_SOURCE
        and clause.command_type in (pb.CMD_UPDATE, pb.CMD_DELETE)
        for clause in clauses
    )
