"""The analysis of one statement under way: its sources, what was found, what keys proved."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from confiture.models.catalog import Name
from confiture.models.tenancy import Grade, Leak
from confiture.models.values import value
from confiture.sql.flow.expressions import Expressions
from confiture.sql.flow.facts import Facts
from confiture.sql.flow.relations import Column, Node, Relation, Source
from confiture.sql.flow.scopes import Around
from confiture.sql.tree import pb
from confiture.sql.walking import walk


@value(frozen=True, kw_only=True, slots=True)
class Issue:
    """Something that can bring tenants together. `location` is a byte of the text, -1 where that is not known.

    `fix` changes the tree so that it no longer does.
    """

    leak: Leak
    grade: Grade
    message: str
    location: int = -1
    relation: str | None = None
    fix: Callable[[], None] | None = None


Analyze = Callable[["Work", str, Any, Around], Relation]
"""Goes through a statement, given the tree's name of its kind, and gives what its rows are."""


@dataclass(slots=True)
class Work:
    """What the functions of this package share while they go through a statement."""

    facts: Facts
    analyze: Analyze
    issues: list[Issue] = field(default_factory=list)
    proofs: dict[str, None] = field(default_factory=dict)
    sources: dict[int, Source] = field(default_factory=dict)
    nullable: set[int] = field(default_factory=set)
    """Sources that an outer join may leave without a row."""
    views: dict[Name, Relation | None] = field(default_factory=dict)
    """The views that were read, None while one is being read."""
    has_subqueries: bool = True
    has_windows: bool = True
    """What the statement may have: most have neither, and need not be searched for them again and again."""
    expressions: Expressions = field(init=False)

    def __post_init__(self) -> None:
        self.expressions = Expressions(self.facts.catalog, self.sources)

    def nested(self, kind: str, node: Any, around: Around) -> Relation:
        """Goes through a statement that is part of the present one, and gives what its rows are."""
        return self.analyze(self, kind, node, around)

    def query(self, select: Any, around: Around) -> Relation:
        """The same for a SELECT, VALUES or set operation."""
        return self.nested("select_stmt", select, around)

    def of_view(self) -> Work:
        """The analysis of a view that the statement reads."""
        return Work(self.facts, self.analyze, views=self.views)

    @property
    def column(self) -> str:
        """The name of the tenant column."""
        return self.facts.tenancy.column

    def source(self, alias: str, relation: Relation, node: Any, table: Any = None) -> Source:
        """A new source."""
        number = len(self.sources)
        found = Source(number=number, alias=alias, relation=relation, node=node, table=table)
        self.sources[number] = found
        return found

    def report(self, leak: Leak, grade: Grade, message: str, location: int = -1, **more: Any) -> None:
        """Notes an issue, once."""
        issue = Issue(leak=leak, grade=grade, message=message, location=location, **more)
        if not any((one.leak, one.message, one.location) == (leak, message, location) for one in self.issues):
            self.issues.append(issue)

    def unknown(self, message: str, location: int = -1, relation: str | None = None) -> None:
        """Notes something that the analysis does not know."""
        self.report(Leak.UNKNOWN, Grade.UNKNOWN, message, location, relation=relation)

    def reference(self, node: Node) -> Any | None:
        """A column as an expression, None where no name reaches it."""
        if not isinstance(node, Column) or not self._is_reached(node):
            return None
        parts = [part for part in (self.sources[node.source].alias, node.key) if part]
        return pb.Node(column_ref=pb.ColumnRef(fields=[pb.Node(string=pb.String(sval=part)) for part in parts]))

    def _is_reached(self, column: Column) -> bool:
        """Whether a name reaches a column."""
        if column.source not in self.sources:
            return False
        output = self.sources[column.source].output(column.key)
        return output is None or not output.is_hidden

    def visible(self, nodes: Iterable[Node], sources: Iterable[int]) -> Node | None:
        """One of the nodes that names reach, of these sources: the one that is called as the tenant column first."""
        among = set(sources)
        found = [one for one in nodes if isinstance(one, Column) and one.source in among and self._is_reached(one)]
        return min(found, key=lambda one: (one.key != self.column, one), default=None)


def location_of(node: Any) -> int:
    """Where an expression begins, -1 where the tree does not say."""
    places = [one.location for one in walk(node) if "location" in one.DESCRIPTOR.fields_by_name and one.location > 0]
    return min(places, default=-1)


def equation(one: Any, other: Any) -> Any:
    """`one = other`."""
    name = [pb.Node(string=pb.String(sval="="))]
    return pb.Node(a_expr=pb.A_Expr(kind=pb.AEXPR_OP, name=name, lexpr=one, rexpr=other))


def add_condition(holder: Any, field_name: str, condition: Any) -> None:
    """Adds a condition to a WHERE or ON of the tree, by AND."""
    both = condition
    if holder.HasField(field_name):
        old = pb.Node()
        old.CopyFrom(getattr(holder, field_name))
        if old.WhichOneof("node") == "bool_expr" and old.bool_expr.boolop == pb.AND_EXPR:
            old.bool_expr.args.append(condition)
            both = old
        else:
            both = pb.Node(bool_expr=pb.BoolExpr(boolop=pb.AND_EXPR, args=[old, condition]))
    getattr(holder, field_name).CopyFrom(both)
