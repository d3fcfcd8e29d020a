"""What rules about tenants share: they tell the reasons of the analysis, each rule those of its kind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from confiture.lint.engine.context import SchemaSubject, StatementSubject
from confiture.lint.engine.rule import Hit
from confiture.models.catalog import Name, Table
from confiture.models.settings import Severity
from confiture.models.source import Place
from confiture.models.tenancy import Grade, Leak, Reason
from confiture.sql.belonging import tenant_column
from confiture.sql.tree import ParsedStatement, parsed

CHANGING = frozenset({"insert_stmt", "update_stmt", "delete_stmt", "merge_stmt", "create_table_as_stmt", "do_stmt"})
"""The statements of migrations whose flow is judged."""

BEFORE = """CREATE TABLE w_customers (
    id bigint PRIMARY KEY, tenant_id bigint NOT NULL, name text NOT NULL, UNIQUE (tenant_id, id));
CREATE TABLE w_orders (
    id bigint PRIMARY KEY, tenant_id bigint NOT NULL, customer_id bigint NOT NULL, amount numeric NOT NULL,
    UNIQUE (tenant_id, id));
CREATE TABLE r_spending (
    tenant_id bigint NOT NULL, customer_id bigint NOT NULL, total numeric, PRIMARY KEY (tenant_id, customer_id))"""
"""The tables of the examples."""

_SEVERITIES: dict[Grade, Severity] = {Grade.ERROR: "error", Grade.WARNING: "warning"}


def hits(subject: StatementSubject, *leaks: Leak) -> Iterator[Hit]:
    """What the analysis of a statement says of these kinds; nothing where the settings name no tenants."""
    if not subject.surroundings.settings.tenancy.is_set:
        return
    for reason in subject.tenancy.reasons:
        if reason.leak in leaks:
            yield hit(reason)


def hit(reason: Reason, severity: Severity | None = None) -> Hit:
    """A reason as a hit, with the corrected statement to paste."""
    return Hit(
        place=reason.place,
        relation=reason.relation,
        message=reason.message,
        remedy=f"{reason.corrected};" if reason.corrected else None,
        severity=severity or _SEVERITIES.get(reason.grade, "info"),
    )


def statement_at(place: Place | None, *kinds: str) -> ParsedStatement | None:
    """The statement of these kinds that begins there, None where there is none."""
    if place is None:
        return None
    found = (one for one in parsed(place.rendered) if one.offset == place.offset and one.kind in kinds)
    return next(found, None)


def tenant_tables(subject: SchemaSubject) -> Iterable[tuple[Table, str]]:
    """The tables whose rows name their tenant, each with that column; none where the settings name no tenants."""
    settings = subject.surroundings.settings.tenancy
    if not settings.is_set:
        return
    for table in subject.catalog.tables.values():
        if table.column(settings.column) and not table.is_partition:
            column = tenant_column(table, subject.catalog, settings)
            if column is not None:
                yield table, column


def names_tenant(subject: SchemaSubject, name: Name) -> str | None:
    """The tenant column of the table of that name, None where it has none or is not known."""
    table = subject.catalog.tables.get(name)
    return tenant_column(table, subject.catalog, subject.surroundings.settings.tenancy) if table else None
