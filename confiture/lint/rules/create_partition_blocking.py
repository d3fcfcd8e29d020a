"""CREATE TABLE ... PARTITION OF a table in use."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.lint.engine.context import StatementContext
from confiture.lint.engine.rule import Example, ExpectedEffects, Group, StatementRule, Violation
from confiture.lint.remedies.commands import join_lines
from confiture.lint.remedies.partitions import (
    create_and_attach,
    default_without_check,
    is_create_partition,
    with_default_check,
)
from confiture.models.trace import LockMode


def _check(context: StatementContext) -> Iterable[Violation]:
    is_foreign = context.statement.kind == "create_foreign_table_stmt"
    node = context.node.base_stmt if is_foreign else context.node
    if not is_create_partition(context, node):
        return
    whole = node.inh_relations[0].range_var
    if context.is_new(whole):
        return
    parent = context.name(whole)
    yield Violation(
        location=context.statement.location_at(whole.location),
        relation=parent,
        message=f"{parent} and its partitions cannot be read from or written to from the creation of"
        f" {node.relation.relname}"
        " until the migration commits",
        remedy=None if is_foreign else _remedy(context),
    )


def _remedy(context: StatementContext) -> str | None:
    node, statements = context.node, create_and_attach(context)
    default = None if node.partbound.is_default else default_without_check(context, node.inh_relations[0].range_var)
    if not statements:
        return None
    return with_default_check(context, default, node.partbound, *statements) if default else join_lines(*statements)


_BEFORE = (
    "CREATE TABLE w_events (id bigint, happened_on date NOT NULL, PRIMARY KEY (id, happened_on))"
    " PARTITION BY RANGE (happened_on);"
    " CREATE TABLE w_events_2025 PARTITION OF w_events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')"
)

RULE = StatementRule(
    name="create_partition_blocking",
    group=Group.LOCKS,
    severity="warning",
    summary="CREATE TABLE ... PARTITION OF locks a partitioned table in use",
    impact="All reads from and writes to the partitioned table wait: first for the running queries, then until the"
    " migration commits (ACCESS EXCLUSIVE lock).",
    fix_hint="create a table LIKE the partitioned table and ATTACH it, which blocks neither reads nor writes (SHARE"
    " UPDATE EXCLUSIVE lock)",
    kinds=frozenset({"create_stmt", "create_foreign_table_stmt"}),
    check=_check,
    expected_effects=ExpectedEffects(locks={"w_events": LockMode.ACCESS_EXCLUSIVE}),
    bad=Example(
        before=_BEFORE,
        sql=("CREATE TABLE w_events_2026 PARTITION OF w_events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",),
    ),
    good=Example(
        before=_BEFORE,
        sql=(
            "CREATE TABLE w_events_2026 (LIKE w_events INCLUDING ALL);\n"
            "ALTER TABLE w_events ATTACH PARTITION w_events_2026 FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
        ),
    ),
)
