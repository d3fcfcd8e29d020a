"""Views that mix tenants, or hide whose their rows are."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.lint.engine.context import SchemaSubject
from confiture.lint.engine.rule import Example, Group, Hit, SchemaRule
from confiture.lint.facts.tenancy import hit, statement_at
from confiture.models.tenancy import Leak
from confiture.models.values import replace
from confiture.sql.flow import analyse, analyse_view


def _check(subject: SchemaSubject) -> Iterable[Hit]:
    if not subject.surroundings.settings.tenancy.is_set:
        return
    for view in subject.catalog.views.values():
        verdict = analyse_view(view, subject.facts)
        if not verdict.reasons:
            continue
        statement = statement_at(view.place, "view_stmt")
        if statement:
            # it says where in it something is wrong, and can be corrected
            verdict = analyse(statement, subject.facts)
        text = statement.text if statement else view.query.text
        for reason in verdict.reasons:
            if reason.leak is not Leak.UNKNOWN:
                yield replace(hit(reason), subject=str(view.name), statement=text)


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
