"""The analysis of one statement under way: its sources, what was found, what keys proved."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from confiture.models.catalog import QualifiedName
from confiture.models.records import record
from confiture.models.tenancy import TenancyGrade, TenancyIssueKind
from confiture.sql.parse_tree import pb
from confiture.sql.tenant_flow.expressions import ExpressionReader
from confiture.sql.tenant_flow.facts import TenancyFacts
from confiture.sql.tenant_flow.row_sets import ColumnRef, FromSource, Node, RowSet
from confiture.sql.tenant_flow.scopes import OuterContext
from confiture.sql.traversal import walk


@record(frozen=True, kw_only=True, slots=True)
class FlowIssue:
    """Something that can bring tenants together. `location` is a byte of the text, -1 where that is not known.

    `fix` changes the tree so that it no longer does.
    """

    kind: TenancyIssueKind
    grade: TenancyGrade
    message: str
    location: int = -1
    relation: str | None = None
    fix: Callable[[], None] | None = None


Analyze = Callable[["AnalysisContext", str, Any, OuterContext], RowSet]
"""Goes through a statement, given the tree's name of its kind, and gives what its rows are."""


@dataclass(slots=True)
class AnalysisContext:
    """What the functions of this package share while they go through a statement."""

    facts: TenancyFacts
    analyze: Analyze
    issues: list[FlowIssue] = field(default_factory=list)
    proofs: dict[str, None] = field(default_factory=dict)
    sources: dict[int, FromSource] = field(default_factory=dict)
    nullable: set[int] = field(default_factory=set)
    """Sources that an outer join may leave without a row."""
    views: dict[QualifiedName, RowSet | None] = field(default_factory=dict)
    """The views that were read, None while one is being read."""
    has_subqueries: bool = True
    has_windows: bool = True
    """What the statement may have: most have neither, and need not be searched for them again and again."""
    expressions: ExpressionReader = field(init=False)

    def __post_init__(self) -> None:
        self.expressions = ExpressionReader(self.facts.catalog, self.sources)

    def nested(self, kind: str, node: Any, around: OuterContext) -> RowSet:
        """Goes through a statement that is part of the present one, and gives what its rows are."""
        return self.analyze(self, kind, node, around)

    def query(self, select: Any, around: OuterContext) -> RowSet:
        """The same for a SELECT, VALUES or set operation."""
        return self.nested("select_stmt", select, around)

    def of_view(self) -> AnalysisContext:
        """The analysis of a view that the statement reads."""
        return AnalysisContext(self.facts, self.analyze, views=self.views)

    @property
    def tenant_column(self) -> str:
        """The name of the tenant column."""
        return self.facts.tenancy.column

    def add_source(self, alias: str, relation: RowSet, node: Any, table: Any = None) -> FromSource:
        """A new source."""
        number = len(self.sources)
        found = FromSource(number=number, alias=alias, relation=relation, node=node, table=table)
        self.sources[number] = found
        return found

    def report_issue(
        self, kind: TenancyIssueKind, grade: TenancyGrade, message: str, location: int = -1, **more: Any
    ) -> None:
        """Notes an issue, once."""
        issue = FlowIssue(kind=kind, grade=grade, message=message, location=location, **more)
        if not any((one.kind, one.message, one.location) == (kind, message, location) for one in self.issues):
            self.issues.append(issue)

    def report_unknown(self, message: str, location: int = -1, relation: str | None = None) -> None:
        """Notes something that the analysis does not know."""
        self.report_issue(TenancyIssueKind.UNKNOWN, TenancyGrade.UNKNOWN, message, location, relation=relation)

    def make_reference(self, node: Node) -> Any | None:
        """A column as an expression, None where no name reaches it."""
        if not isinstance(node, ColumnRef) or not self._is_reachable(node):
            return None
        parts = [part for part in (self.sources[node.source].alias, node.key) if part]
        return pb.Node(column_ref=pb.ColumnRef(fields=[pb.Node(string=pb.String(sval=part)) for part in parts]))

    def _is_reachable(self, column: ColumnRef) -> bool:
        """Whether a name reaches a column."""
        if column.source not in self.sources:
            return False
        output = self.sources[column.source].find_output(column.key)
        return output is None or not output.is_hidden

    def find_reachable(self, nodes: Iterable[Node], sources: Iterable[int]) -> Node | None:
        """One of the nodes that names reach, of these sources: the one that is called as the tenant column first."""
        among = set(sources)
        found = [one for one in nodes if isinstance(one, ColumnRef) and one.source in among and self._is_reachable(one)]
        return min(found, key=lambda one: (one.key != self.tenant_column, one), default=None)


def find_location(node: Any) -> int:
    """Where an expression begins, -1 where the tree does not say."""
    places = [one.location for one in walk(node) if "location" in one.DESCRIPTOR.fields_by_name and one.location > 0]
    return min(places, default=-1)


def make_equality(left: Any, right: Any) -> Any:
    """`one = other`."""
    name = [pb.Node(string=pb.String(sval="="))]
    return pb.Node(a_expr=pb.A_Expr(kind=pb.AEXPR_OP, name=name, lexpr=left, rexpr=right))


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
