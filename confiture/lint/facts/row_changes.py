"""The UPDATE, DELETE and MERGE that a statement is or has inside, and whether they change few rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from confiture.lint.engine.context import StatementSubject
from confiture.lint.facts.alter_table import is_in_use
from confiture.lint.facts.row_bounds import Scope, common_queries, is_bounded, returns_few, sources
from confiture.lint.facts.table_sizes import name_of
from confiture.models.catalog import Name, Table, TableKind, View
from confiture.sql.tree import pb
from confiture.sql.walking import relations_read

_VERBS = {"update_stmt": "UPDATE", "delete_stmt": "DELETE", "merge_stmt": "MERGE"}
CHANGING = frozenset({*_VERBS, "insert_stmt", "select_stmt"})
"""The kinds of statements that can change rows; a SELECT does where one of its WITH queries does."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """An UPDATE, DELETE or MERGE. `common` are the WITH queries that it can name."""

    kind: str
    node: Any
    common: Mapping[str, Any]

    @property
    def verb(self) -> str:
        """The SQL word for it."""
        return _VERBS[self.kind]

    @property
    def does(self) -> str:
        """What it does to rows."""
        return "remove" if self.kind == "delete_stmt" else "change"


def changes(kind: str, node: Any, common: Mapping[str, Any] | None = None) -> Iterator[Change]:
    """The changes that a statement makes, those of its WITH queries first."""
    if kind not in CHANGING:
        return
    queries = common_queries(node)
    if kind == "insert_stmt":
        queries |= common_queries(node.select_stmt.select_stmt)
    common = {**(common or {}), **queries}
    for query in queries.values():
        inner = query.WhichOneof("node")
        if inner in CHANGING - {"select_stmt"}:
            yield from changes(inner, getattr(query, inner), common)
    if kind in _VERBS and (kind != "merge_stmt" or _changes_rows(node)):
        yield Change(kind=kind, node=node, common=common)


def is_unbounded(change: Change, subject: StatementSubject) -> bool:
    """Whether a change of a table that others use has no bound on its rows that its text would tell."""
    node, target = change.node, change.node.relation
    table = subject.table(target)
    if is_unused(subject, target) or (not _is_view(subject, target) and not is_in_use(subject, target)):
        return False
    if table and table.kind is TableKind.PARTITIONED and not target.inh:
        return False  # ONLY: a partitioned table has no rows of its own
    if change.kind == "merge_stmt":
        return _deletes_the_rest(node) or not is_bounded(node.join_condition, _scope(change, subject))
    return not node.HasField("where_clause") or not is_bounded(node.where_clause, _scope(change, subject))


def _is_view(subject: StatementSubject, range_var: Any) -> bool:
    return isinstance(subject.relation(range_var), View)


def is_unused(subject: StatementSubject, range_var: Any) -> bool:
    """Whether nobody else uses a relation: it is new or temporary, a view of nothing but such, or PostgreSQL's own."""
    found = subject.relation(range_var)
    if found is None:
        return is_system(name_of(subject, range_var))
    if isinstance(found, View) and not found.materialized:
        return bool(found.relations) and all(is_new_name(subject, name) for name in found.relations)
    return subject.is_new(range_var)


def is_system(name: Name) -> bool:
    """Whether it is the name of one of PostgreSQL's own tables, which begin with `pg_`."""
    return name.schema in ("pg_catalog", "information_schema") or name.name.startswith("pg_")


def is_new_name(subject: StatementSubject, name: Name) -> bool:
    """Whether the relation of that name is temporary, or was made by this migration."""
    table = subject.catalog.tables.get(name)
    return name in subject.created or bool(table and table.persistence == "temporary")


def tables_read(select: Any, subject: StatementSubject) -> tuple[Name, ...]:
    """The tables that others use and that a query reads, each once; of views, those that they read."""
    found: dict[Name, None] = {}
    for range_var in relations_read(select):
        relation = subject.relation(range_var)
        below = relation.relations if isinstance(relation, View) and not relation.materialized else ()
        for name in below or (name_of(subject, range_var),):
            if not is_new_name(subject, name) and not is_system(name):
                found[name] = None
    return tuple(found)


def reads_much(select: Any, subject: StatementSubject) -> bool:
    """Whether a query may read many rows of tables that others use."""
    return bool(tables_read(select, subject)) and not returns_few(select, subject, {})


def table_key(table: Table | None) -> str | None:
    """The single column of whole numbers that is a table's primary key."""
    key = table.primary_key if table else None
    if table is None or key is None or len(key.columns) != 1:
        return None
    column = table.column(key.columns[0])
    return column.name if column and column.type in ("smallint", "integer", "bigint") else None


def _scope(change: Change, subject: StatementSubject) -> Scope:
    node = change.node
    items = {"update_stmt": "from_clause", "delete_stmt": "using_clause"}.get(change.kind)
    listed = getattr(node, items) if items else [node.source_relation]
    few = sources(listed, subject, change.common)
    return Scope(subject=subject, target=node.relation, common=change.common, sources=few)


def _changes_rows(node: Any) -> bool:
    clauses = (clause.merge_when_clause for clause in node.merge_when_clauses)
    return any(clause.command_type in (pb.CMD_UPDATE, pb.CMD_DELETE) for clause in clauses)


def _deletes_the_rest(node: Any) -> bool:
    clauses = (clause.merge_when_clause for clause in node.merge_when_clauses)
    return any(
        clause.match_kind == pb.MERGE_WHEN_NOT_MATCHED_BY_SOURCE
        and clause.command_type in (pb.CMD_UPDATE, pb.CMD_DELETE)
        for clause in clauses
    )
