"""Proofs by keys: two rows have the same tenant, or a value identifies one row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set

from confiture.models.catalog import Constraint, QualifiedName, Table
from confiture.models.records import record
from confiture.sql.tenant_flow.facts import TenancyFacts
from confiture.sql.tenant_flow.row_sets import (
    VIRTUAL,
    ColumnOrigin,
    ColumnRef,
    EquivalenceClasses,
    FromSource,
    Node,
    RowColumn,
)
from confiture.sql.tenant_tables import referenced_columns


@record(frozen=True, kw_only=True, slots=True)
class TableRow:
    """A table row in a query, with its available columns by name."""

    table: Table
    columns: Mapping[str, Node]
    outputs: Mapping[str, RowColumn]
    sources: frozenset[int]


@record(frozen=True, kw_only=True, slots=True)
class _ForeignKeyPointer:
    """A reference to a row of `target` through the values of some nodes. The row belongs to the tenant in `tenant`."""

    target: tuple[QualifiedName, frozenset[str]]
    nodes: Mapping[str, Node]
    tenant: Node
    reason: str


def find_table_rows(sources: Iterable[FromSource], facts: TenancyFacts) -> Iterator[TableRow]:
    """Return the table rows whose columns appear in some sources."""
    rows: dict[tuple[int, tuple[int, ...]], tuple[QualifiedName, dict[str, Node], dict[str, RowColumn]]] = {}
    for source in sources:
        for node, output in source.nodes():
            origin = output.origin
            if isinstance(origin, ColumnOrigin):
                row = rows.setdefault((source.number, origin.row), (origin.table, {}, {}))
                row[1].setdefault(origin.column, node)
                row[2].setdefault(origin.column, output)
    for (number, _), (name, columns, outputs) in rows.items():
        table = facts.catalog.tables.get(name)
        if table:
            yield TableRow(table=table, columns=columns, outputs=outputs, sources=frozenset({number}))


def prove_equal_tenants(
    rows: Iterable[TableRow], equalities: EquivalenceClasses, facts: TenancyFacts
) -> Iterator[tuple[Node, Node, str]]:
    """Return the pairs of tenants that keys prove to be equal, with the reason."""
    pointers = [pointer for row in rows for pointer in _find_pointers(row, facts)]
    for number, one in enumerate(pointers):
        for other in pointers[number + 1 :]:
            if one.target == other.target and all(
                equalities.are_equal(node, other.nodes[key]) for key, node in one.nodes.items()
            ):
                yield one.tenant, other.tenant, one.reason or other.reason


def _find_pointers(row: TableRow, facts: TenancyFacts) -> Iterator[_ForeignKeyPointer]:
    table = row.table
    name = facts.tenant_column(table) or VIRTUAL
    tenant = row.columns.get(name)
    if tenant is None:
        return
    for key in facts.unique_keys(table):
        if key <= row.columns.keys():
            nodes = {column: row.columns[column] for column in key}
            yield _ForeignKeyPointer(target=(table.name, key), nodes=nodes, tenant=tenant, reason="")
    for foreign in facts.foreign_keys(table):
        yield from _foreign_key_pointers(row, foreign, name, tenant, facts)


def _foreign_key_pointers(
    row: TableRow, foreign: Constraint, name: str, tenant: Node, facts: TenancyFacts
) -> Iterator[_ForeignKeyPointer]:
    target = facts.catalog.tables.get(foreign.target) if foreign.target else None
    if target is None:
        return
    pairs = dict(zip(referenced_columns(foreign, target), foreign.columns, strict=False))
    if name == VIRTUAL:
        if foreign != facts.tenant_foreign_key(row.table):
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
            f"{foreign.name} references {target.name} together with {name}, and {', '.join(pairs)} alone is unique"
            " there"
        )
    for key in facts.unique_keys(target):
        used = {pairs.get(one) for one in key}
        if used <= row.columns.keys() and is_never_null_except(foreign, row.table, used):
            nodes = {one: row.columns[pairs[one]] for one in key}
            yield _ForeignKeyPointer(target=(target.name, key), nodes=nodes, tenant=tenant, reason=why)


def is_never_null_except(foreign: Constraint, table: Table, compared_columns: Set[str | None]) -> bool:
    """Whether all foreign key columns that are not compared are never NULL.

    For compared columns, equality excludes NULL.
    """
    return all(
        column in compared_columns or ((definition := table.column(column)) is not None and definition.not_null)
        for column in foreign.columns
    )


def row_pinned_by_key(
    rows: Iterable[TableRow], equalities: EquivalenceClasses, own_sources: frozenset[int], facts: TenancyFacts
) -> TableRow | None:
    """Return a row in `own_sources` that values from other sources identify by a unique key without the tenant."""
    for row in rows:
        if not row.sources <= own_sources:
            continue
        tenant = facts.tenant_column(row.table)
        for key in facts.unique_keys(row.table):
            if (
                tenant not in key
                and key <= row.columns.keys()
                and all(_is_from_elsewhere(row.columns[one], equalities, own_sources) for one in key)
            ):
                return row
    return None


def _is_from_elsewhere(node: Node, equalities: EquivalenceClasses, own_sources: frozenset[int]) -> bool:
    return any(not (isinstance(one, ColumnRef) and one.source in own_sources) for one in equalities.closure({node}))


def tenants_determined_by(rows: Iterable[TableRow], nodes: frozenset[Node], facts: TenancyFacts) -> Iterator[Node]:
    """Return the tenants that `nodes` determine, that is, the tenants of the rows that the nodes identify, except for
    missing rows.
    """
    for row in rows:
        tenant = row.columns.get(facts.tenant_column(row.table) or VIRTUAL)
        if tenant is None:
            continue
        for key in facts.unique_keys(row.table):
            if all(row.columns.get(one) in nodes and not row.outputs[one].is_nullable for one in key):
                yield tenant
