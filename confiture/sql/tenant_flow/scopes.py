"""Name resolution in a query and its outer queries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from confiture.sql.tenant_flow.row_sets import ColumnRef, FromSource, Node, RowSet


@dataclass(slots=True)
class ScopeItem:
    """The columns that a name in FROM defines.

    `merged_columns` are columns that USING or NATURAL has merged with columns of another item.
    """

    alias: str
    columns: dict[str, Node]
    is_complete: bool = True
    source: int | None = None
    merged_columns: frozenset[str] = frozenset()

    @classmethod
    def from_source(cls, source: FromSource) -> ScopeItem:
        """Return the scope item for a source."""
        columns: dict[str, Node] = {}
        for node, output in source.nodes():
            if not output.is_hidden:
                columns.setdefault(output.name, node)
        return cls(source.alias, columns, source.relation.is_complete, source.number)

    def find_column(self, name: str) -> Node | None:
        """Return the column with that name. A relation with unknown columns accepts any name."""
        column = self.columns.get(name)
        if column is None and not self.is_complete and self.source is not None:
            return ColumnRef(self.source, name)
        return column


@dataclass(frozen=True, slots=True)
class NameScope:
    """The items that a query's expressions can refer to, and the scope of the outer query."""

    items: Sequence[ScopeItem]
    outer: NameScope | None = None

    def resolve(self, parts: Sequence[str]) -> Node | None:
        """Return the column that a name refers to, or None."""
        column = self._resolve_qualified(parts[-2], parts[-1]) if len(parts) > 1 else self._resolve_bare(parts[-1])
        if column is None and self.outer is not None:
            return self.outer.resolve(parts)
        return column

    def find_item(self, alias: str) -> ScopeItem | None:
        """Return the item with that name, in this query or an outer query."""
        match = next((item for item in self.items if item.alias == alias), None)
        return match or (self.outer.find_item(alias) if self.outer else None)

    def expand_star(self, alias: str | None = None) -> Iterator[tuple[str, Node]]:
        """Return the columns that `*`, or `alias.*`, expands to."""
        for item in self.items:
            if alias is None or item.alias == alias:
                for name, node in item.columns.items():
                    if alias is not None or name not in item.merged_columns:
                        yield name, node

    def is_star_complete(self, alias: str | None = None) -> bool:
        """Whether all columns that `*` expands to are known."""
        return all(item.is_complete for item in self.items if alias is None or item.alias == alias)

    def sources(self) -> frozenset[int]:
        """Return the numbers of this query's own sources."""
        return frozenset(
            node.source for item in self.items for node in item.columns.values() if isinstance(node, ColumnRef)
        ) | {item.source for item in self.items if item.source is not None}

    def _resolve_qualified(self, alias: str, name: str) -> Node | None:
        return next((item.find_column(name) for item in self.items if item.alias == alias), None)

    def _resolve_bare(self, name: str) -> Node | None:
        for item in self.items:
            if name in item.columns and name not in item.merged_columns:
                return item.columns[name]
        if self.outer is not None and self.outer.resolve((name,)) is not None:
            return None
        unknown = [item for item in self.items if not item.is_complete]
        return unknown[0].find_column(name) if unknown else None


@dataclass(frozen=True, slots=True)
class OuterContext:
    """The context of a query: the CTEs that it can refer to, and the scope of the outer query.

    If `has_variables`, names that match no table column are function variables; in a trigger function (`is_trigger`),
    they can also refer to the written row. A query that `is_joined` is in FROM or after IN, so conditions outside the
    query can still bind its tenants.
    """

    ctes: Mapping[str, RowSet] = field(default_factory=dict)
    scope: NameScope | None = None
    has_variables: bool = False
    is_trigger: bool = False
    is_joined: bool = False

    def nested(self, scope: NameScope | None, *, is_joined: bool = False) -> OuterContext:
        """Return the context for a query nested in this one, with this scope."""
        return replace(self, scope=scope, is_joined=is_joined)
