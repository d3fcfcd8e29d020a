"""Views that mix tenants, or hide whose their rows are."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.lint.rule import Example, Group, Hit, SchemaRule
from confiture.lint.subjects import SchemaSubject
from confiture.lint.tenancy import hit, statement_at
from confiture.models.catalog import View
from confiture.models.tenancy import Leak, Reason
from confiture.sql.flow import analyse, analyse_view


def _check(subject: SchemaSubject) -> Iterable[Hit]:
    if not subject.surroundings.settings.tenancy.is_set:
        return
    for view in subject.catalog.views.values():
        for reason in _reasons(subject, view):
            if reason.leak is not Leak.UNKNOWN:
                yield hit(reason)


def _reasons(subject: SchemaSubject, view: View) -> Iterable[Reason]:
    verdict = analyse_view(view, subject.facts)
    statement = statement_at(view.place, "view_stmt") if verdict.reasons else None
    # the statement says where in it something is wrong, and can be corrected
    return (analyse(statement, subject.facts) if statement else verdict).reasons


RULE = SchemaRule(
    name="tenant_view",
    group=Group.TENANCY,
    severity="error",
    summary="A view mixes tenants, or hides whose its rows are",
    effect="Whoever reads the view cannot keep the tenants apart, or never gets them apart.",
    hint="show the tenant column, and keep it in every join and grouping",
    check=_check,
    bad=Example(
        sql=(
            "CREATE TABLE w_orders (id bigint PRIMARY KEY, tenant_id bigint NOT NULL, amount numeric NOT NULL);\n"
            "CREATE VIEW r_totals AS SELECT sum(amount) AS total FROM w_orders",
        ),
    ),
    good=Example(
        sql=(
            "CREATE TABLE w_orders (id bigint PRIMARY KEY, tenant_id bigint NOT NULL, amount numeric NOT NULL);\n"
            "CREATE VIEW r_totals AS SELECT tenant_id, sum(amount) AS total FROM w_orders GROUP BY tenant_id",
        ),
    ),
)
