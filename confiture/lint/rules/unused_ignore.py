"""Ignore comments that suppress nothing."""

from __future__ import annotations

from confiture.lint.engine.rule import Example, Group, IgnoreCommentRule

RULE = IgnoreCommentRule(
    name="unused_ignore",
    group=Group.COMMENTS,
    severity="warning",
    summary="An ignore comment names a rule that reports nothing there, or that does not exist",
    impact="The comment claims a hazard that does not exist, and would hide a future hazard in this statement.",
    fix_hint="remove the comment, or remove the rule name from it",
    bad=Example(
        sql=(
            "-- confiture: ignore requires_primary_key -- rows are only ever appended\n"
            "CREATE TABLE w_orders (id bigint PRIMARY KEY)",
        )
    ),
    good=Example(
        sql=(
            "-- confiture: ignore requires_primary_key -- rows are only ever appended\n"
            "CREATE TABLE w_order_events (order_id bigint NOT NULL)",
        )
    ),
)
