"""Names in a query: what its columns mean, and the queries around it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from confiture.sql.flow.relations import Column, Node, Relation, Source


@dataclass(slots=True)
class Item:
    """What a name of FROM offers. `merged` are columns that USING or NATURAL made one with those of another item."""

    alias: str
    columns: dict[str, Node]
    is_complete: bool = True
    source: int | None = None
    merged: frozenset[str] = frozenset()

    @classmethod
    def of(cls, source: Source) -> Item:
        """That of a source."""
        columns: dict[str, Node] = {}
        for node, output in source.nodes():
            if not output.is_hidden:
                columns.setdefault(output.name, node)
        return cls(source.alias, columns, source.relation.is_complete, source.number)

    def get(self, name: str) -> Node | None:
        """The column of that name; of a relation that is not known, any."""
        found = self.columns.get(name)
        if found is None and not self.is_complete and self.source is not None:
            return Column(self.source, name)
        return found


@dataclass(frozen=True, slots=True)
class Scope:
    """The items that a query's expressions can name, and the scope of the query around it."""

    items: Sequence[Item]
    outer: Scope | None = None

    def resolve(self, parts: Sequence[str]) -> Node | None:
        """The column that a name means, None where nothing has it."""
        found = self._qualified(parts[-2], parts[-1]) if len(parts) > 1 else self._bare(parts[-1])
        if found is None and self.outer is not None:
            return self.outer.resolve(parts)
        return found

    def item(self, alias: str) -> Item | None:
        """The item of that name, in this query or one around it."""
        found = next((item for item in self.items if item.alias == alias), None)
        return found or (self.outer.item(alias) if self.outer else None)

    def star(self, alias: str | None = None) -> Iterator[tuple[str, Node]]:
        """What `*`, or `alias.*`, stands for."""
        for item in self.items:
            if alias is None or item.alias == alias:
                for name, node in item.columns.items():
                    if alias is not None or name not in item.merged:
                        yield name, node

    def star_is_complete(self, alias: str | None = None) -> bool:
        """Whether all of those columns are known."""
        return all(item.is_complete for item in self.items if alias is None or item.alias == alias)

    def sources(self) -> frozenset[int]:
        """The numbers of this query's own sources."""
        return frozenset(
            node.source for item in self.items for node in item.columns.values() if isinstance(node, Column)
        ) | {item.source for item in self.items if item.source is not None}

    def _qualified(self, alias: str, name: str) -> Node | None:
        return next((item.get(name) for item in self.items if item.alias == alias), None)

    def _bare(self, name: str) -> Node | None:
        for item in self.items:
            if name in item.columns and name not in item.merged:
                return item.columns[name]
        if self.outer is not None and self.outer.resolve((name,)) is not None:
            return None
        unknown = [item for item in self.items if not item.is_complete]
        return unknown[0].get(name) if unknown else None


@dataclass(frozen=True, slots=True)
class Around:
    """What surrounds a query: the WITH queries it can name, and the scope of the query it stands in.

    Where `has_variables`, names that no table has are variables of a function, and in one of a trigger (`is_trigger`)
    those of the row that was written. A query that `is_joined` stands in FROM,
    or behind IN: conditions outside of it may still tie its tenants.
    """

    common: Mapping[str, Relation] = field(default_factory=dict)
    scope: Scope | None = None
    has_variables: bool = False
    is_trigger: bool = False
    is_joined: bool = False

    def inside(self, scope: Scope | None, *, is_joined: bool = False) -> Around:
        """What surrounds a query that stands in this one, with this scope."""
        return replace(self, scope=scope, is_joined=is_joined)
