"""CREATE TABLE in all its forms."""

from __future__ import annotations

from typing import Any

from confiture.models.catalog import Column, Composite, Persistence, Table, TableKind
from confiture.sql.catalog.columns import add_column
from confiture.sql.catalog.constraints import Wanted, add_all
from confiture.sql.catalog.copying import Like, copy_columns, copy_rest
from confiture.sql.catalog.inheritance import clone_keys, inherit
from confiture.sql.catalog.queries import columns_of, read_names
from confiture.sql.catalog.resolving import named_type, type_names
from confiture.sql.catalog.views import named, put_view
from confiture.sql.catalog.work import TableDraft, Work
from confiture.sql.tree import expression_text, identifier, pb, statement_text, strings
from confiture.sql.walking import relations_read

_PERSISTENCE = {"u": Persistence.UNLOGGED, "t": Persistence.TEMPORARY}
_STRATEGIES = {
    pb.PARTITION_STRATEGY_LIST: "LIST",
    pb.PARTITION_STRATEGY_RANGE: "RANGE",
    pb.PARTITION_STRATEGY_HASH: "HASH",
}


def create_table(work: Work, node: Any) -> None:
    """CREATE TABLE."""
    _make(work, node, TableKind.TABLE)


def create_foreign_table(work: Work, node: Any) -> None:
    """CREATE FOREIGN TABLE."""
    _make(work, node.base_stmt, TableKind.FOREIGN)


def _make(work: Work, node: Any, kind: TableKind) -> None:
    """Makes the table of a CreateStmt, unless there is one of that name."""
    draft = _new(work, node.relation, kind, quiet=node.if_not_exists)
    if draft is None:
        return
    if node.HasField("of_typename"):
        _add_attributes(work, draft, node.of_typename)
    parents = _parents(work, draft, node)
    wanted, likes = _elements(work, draft, node.table_elts)
    if node.HasField("partspec"):
        draft.kind = TableKind.PARTITIONED
        draft.partition_key = partition_key(node.partspec)
    if node.HasField("partbound"):
        draft.partition_bound = partition_bound(node.partbound)
    add_all(work, draft, wanted, new=True)
    for like in likes:
        copy_rest(work, draft, like)
    if draft.partition_bound:
        for parent in parents:
            clone_keys(work, parent, draft)
    work.put(draft)


def _elements(work: Work, draft: TableDraft, nodes: Any) -> tuple[list[Wanted], list[Like]]:
    """Adds the columns; returns what is to be made once all of them are there."""
    wanted: list[Wanted] = []
    likes: list[Like] = []
    inherited = bool(draft.columns)
    for element in nodes:
        which = element.WhichOneof("node")
        if which == "column_def":
            wanted += add_column(work, draft, element.column_def, merge=inherited)
        elif which == "constraint":
            wanted.append(Wanted.of(element.constraint))
        elif which == "table_like_clause":
            likes += copy_columns(work, draft, element.table_like_clause)
    return wanted, likes


def _new(work: Work, relation: Any, kind: TableKind, *, quiet: bool) -> TableDraft | None:
    name = work.new_name(relation)
    if work.is_taken(name):
        if not quiet:
            work.duplicate("relation", name, work.holder(name), relation.location)
        return None
    found = work.types.get(name)
    if found:
        work.duplicate("type", name, found.place, relation.location)
        return None
    work.require_schema(name.schema, relation.location)
    work.made(name)
    if work.default_grants:
        work.grant_defaults("table", name)
    return TableDraft(
        name=name,
        kind=kind,
        persistence=_PERSISTENCE.get(relation.relpersistence, Persistence.PERMANENT),
        place=work.at(relation.location),
    )


def _add_attributes(work: Work, draft: TableDraft, node: Any) -> None:
    """The columns of CREATE TABLE ... OF a type."""
    found = named_type(work, node.names)
    if isinstance(found, Composite):
        draft.columns = {name: Column(name=name, type=kind, place=found.place) for name, kind in found.attributes}
        work.depend(draft.name, (found.name,))
    else:
        work.partial.add(draft.name)


def _parents(work: Work, draft: TableDraft, node: Any) -> list[Table]:
    found = []
    for item in node.inh_relations:
        parent = work.table(item.range_var)
        if parent:
            if node.HasField("partbound"):
                work.require_partitioned(parent, item.range_var.location)
            inherit(work, parent, draft, partition=node.HasField("partbound"))
            found.append(parent)
        else:
            work.partial.add(draft.name)
    return found


def partition_key(node: Any) -> str:
    """The text of PARTITION BY without these words."""
    parts = []
    for item in node.part_params:
        element = item.partition_elem
        if element.name:
            text = identifier(element.name)
        else:
            text = expression_text(element.expr)
            text = text if element.expr.WhichOneof("node") == "func_call" else f"({text})"
        parts.append(" ".join((text, *strings(element.opclass))))
    return f"{_STRATEGIES.get(node.strategy, 'RANGE')} ({', '.join(parts)})"


def partition_bound(node: Any) -> str:
    """The text of FOR VALUES or DEFAULT."""
    bare = pb.CreateStmt(
        relation=pb.RangeVar(relname="a", inh=True, relpersistence="p"),
        inh_relations=[pb.Node(range_var=pb.RangeVar(relname="b", inh=True, relpersistence="p"))],
        partbound=node,
        oncommit=pb.ONCOMMIT_NOOP,
    )
    return statement_text("create_stmt", bare).split("PARTITION OF b", 1)[-1].strip()


def create_table_as(work: Work, node: Any) -> None:
    """CREATE TABLE ... AS and CREATE MATERIALIZED VIEW."""
    if node.objtype != pb.OBJECT_MATVIEW:
        make_table_of_query(work, node.into, node.query, quiet=node.if_not_exists)
        return
    name = work.new_name(node.into.rel)
    if work.is_taken(name):
        if not node.if_not_exists:
            work.duplicate("relation", name, work.holder(name), node.into.rel.location)
        return
    work.require_schema(name.schema, node.into.rel.location)
    put_view(work, name, node.query, strings(node.into.col_names), materialized=True)
    work.made(name)
    work.grant_defaults("table", name)


def make_table_of_query(work: Work, into: Any, query: Any, *, quiet: bool = False) -> None:
    """Makes a table with the columns of a query."""
    read_names(work, relations_read(query))
    columns = columns_of(work, query)
    draft = _new(work, into.rel, TableKind.TABLE, quiet=quiet)
    if draft is None:
        return
    if columns is None:
        work.partial.add(draft.name)
    for column in named(columns, strings(into.col_names)):
        draft.columns[column.name] = Column(name=column.name, type=column.type, place=draft.place)
        work.depend(draft.name, [one for one in type_names(column.type) if one in work.types])
    work.put(draft)
