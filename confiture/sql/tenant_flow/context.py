"""The analysis state for one statement: sources, issues, and proofs by keys."""

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
    """A construct that can mix tenants. `location` is a byte offset in the text, -1 if unknown.

    `fix` changes the parse tree to remove the issue.
    """

    kind: TenancyIssueKind
    grade: TenancyGrade
    message: str
    location: int = -1
    relation: str | None = None
    fix: Callable[[], None] | None = None


Analyze = Callable[["AnalysisContext", str, Any, OuterContext], RowSet]
"""Analyze a statement, given the parser's name for its kind, and return its rows."""


@dataclass(slots=True)
class AnalysisContext:
    """The state that the functions of this package share while they analyze a statement."""

    facts: TenancyFacts
    analyze: Analyze
    issues: list[FlowIssue] = field(default_factory=list)
    proofs: dict[str, None] = field(default_factory=dict)
    sources: dict[int, FromSource] = field(default_factory=dict)
    nullable: set[int] = field(default_factory=set)
    """Sources that may contribute no row because of an outer join."""
    views: dict[QualifiedName, RowSet | None] = field(default_factory=dict)
    """The rows of the views read so far; None while a view is being analyzed."""
    has_subqueries: bool = True
    has_windows: bool = True
    """Whether the statement can contain subqueries or windows.

    Most statements contain neither and need not be searched.
    """
    expressions: ExpressionReader = field(init=False)

    def __post_init__(self) -> None:
        self.expressions = ExpressionReader(self.facts.catalog, self.sources)

    def nested(self, kind: str, node: Any, around: OuterContext) -> RowSet:
        """Analyze a statement nested in the current one, and return its rows."""
        return self.analyze(self, kind, node, around)

    def query(self, select: Any, around: OuterContext) -> RowSet:
        """Analyze a SELECT, VALUES, or set operation, and return its rows."""
        return self.nested("select_stmt", select, around)

    def of_view(self) -> AnalysisContext:
        """Return a context for analyzing a view that the statement reads."""
        return AnalysisContext(self.facts, self.analyze, views=self.views)

    @property
    def tenant_column(self) -> str:
        """The name of the tenant column."""
        return self.facts.tenancy.column

    def add_source(self, alias: str, relation: RowSet, node: Any, table: Any = None) -> FromSource:
        """Add a source."""
        number = len(self.sources)
        source = FromSource(number=number, alias=alias, relation=relation, node=node, table=table)
        self.sources[number] = source
        return source

    def report_issue(
        self, kind: TenancyIssueKind, grade: TenancyGrade, message: str, location: int = -1, **more: Any
    ) -> None:
        """Record an issue, once."""
        issue = FlowIssue(kind=kind, grade=grade, message=message, location=location, **more)
        if not any((one.kind, one.message, one.location) == (kind, message, location) for one in self.issues):
            self.issues.append(issue)

    def report_unknown(self, message: str, location: int = -1, relation: str | None = None) -> None:
        """Record something that the analysis does not support."""
        self.report_issue(TenancyIssueKind.UNKNOWN, TenancyGrade.UNKNOWN, message, location, relation=relation)

    def make_reference(self, node: Node) -> Any | None:
        """Return a column as an expression; None if no name refers to the column."""
        if not isinstance(node, ColumnRef) or not self._is_reachable(node):
            return None
        parts = [part for part in (self.sources[node.source].alias, node.key) if part]
        return pb.Node(column_ref=pb.ColumnRef(fields=[pb.Node(string=pb.String(sval=part)) for part in parts]))

    def _is_reachable(self, column: ColumnRef) -> bool:
        """Whether a name refers to a column."""
        if column.source not in self.sources:
            return False
        output = self.sources[column.source].find_output(column.key)
        return output is None or not output.is_hidden

    def find_reachable(self, nodes: Iterable[Node], sources: Iterable[int]) -> Node | None:
        """Return a node from these sources that a name refers to, preferably one named like the tenant column."""
        source_numbers = set(sources)
        columns = [
            one
            for one in nodes
            if isinstance(one, ColumnRef) and one.source in source_numbers and self._is_reachable(one)
        ]
        return min(columns, key=lambda one: (one.key != self.tenant_column, one), default=None)


def find_location(node: Any) -> int:
    """Return where an expression begins; -1 if the parse tree contains no locations."""
    locations = [one.location for one in walk(node) if "location" in one.DESCRIPTOR.fields_by_name and one.location > 0]
    return min(locations, default=-1)


def make_equality(left: Any, right: Any) -> Any:
    """Return the expression `left = right`."""
    name = [pb.Node(string=pb.String(sval="="))]
    return pb.Node(a_expr=pb.A_Expr(kind=pb.AEXPR_OP, name=name, lexpr=left, rexpr=right))


def add_condition(holder: Any, field_name: str, condition: Any) -> None:
    """Add a condition to a WHERE or ON in the parse tree, using AND."""
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
