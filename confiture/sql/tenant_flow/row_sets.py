"""What flows: nodes (columns and constants), equalities between them, and relations with their tenants."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from confiture.models.catalog import QualifiedName, Table
from confiture.models.records import record


class ColumnRef(NamedTuple):
    """A column of something that FROM names, by the number of that source."""

    source: int
    key: str


class TenantConstant(NamedTuple):
    """A value that is the same for all rows of a query: a literal, a parameter, a setting. Known by its SQL."""

    text: str


Node = ColumnRef | TenantConstant


VIRTUAL = ""
"""The name of the tenant column of tables that have none of their own, but a foreign key to one that has."""


class ColumnOrigin(NamedTuple):
    """The column of a table that a value was taken from unchanged. Those of one row have the same `row`."""

    row: tuple[int, ...]
    table: QualifiedName
    column: str


class RowColumn(NamedTuple):
    """A column of a relation. `is_hidden`: no name reaches it, but the rows have it, so keys can prove with it.

    One that holds the tenant `can_lack_tenant` it where it is NULL in some rows that are a tenant's.
    """

    name: str
    type: str = ""
    origin: ColumnOrigin | None = None
    is_nullable: bool = True
    is_hidden: bool = False
    can_lack_tenant: bool = False


@record(frozen=True, kw_only=True, slots=True)
class RowSet:
    """The rows that a table or a query gives.

    `has_tenant_rows` is whether tenants' rows are in it. Then `tenants` are the outputs (by number) that hold the
    tenant of each row, or NULL, and `tenant_constants` are nodes from around it that the tenant of all its rows equals.
    With neither, the tenants are lost, which has been reported. `is_complete` is False where it has columns that are
    not known.
    """

    outputs: tuple[RowColumn, ...] = ()
    is_complete: bool = True
    has_tenant_rows: bool = False
    tenants: frozenset[int] = frozenset()
    tenant_constants: frozenset[Node] = frozenset()
    expose_tenant: Callable[[], None] | None = field(default=None, compare=False)
    """Writes the tenant's column into the query's output, where that can be done."""
    use_as_tenant: Callable[[int], None] | None = field(default=None, compare=False)
    """Makes an output of the query (by number) the tenant's column."""

    @property
    def has_unknown_tenant(self) -> bool:
        """Whether it has tenants' rows without saying whose."""
        return self.has_tenant_rows and not self.tenants and not self.tenant_constants


@dataclass(slots=True)
class FromSource:
    """Something that FROM names: a relation under an alias. `node` is where it stands in the tree."""

    number: int
    alias: str
    relation: RowSet
    node: Any
    table: Table | None = None
    keys: tuple[str, ...] = ()
    """What its outputs are called in nodes: their names, made different where two are the same."""

    def __post_init__(self) -> None:
        seen: set[str] = set()
        keys = []
        for number, output in enumerate(self.relation.outputs):
            taken = output.is_hidden or output.name in seen
            key = f"{output.name} {number}" if taken else output.name
            seen.add(key)
            keys.append(key)
        self.keys = tuple(keys)

    def tenant_columns(self) -> frozenset[Node]:
        """The nodes that hold the tenant of its rows."""
        own = {ColumnRef(self.number, self.keys[number]) for number in self.relation.tenants}
        return frozenset(own) | self.relation.tenant_constants

    def find_output(self, key: str) -> RowColumn | None:
        """The output behind a node."""
        return self.relation.outputs[self.keys.index(key)] if key in self.keys else None

    def nodes(self) -> Iterator[tuple[ColumnRef, RowColumn]]:
        """Its columns, hidden ones too."""
        for key, output in zip(self.keys, self.relation.outputs, strict=True):
            yield ColumnRef(self.number, key), output

    @property
    def table_or_alias(self) -> str | None:
        """The table that it is, or its alias; None for a subquery or a join that has none."""
        return str(self.table.name) if self.table else self.alias or None

    @property
    def label(self) -> str:
        """How people are shown it."""
        called = self.table_or_alias or "a subquery"
        return f"{called} {self.alias}" if self.alias not in ("", called) else called


class EquivalenceClasses:
    """Nodes that are equal in all rows that matter."""

    def __init__(self, pairs: Iterable[tuple[Node, Node]] = ()) -> None:
        self._parents: dict[Node, Node] = {}
        for one, other in pairs:
            self.add_equality(one, other)

    def add_equality(self, left: Node, right: Node) -> None:
        """Notes that two are equal."""
        self._parents.setdefault(left, left)
        self._parents.setdefault(right, right)
        self._parents[self._find_root(left)] = self._find_root(right)

    def are_equal(self, left: Node, right: Node) -> bool:
        """Whether two are known to be equal."""
        return left == right or self._find_root(left) == self._find_root(right)

    def with_pairs(self, pairs: Iterable[tuple[Node, Node]]) -> EquivalenceClasses:
        """These and more."""
        found = EquivalenceClasses()
        found._parents = dict(self._parents)
        for one, other in pairs:
            found.add_equality(one, other)
        return found

    def closure(self, nodes: Iterable[Node]) -> frozenset[Node]:
        """The nodes and all that equal one of them."""
        start = set(nodes)
        roots = {self._find_root(one) for one in start}
        return frozenset(start | {one for one in self._parents if self._find_root(one) in roots})

    def nodes(self) -> Iterable[Node]:
        """All nodes that equal some other."""
        return tuple(self._parents)

    def _find_root(self, node: Node) -> Node:
        while (parent := self._parents.get(node, node)) != node:
            node = parent
        return node
