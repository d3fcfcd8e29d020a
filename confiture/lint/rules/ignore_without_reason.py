"""Ignore comments that do not say why."""

from __future__ import annotations

from confiture.lint.engine.rule import Example, Group, IgnoreCommentRule

RULE = IgnoreCommentRule(
    name="ignore_without_reason",
    group=Group.COMMENTS,
    severity="warning",
    summary="An ignore comment without a reason",
    impact="Nobody who reads the file later can tell whether the hazard was weighed or only silenced.",
    fix_hint="add the reason behind two dashes: -- confiture: ignore RULE -- reason",
    bad=Example(
        sql=("-- confiture: ignore requires_primary_key\nCREATE TABLE w_order_events (order_id bigint NOT NULL)",)
    ),
    good=Example(
        sql=(
            "-- confiture: ignore requires_primary_key -- rows are only ever appended\n"
            "CREATE TABLE w_order_events (order_id bigint NOT NULL)",
        )
    ),
)
