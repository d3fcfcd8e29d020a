"""Entry points for the analysis, which computes a verdict from a statement and a catalog."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from google.protobuf.message import DecodeError

from confiture.models.catalog import View
from confiture.models.plan import BATCH
from confiture.models.source import SourceLocation
from confiture.models.tenancy import TenancyGrade, TenancyIssue, TenancyIssueKind, TenancyVerdict
from confiture.sql.parse_tree import ParsedStatement, format_statement, pb, query_tree, strings
from confiture.sql.parser import parse_sql, postgast
from confiture.sql.tenant_flow.calls import check_calls
from confiture.sql.tenant_flow.context import AnalysisContext, FlowIssue
from confiture.sql.tenant_flow.dml import analyze_dml
from confiture.sql.tenant_flow.facts import TenancyFacts
from confiture.sql.tenant_flow.functions import (
    BodyStatement,
    find_body_statements,
    is_security_definer,
    is_trigger_function,
)
from confiture.sql.tenant_flow.query import analyze_query
from confiture.sql.tenant_flow.returning_clause import check_nullable_tenant
from confiture.sql.tenant_flow.row_sets import RowSet
from confiture.sql.tenant_flow.scopes import OuterContext

_QUERIES = frozenset({"insert_stmt", "update_stmt", "delete_stmt", "merge_stmt", "create_table_as_stmt", "select_stmt"})
_BODIES = frozenset({"do_stmt", "create_function_stmt"})
ANALYZED_KINDS = _QUERIES | _BODIES | {"view_stmt"}
"""The statement kinds that are analyzed; all other kinds are safe."""
_WRAPPER_STATEMENTS = {"explain_stmt": "EXPLAIN", "prepare_stmt": "PREPARE", "rule_stmt": "CREATE RULE"}
"""Statements that contain other statements. They are not analyzed, since migrations do not need them."""
_NO_OUTER = OuterContext()
_MAX_FIX_ROUNDS = 12
_ORDER = (TenancyGrade.SAFE, TenancyGrade.UNKNOWN, TenancyGrade.WARNING, TenancyGrade.ERROR)


def analyze(statement: ParsedStatement, facts: TenancyFacts) -> TenancyVerdict:
    """Return the verdict on whether a statement can leak one tenant's rows to another, given the facts before it runs.

    A statement is safe if the rows that it produces for each tenant from all data equal the rows that it produces from
    that tenant's data alone. Tables that do not belong to tenants count as shared by all tenants.
    """
    if statement.kind in _WRAPPER_STATEMENTS:
        work = AnalysisContext(facts, _analyze)
        work.report_unknown(f"{_WRAPPER_STATEMENTS[statement.kind]} is not analyzed")
        return _build_verdict(work.issues, (), statement.location)
    if statement.kind not in ANALYZED_KINDS:
        return TenancyVerdict(grade=TenancyGrade.SAFE)
    if statement.kind in _BODIES:
        return _analyze_body(statement, facts)
    work = analyze_node(statement.kind, statement.node, facts)
    corrected = _fix_statement(statement, facts) if any(issue.fix for issue in work.issues) else None
    reasons = tuple(
        TenancyIssue(
            kind=issue.kind,
            grade=issue.grade,
            message=issue.message,
            location=_issue_location(statement, issue),
            relation=issue.relation,
            fixed_sql=corrected if issue.fix else None,
        )
        for issue in sorted(work.issues, key=lambda one: -_ORDER.index(one.grade))
    )
    return TenancyVerdict(grade=worst_issue(work.issues), issues=reasons, proofs=tuple(work.proofs))


def analyze_view(view: View, facts: TenancyFacts) -> TenancyVerdict:
    """Return the verdict on whether a view leaks one tenant's rows to another, or does not return the tenant of its
    rows.
    """
    tree = query_tree(view)
    work = AnalysisContext(facts, _analyze, views={view.name: None})
    check_calls(work, tree)
    relation = work.query(tree, OuterContext())
    range_var = pb.RangeVar(relname=str(view.name), location=-1)
    _check_visible_tenant(work, relation, range_var, "materialized view" if view.materialized else "view", view.columns)
    return _build_verdict(work.issues, work.proofs, view.location)


def _analyze_body(statement: ParsedStatement, facts: TenancyFacts) -> TenancyVerdict:
    """Return the verdict on a function or DO block, based on its statements that change rows.

    A statement that only reads returns only rows that the caller can already read, unless the function is SECURITY
    DEFINER.
    """
    whole = AnalysisContext(facts, _analyze)
    is_definer = is_security_definer(statement.node)
    outer = OuterContext(has_variables=True, is_trigger=is_trigger_function(statement.node))
    reasons: list[TenancyIssue] = []
    keeps_results = writes = False
    for one in find_body_statements(whole, statement.text, statement.node, statement.kind):
        is_read = one.kind == "select_stmt"
        keeps_results |= one.is_result_kept and (not is_read or _is_reading_tenants(one.node, facts, outer))
        if one.kind in _QUERIES and (is_definer or not is_read):
            writes |= not is_read
            inner = analyze_node(one.kind, one.node, facts, outer)
            reasons += (_to_tenancy_issue(issue, _location_in_body(statement, one, issue)) for issue in inner.issues)
            whole.proofs.update(inner.proofs)
    if keeps_results and writes:
        whole.report_unknown("tenant rows pass through variables, which are not analyzed")
    reasons += (_to_tenancy_issue(issue, statement.location) for issue in whole.issues)
    reasons.sort(key=lambda reason: -_ORDER.index(reason.grade))
    grade = max((reason.grade for reason in reasons), key=_ORDER.index, default=TenancyGrade.SAFE)
    return TenancyVerdict(grade=grade, issues=tuple(dict.fromkeys(reasons)), proofs=tuple(whole.proofs))


def _is_reading_tenants(select: Any, facts: TenancyFacts, outer: OuterContext) -> bool:
    """Whether a query reads tenant rows, even in subqueries that do not return the tenant."""
    work = AnalysisContext(facts, _analyze)
    return work.query(select, outer).has_tenant_rows or bool(work.issues)


def _location_in_body(statement: ParsedStatement, body_statement: BodyStatement, issue: FlowIssue) -> SourceLocation:
    """Return the location of an issue in a body: the exact location if known, otherwise the start of the statement."""
    if body_statement.offset is None:
        is_atomic = statement.kind == "create_function_stmt" and statement.node.HasField("sql_body")
        return _issue_location(statement, issue) if is_atomic else statement.location
    text = statement.rendered.text[statement.offset + body_statement.offset :]
    within = len(text.encode()[: max(issue.location, 0)].decode(errors="ignore"))
    return SourceLocation(rendered=statement.rendered, offset=statement.offset + body_statement.offset + within)


def _build_verdict(
    issues: Sequence[FlowIssue], proofs: Iterable[str], location: SourceLocation | None
) -> TenancyVerdict:
    ordered = sorted(issues, key=lambda one: -_ORDER.index(one.grade))
    return TenancyVerdict(
        grade=worst_issue(issues),
        issues=tuple(_to_tenancy_issue(issue, location) for issue in ordered),
        proofs=tuple(proofs),
    )


def _to_tenancy_issue(issue: FlowIssue, location: SourceLocation | None) -> TenancyIssue:
    return TenancyIssue(
        kind=issue.kind, grade=issue.grade, message=issue.message, location=location, relation=issue.relation
    )


def worst_issue(issues: Sequence[FlowIssue]) -> TenancyGrade:
    """Return the worst grade among all issues."""
    return max((issue.grade for issue in issues), key=_ORDER.index, default=TenancyGrade.SAFE)


def _issue_location(statement: ParsedStatement, issue: FlowIssue) -> SourceLocation:
    return statement.location_at(issue.location) if issue.location > 0 else statement.location


def analyze_node(kind: str, node: Any, facts: TenancyFacts, outer: OuterContext = _NO_OUTER) -> AnalysisContext:
    """Analyze the parse tree of a statement and return the context with the issues found."""
    work = AnalysisContext(facts, _analyze)
    check_calls(work, node)
    if kind == "select_stmt":
        relation = work.query(node, outer)
        if node.HasField("into_clause"):
            _check_visible_tenant(work, relation, node.into_clause.rel, "new table")
        else:
            output_names = [one.name for one in relation.outputs]
            _check_tenant_named_column(work, relation, output_names, "result", -1)
    elif kind == "create_table_as_stmt":
        if node.query.WhichOneof("node") == "select_stmt":
            relation = work.query(node.query.select_stmt, outer)
            _check_visible_tenant(work, relation, node.into.rel, "new table")
        else:
            work.report_unknown("CREATE TABLE AS EXECUTE is not analyzed")
    elif kind == "view_stmt":
        relation = work.query(node.query.select_stmt, outer)
        names = strings(node.aliases)
        _check_visible_tenant(work, relation, node.view, "view", names)
    else:
        work.nested(kind, node, outer)
    return work


def _analyze(work: AnalysisContext, kind: str, node: Any, around: OuterContext) -> RowSet:
    return analyze_query(work, node, around) if kind == "select_stmt" else analyze_dml(work, kind, node, around)


def _check_visible_tenant(
    context: AnalysisContext, relation: RowSet, node: Any, noun: str, names: Sequence[str] = ()
) -> None:
    """Report a view or table that does not return the tenant of its rows."""
    if not relation.has_tenant_rows or relation.has_unknown_tenant:
        return
    output_names = [names[number] if number < len(names) else one.name for number, one in enumerate(relation.outputs)]
    if _check_tenant_named_column(context, relation, output_names, noun, node.location) or relation.tenant_constants:
        return
    tenant_names = {output_names[number] for number in relation.tenants if not relation.outputs[number].is_hidden}
    grade = TenancyGrade.WARNING if noun == "view" or tenant_names else TenancyGrade.ERROR
    how = f"returns the tenant of its rows only as {', '.join(sorted(tenant_names))}"
    if not tenant_names:
        how = "does not return the tenant of its rows"
    message = f"the {noun} {node.relname} {how}: it has no column {context.tenant_column}"
    fix = relation.expose_tenant if not tenant_names and not names else None
    context.report_issue(
        TenancyIssueKind.NO_TENANT_COLUMN, grade, message, node.location, relation=node.relname, fix=fix
    )


def _check_tenant_named_column(
    context: AnalysisContext, relation: RowSet, alias: Sequence[str], noun: str, location: int
) -> bool:
    """Report a column that has the tenant column's name but does not contain the tenant.

    Return False if no column has that name.
    """
    if not relation.has_tenant_rows or relation.has_unknown_tenant or context.tenant_column not in alias:
        return False
    place = alias.index(context.tenant_column)
    if relation.outputs[place].is_hidden:
        return False
    if place in relation.tenants:
        check_nullable_tenant(context, relation.outputs[place], f"{context.tenant_column} of the {noun}", location)
        return True
    message = f"{context.tenant_column} of the {noun} is not the tenant of the source rows"
    retarget = relation.use_as_tenant
    fix = (lambda: retarget(place)) if retarget else None
    context.report_issue(TenancyIssueKind.WRONG_SOURCE, TenancyGrade.ERROR, message, location, fix=fix)
    return True


def _fix_statement(statement: ParsedStatement, facts: TenancyFacts) -> str | None:
    """Return the statement with every possible fix applied; None if the result is still not safe."""
    node = type(statement.node)()
    node.CopyFrom(statement.node)
    work = analyze_node(statement.kind, node, facts)
    for _ in range(_MAX_FIX_ROUNDS):
        issue = next((one for one in work.issues if one.fix), None)
        if issue is None or issue.fix is None:
            break
        issue.fix()
        try:
            text = format_statement(statement.kind, node)
            raw = parse_sql(text).stmts[0].stmt
        except (postgast.PgQueryError, DecodeError):
            return None
        node = getattr(raw, statement.kind)
        work = analyze_node(statement.kind, node, facts)
    if worst_issue(work.issues) not in (TenancyGrade.SAFE, TenancyGrade.UNKNOWN):
        return None
    return format_statement(statement.kind, node).replace(BATCH, "{{ batch }}")
