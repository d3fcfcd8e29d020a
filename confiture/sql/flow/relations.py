"""What flows: nodes (columns and constants), equalities between them, and relations with their tenants."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from confiture.models.catalog import Name, Table
from confiture.models.values import value


class Column(NamedTuple):
    """A column of something that FROM names, by the number of that source."""

    source: int
    key: str


class Constant(NamedTuple):
    """A value that is the same for all rows of a query: a literal, a parameter, a setting. Known by its SQL."""

    text: str


Node = Column | Constant


VIRTUAL = ""
"""The name of the tenant column of tables that have none of their own, but a foreign key to one that has."""


class Origin(NamedTuple):
    """The column of a table that a value was taken from unchanged. Those of one row have the same `row`."""

    row: tuple[int, ...]
    table: Name
    column: str


class Output(NamedTuple):
    """A column of a relation. `is_hidden`: no name reaches it, but the rows have it, so keys can prove with it.

    One that holds the tenant `may_lack` it where it is NULL in some rows that are a tenant's.
    """

    name: str
    type: str = ""
    origin: Origin | None = None
    may_be_null: bool = True
    is_hidden: bool = False
    may_lack: bool = False


@value(frozen=True, kw_only=True, slots=True)
class Relation:
    """The rows that a table or a query gives.

    `reads` is whether tenants' rows are in it. Then `tenants` are the outputs (by number) that hold the tenant of
    each row, or NULL, and `fixed` are nodes from around it that the tenant of all its rows equals. With neither, the
    tenants are lost, which has been reported. `is_complete` is False where it has columns that are not known.
    """

    outputs: tuple[Output, ...] = ()
    is_complete: bool = True
    reads: bool = False
    tenants: frozenset[int] = frozenset()
    fixed: frozenset[Node] = frozenset()
    expose: Callable[[], None] | None = field(default=None, compare=False)
    """Writes the tenant's column into the query's output, where that can be done."""
    retarget: Callable[[int], None] | None = field(default=None, compare=False)
    """Makes an output of the query (by number) the tenant's column."""

    @property
    def is_lost(self) -> bool:
        """Whether it has tenants' rows without saying whose."""
        return self.reads and not self.tenants and not self.fixed


@dataclass(slots=True)
class Source:
    """Something that FROM names: a relation under an alias. `node` is where it stands in the tree."""

    number: int
    alias: str
    relation: Relation
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

    def members(self) -> frozenset[Node]:
        """The nodes that hold the tenant of its rows."""
        own = {Column(self.number, self.keys[number]) for number in self.relation.tenants}
        return frozenset(own) | self.relation.fixed

    def output(self, key: str) -> Output | None:
        """The output behind a node."""
        return self.relation.outputs[self.keys.index(key)] if key in self.keys else None

    def nodes(self) -> Iterator[tuple[Column, Output]]:
        """Its columns, hidden ones too."""
        for key, output in zip(self.keys, self.relation.outputs, strict=True):
            yield Column(self.number, key), output

    @property
    def called(self) -> str | None:
        """The table that it is, or its alias; None for a subquery or a join that has none."""
        return str(self.table.name) if self.table else self.alias or None

    @property
    def label(self) -> str:
        """How people are shown it."""
        called = self.called or "a subquery"
        return f"{called} {self.alias}" if self.alias not in ("", called) else called


class Equalities:
    """Nodes that are equal in all rows that matter."""

    def __init__(self, pairs: Iterable[tuple[Node, Node]] = ()) -> None:
        self._parents: dict[Node, Node] = {}
        for one, other in pairs:
            self.add(one, other)

    def add(self, one: Node, other: Node) -> None:
        """Notes that two are equal."""
        self._parents.setdefault(one, one)
        self._parents.setdefault(other, other)
        self._parents[self._root(one)] = self._root(other)

    def same(self, one: Node, other: Node) -> bool:
        """Whether two are known to be equal."""
        return one == other or self._root(one) == self._root(other)

    def extended(self, pairs: Iterable[tuple[Node, Node]]) -> Equalities:
        """These and more."""
        found = Equalities()
        found._parents = dict(self._parents)
        for one, other in pairs:
            found.add(one, other)
        return found

    def reach(self, nodes: Iterable[Node]) -> frozenset[Node]:
        """The nodes and all that equal one of them."""
        start = set(nodes)
        roots = {self._root(one) for one in start}
        return frozenset(start | {one for one in self._parents if self._root(one) in roots})

    def nodes(self) -> Iterable[Node]:
        """All nodes that equal some other."""
        return tuple(self._parents)

    def _root(self, node: Node) -> Node:
        while (parent := self._parents.get(node, node)) != node:
            node = parent
        return node
