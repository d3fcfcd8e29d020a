"""Helpers for the tenancy rules. Each rule reports one kind of issue that the analysis finds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from confiture.lint.engine.context import SchemaContext, StatementContext
from confiture.lint.engine.rule import Violation
from confiture.models.catalog import QualifiedName, Table
from confiture.models.settings import Severity
from confiture.models.source import SourceLocation
from confiture.models.tenancy import TenancyGrade, TenancyIssue, TenancyIssueKind
from confiture.sql.parse_tree import ParsedStatement, parse_rendered
from confiture.sql.tenant_tables import tenant_column

CHANGING = frozenset({"insert_stmt", "update_stmt", "delete_stmt", "merge_stmt", "create_table_as_stmt", "do_stmt"})
"""The kinds of migration statements whose data flow is analyzed."""

BEFORE = """CREATE TABLE w_customers (
    id bigint PRIMARY KEY, tenant_id bigint NOT NULL, name text NOT NULL, UNIQUE (tenant_id, id));
CREATE TABLE w_orders (
    id bigint PRIMARY KEY, tenant_id bigint NOT NULL, customer_id bigint NOT NULL, amount numeric NOT NULL,
    UNIQUE (tenant_id, id));
CREATE TABLE r_spending (
    tenant_id bigint NOT NULL, customer_id bigint NOT NULL, total numeric, PRIMARY KEY (tenant_id, customer_id))"""
"""The tables of the examples."""

_SEVERITIES: dict[TenancyGrade, Severity] = {TenancyGrade.ERROR: "error", TenancyGrade.WARNING: "warning"}


def tenancy_violations(context: StatementContext, *leaks: TenancyIssueKind) -> Iterator[Violation]:
    """Return the issues of these kinds in a statement; empty if the settings do not configure tenancy."""
    if not context.target.settings.tenancy.is_set:
        return
    for issue in context.tenancy.issues:
        if issue.kind in leaks:
            yield to_violation(issue)


def to_violation(issue: TenancyIssue, severity: Severity | None = None) -> Violation:
    """Convert an issue to a violation, with the corrected statement to paste."""
    return Violation(
        location=issue.location,
        relation=issue.relation,
        message=issue.message,
        remedy=f"{issue.fixed_sql};" if issue.fixed_sql else None,
        severity=severity or _SEVERITIES.get(issue.grade, "info"),
    )


def find_statement(location: SourceLocation | None, *kinds: str) -> ParsedStatement | None:
    """Return the statement of one of these kinds that begins at a location, or None."""
    if location is None:
        return None
    statements = (
        one for one in parse_rendered(location.rendered) if one.offset == location.offset and one.kind in kinds
    )
    return next(statements, None)


def tenant_tables(context: SchemaContext) -> Iterable[tuple[Table, str]]:
    """Return the tables with a tenant column, and that column; empty if the settings do not configure tenancy."""
    settings = context.target.settings.tenancy
    if not settings.is_set:
        return
    for table in context.catalog.tables.values():
        if table.column(settings.column) and not table.is_partition:
            column = tenant_column(table, context.catalog, settings)
            if column is not None:
                yield table, column


def find_tenant_column(context: SchemaContext, name: QualifiedName) -> str | None:
    """Return the tenant column of the table with that name; None if the column or the table is unknown."""
    table = context.catalog.tables.get(name)
    return tenant_column(table, context.catalog, context.target.settings.tenancy) if table else None
