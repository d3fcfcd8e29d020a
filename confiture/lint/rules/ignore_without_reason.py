"""Ignore comments without a reason."""

from __future__ import annotations

from confiture.lint.engine.rule import Example, Group, IgnoreCommentRule

RULE = IgnoreCommentRule(
    name="ignore_without_reason",
    group=Group.COMMENTS,
    severity="warning",
    summary="An ignore comment does not give a reason",
    impact="Readers of the file cannot know whether the hazard was assessed or merely silenced.",
    fix_hint="add the reason after two dashes: -- confiture: ignore RULE -- reason",
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
