"""What keys prove: that two rows have the same tenant, or that a value picks one row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set

from confiture.models.catalog import Constraint, Name, Table
from confiture.models.values import value
from confiture.sql.belonging import referred
from confiture.sql.flow.facts import Facts
from confiture.sql.flow.relations import VIRTUAL, Column, Equalities, Node, Origin, Output, Source


@value(frozen=True, kw_only=True, slots=True)
class Row:
    """A row of a table that flows through a query: those of its columns that are there, by name."""

    table: Table
    columns: Mapping[str, Node]
    outputs: Mapping[str, Output]
    sources: frozenset[int]


@value(frozen=True, kw_only=True, slots=True)
class _Pointer:
    """That the values of some nodes pick a row of `target`, which has the tenant of `tenant`."""

    target: tuple[Name, frozenset[str]]
    nodes: Mapping[str, Node]
    tenant: Node
    why: str


def rows_of(sources: Iterable[Source], facts: Facts) -> Iterator[Row]:
    """The rows of tables whose columns some sources have."""
    found: dict[tuple[int, tuple[int, ...]], tuple[Name, dict[str, Node], dict[str, Output]]] = {}
    for source in sources:
        for node, output in source.nodes():
            origin = output.origin
            if isinstance(origin, Origin):
                row = found.setdefault((source.number, origin.row), (origin.table, {}, {}))
                row[1].setdefault(origin.column, node)
                row[2].setdefault(origin.column, output)
    for (number, _), (name, columns, outputs) in found.items():
        table = facts.catalog.tables.get(name)
        if table:
            yield Row(table=table, columns=columns, outputs=outputs, sources=frozenset({number}))


def prove(rows: Iterable[Row], equal: Equalities, facts: Facts) -> Iterator[tuple[Node, Node, str]]:
    """The pairs of tenants that keys prove to be the same, with the reason."""
    pointers = [pointer for row in rows for pointer in _pointers(row, facts)]
    for number, one in enumerate(pointers):
        for other in pointers[number + 1 :]:
            if one.target == other.target and all(
                equal.same(node, other.nodes[key]) for key, node in one.nodes.items()
            ):
                yield one.tenant, other.tenant, one.why or other.why


def _pointers(row: Row, facts: Facts) -> Iterator[_Pointer]:
    table = row.table
    name = facts.tenant_column(table) or VIRTUAL
    tenant = row.columns.get(name)
    if tenant is None:
        return
    for key in facts.unique_keys(table):
        if key <= row.columns.keys():
            nodes = {column: row.columns[column] for column in key}
            yield _Pointer(target=(table.name, key), nodes=nodes, tenant=tenant, why="")
    for foreign in facts.foreign_keys(table):
        yield from _by_foreign_key(row, foreign, name, tenant, facts)


def _by_foreign_key(row: Row, foreign: Constraint, name: str, tenant: Node, facts: Facts) -> Iterator[_Pointer]:
    target = facts.catalog.tables.get(foreign.target) if foreign.target else None
    if target is None:
        return
    pairs = dict(zip(referred(foreign, target), foreign.columns, strict=False))
    if name == VIRTUAL:
        if foreign != facts.owning_key(row.table):
            return
        why = f"{row.table.name} belongs to the tenant of its row of {target.name}"
    else:
        theirs = facts.tenant_column(target)
        column = row.table.column(name)
        if theirs is None or pairs.pop(theirs, None) != name or not column or not column.not_null:
            return
        if not foreign.validated or foreign.deferrable:
            return
        why = (
            f"{foreign.name} refers to {target.name} together with {name}, and {', '.join(pairs)} alone is unique there"
        )
    for key in facts.unique_keys(target):
        used = {pairs.get(one) for one in key}
        if used <= row.columns.keys() and is_always_set_but(foreign, row.table, used):
            nodes = {one: row.columns[pairs[one]] for one in key}
            yield _Pointer(target=(target.name, key), nodes=nodes, tenant=tenant, why=why)


def is_always_set_but(foreign: Constraint, table: Table, used: Set[str | None]) -> bool:
    """Whether the columns of a key are never NULL, but those that are compared: equality says that of them."""
    return all(
        column in used or ((found := table.column(column)) is not None and found.not_null) for column in foreign.columns
    )


def picked(rows: Iterable[Row], equal: Equalities, own: frozenset[int], facts: Facts) -> Row | None:
    """A row of the sources `own` that values from elsewhere pick by a unique key without its tenant."""
    for row in rows:
        if not row.sources <= own:
            continue
        tenant = facts.tenant_column(row.table)
        for key in facts.unique_keys(row.table):
            if (
                tenant not in key
                and key <= row.columns.keys()
                and all(_from_elsewhere(row.columns[one], equal, own) for one in key)
            ):
                return row
    return None


def _from_elsewhere(node: Node, equal: Equalities, own: frozenset[int]) -> bool:
    return any(not (isinstance(one, Column) and one.source in own) for one in equal.reach({node}))


def settled(rows: Iterable[Row], given: frozenset[Node], facts: Facts) -> Iterator[Node]:
    """The tenants that are settled where the nodes `given` are: those of rows that they pick, never of no row."""
    for row in rows:
        tenant = row.columns.get(facts.tenant_column(row.table) or VIRTUAL)
        if tenant is None:
            continue
        for key in facts.unique_keys(row.table):
            if all(row.columns.get(one) in given and not row.outputs[one].may_be_null for one in key):
                yield tenant
