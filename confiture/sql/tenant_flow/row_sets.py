"""The data of the analysis: nodes (columns and constants), their equalities, and relations with tenants."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from confiture.models.catalog import QualifiedName, Table
from confiture.models.records import record


class ColumnRef(NamedTuple):
    """A column of an item of FROM, by the number of that source."""

    source: int
    key: str


class TenantConstant(NamedTuple):
    """A value that is the same for all rows: a literal, a parameter, a setting. It is identified by its SQL."""

    text: str


Node = ColumnRef | TenantConstant


VIRTUAL = ""
"""The name of the virtual tenant column of tables that have none, but a foreign key to a table that has one."""


class ColumnOrigin(NamedTuple):
    """The table column that a value comes from unchanged. Values from the same row have the same `row`."""

    row: tuple[int, ...]
    table: QualifiedName
    column: str


class RowColumn(NamedTuple):
    """A column of a relation. `is_hidden` is whether no name refers to it; keys can still use it in proofs.

    `can_lack_tenant` is whether a column that holds the tenant is NULL in some rows that belong to a tenant.
    """

    name: str
    type: str = ""
    origin: ColumnOrigin | None = None
    is_nullable: bool = True
    is_hidden: bool = False
    can_lack_tenant: bool = False


@record(frozen=True, kw_only=True, slots=True)
class RowSet:
    """The rows of a table or a query.

    `has_tenant_rows` is whether it contains tenants' rows. Then `tenants` are the outputs (by number) that hold the
    tenant of each row, or NULL, and `tenant_constants` are nodes of the outer query that equal the tenant of all rows.
    If both are empty, the tenants are lost, which has been reported. `is_complete` is False if some of its columns are
    unknown.
    """

    outputs: tuple[RowColumn, ...] = ()
    is_complete: bool = True
    has_tenant_rows: bool = False
    tenants: frozenset[int] = frozenset()
    tenant_constants: frozenset[Node] = frozenset()
    expose_tenant: Callable[[], None] | None = field(default=None, compare=False)
    """Add the tenant column to the query's output, if possible."""
    use_as_tenant: Callable[[int], None] | None = field(default=None, compare=False)
    """Replace an output of the query (by number) by the tenant column."""

    @property
    def has_unknown_tenant(self) -> bool:
        """Whether it has tenants' rows without their tenants."""
        return self.has_tenant_rows and not self.tenants and not self.tenant_constants


@dataclass(slots=True)
class FromSource:
    """An item of FROM: a relation with an alias. `node` is its node in the tree."""

    number: int
    alias: str
    relation: RowSet
    node: Any
    table: Table | None = None
    keys: tuple[str, ...] = ()
    """The names of its outputs in nodes: their names, made unique."""

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
        """Return the nodes that hold the tenant of its rows."""
        own = {ColumnRef(self.number, self.keys[number]) for number in self.relation.tenants}
        return frozenset(own) | self.relation.tenant_constants

    def find_output(self, key: str) -> RowColumn | None:
        """Return the output of a node."""
        return self.relation.outputs[self.keys.index(key)] if key in self.keys else None

    def nodes(self) -> Iterator[tuple[ColumnRef, RowColumn]]:
        """Return its columns, including hidden ones."""
        for key, output in zip(self.keys, self.relation.outputs, strict=True):
            yield ColumnRef(self.number, key), output

    @property
    def table_or_alias(self) -> str | None:
        """The name of the table, or the alias; None for a subquery or a join without alias."""
        return str(self.table.name) if self.table else self.alias or None

    @property
    def label(self) -> str:
        """The name in messages."""
        name = self.table_or_alias or "a subquery"
        return f"{name} {self.alias}" if self.alias not in ("", name) else name


class EquivalenceClasses:
    """Nodes that are equal in all relevant rows."""

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
        """Return a copy with more equalities."""
        copy = EquivalenceClasses()
        copy._parents = dict(self._parents)
        for one, other in pairs:
            copy.add_equality(one, other)
        return copy

    def closure(self, nodes: Iterable[Node]) -> frozenset[Node]:
        """Return the nodes and all nodes that equal one of them."""
        start = set(nodes)
        roots = {self._find_root(one) for one in start}
        return frozenset(start | {one for one in self._parents if self._find_root(one) in roots})

    def nodes(self) -> Iterable[Node]:
        """Return all nodes that equal some other node."""
        return tuple(self._parents)

    def _find_root(self, node: Node) -> Node:
        while (parent := self._parents.get(node, node)) != node:
            node = parent
        return node
