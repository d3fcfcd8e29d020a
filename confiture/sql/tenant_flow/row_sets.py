"""The analysis data: nodes (columns and constants), equalities between nodes, and relations with tenants."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from confiture.models.catalog import QualifiedName, Table
from confiture.models.records import record


class ColumnRef(NamedTuple):
    """A column of a FROM item, identified by the source number."""

    source: int
    key: str


class TenantConstant(NamedTuple):
    """A value that is the same for all rows, such as a literal, parameter, or setting.

    It is identified by its SQL text.
    """

    text: str


Node = ColumnRef | TenantConstant


VIRTUAL = ""
"""The name of the virtual tenant column in tables that have no tenant column but reference a table that has one."""


class ColumnOrigin(NamedTuple):
    """The table column from which a value comes unchanged. Values from the same row have the same `row`."""

    row: tuple[int, ...]
    table: QualifiedName
    column: str


class RowColumn(NamedTuple):
    """A column of a relation.

    `is_hidden` is true if no name refers to the column; keys can still use hidden columns in proofs. `can_lack_tenant`
    is true if a tenant column may be NULL in rows that belong to a tenant.
    """

    name: str
    type: str = ""
    origin: ColumnOrigin | None = None
    is_nullable: bool = True
    is_hidden: bool = False
    can_lack_tenant: bool = False


@record(frozen=True, kw_only=True, slots=True)
class RowSet:
    """The rows of a table or a query. `has_tenant_rows` is whether the set contains tenant rows.

    If so, `tenants` are the output columns (by number) that contain the tenant of each row, or NULL; `tenant_constants`
    are nodes in the outer query that equal the tenant of all rows. If both are empty, the tenants are lost, which has
    been reported. `is_complete` is False if some columns are unknown.
    """

    outputs: tuple[RowColumn, ...] = ()
    is_complete: bool = True
    has_tenant_rows: bool = False
    tenants: frozenset[int] = frozenset()
    tenant_constants: frozenset[Node] = frozenset()
    expose_tenant: Callable[[], None] | None = field(default=None, compare=False)
    """Add the tenant column to the query's output, if possible."""
    use_as_tenant: Callable[[int], None] | None = field(default=None, compare=False)
    """Replace an output column of the query (by number) with the tenant column."""

    @property
    def has_unknown_tenant(self) -> bool:
        """Whether the set contains tenant rows without their tenants."""
        return self.has_tenant_rows and not self.tenants and not self.tenant_constants


@dataclass(slots=True)
class FromSource:
    """A FROM item, that is, a relation with an alias. `node` is its parse tree node."""

    number: int
    alias: str
    relation: RowSet
    node: Any
    table: Table | None = None
    keys: tuple[str, ...] = ()
    """The names of the output columns in nodes, made unique."""

    def __post_init__(self) -> None:
        used: set[str] = set()
        keys = []
        for number, output in enumerate(self.relation.outputs):
            is_taken = output.is_hidden or output.name in used
            key = f"{output.name} {number}" if is_taken else output.name
            used.add(key)
            keys.append(key)
        self.keys = tuple(keys)

    def tenant_columns(self) -> frozenset[Node]:
        """Return the nodes that contain the tenant of the source's rows."""
        own = {ColumnRef(self.number, self.keys[number]) for number in self.relation.tenants}
        return frozenset(own) | self.relation.tenant_constants

    def find_output(self, key: str) -> RowColumn | None:
        """Return the output column for a node."""
        return self.relation.outputs[self.keys.index(key)] if key in self.keys else None

    def nodes(self) -> Iterator[tuple[ColumnRef, RowColumn]]:
        """Return the source's columns, including hidden ones."""
        for key, output in zip(self.keys, self.relation.outputs, strict=True):
            yield ColumnRef(self.number, key), output

    @property
    def table_or_alias(self) -> str | None:
        """The table name or the alias; None for a subquery or join without an alias."""
        return str(self.table.name) if self.table else self.alias or None

    @property
    def label(self) -> str:
        """The name used in messages."""
        name = self.table_or_alias or "a subquery"
        return f"{name} {self.alias}" if self.alias not in ("", name) else name


class EquivalenceClasses:
    """Classes of nodes that are equal in all relevant rows."""

    def __init__(self, pairs: Iterable[tuple[Node, Node]] = ()) -> None:
        self._parents: dict[Node, Node] = {}
        for one, other in pairs:
            self.add_equality(one, other)

    def add_equality(self, left: Node, right: Node) -> None:
        """Record that two nodes are equal."""
        self._parents.setdefault(left, left)
        self._parents.setdefault(right, right)
        self._parents[self._find_root(left)] = self._find_root(right)

    def are_equal(self, left: Node, right: Node) -> bool:
        """Whether two nodes are known to be equal."""
        return left == right or self._find_root(left) == self._find_root(right)

    def with_pairs(self, pairs: Iterable[tuple[Node, Node]]) -> EquivalenceClasses:
        """Return a copy with additional equalities."""
        copy = EquivalenceClasses()
        copy._parents = dict(self._parents)
        for one, other in pairs:
            copy.add_equality(one, other)
        return copy

    def closure(self, nodes: Iterable[Node]) -> frozenset[Node]:
        """Return these nodes and all nodes equal to any of them."""
        start = set(nodes)
        roots = {self._find_root(one) for one in start}
        return frozenset(start | {one for one in self._parents if self._find_root(one) in roots})

    def nodes(self) -> Iterable[Node]:
        """Return all nodes that equal another node."""
        return tuple(self._parents)

    def _find_root(self, node: Node) -> Node:
        while (parent := self._parents.get(node, node)) != node:
            node = parent
        return node
