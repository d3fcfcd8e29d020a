"""DETACH PARTITION without CONCURRENTLY."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from confiture.lint.engine.context import StatementContext
from confiture.lint.engine.rule import Example, ExpectedEffects, Group, StatementRule, Violation
from confiture.lint.remedies.commands import alter_table_sql, make_command
from confiture.models.catalog import Table
from confiture.models.trace import LockMode
from confiture.sql.parse_tree import alter_commands, get_definition, pb


def _check(context: StatementContext) -> Iterable[Violation]:
    node = context.node
    if context.is_new(node.relation):
        return
    for one in alter_commands(node):
        partition = get_definition(one).partition_cmd
        if one.subtype != pb.AT_DetachPartition or partition.concurrent or context.is_new(partition.name):
            continue
        parent, child = context.name(node.relation), context.name(partition.name)
        default = _find_default_partition(context)
        yield Violation(
            location=context.location,
            relation=parent,
            message=f"{parent} and its partitions cannot be read from or written to until {child} is detached",
            remedy=None if default else _detach_concurrently_sql(node, partition),
            hint=f"detach it in a separate migration with a short lock_timeout and retries: the default partition "
            f"{default.name} rules out CONCURRENTLY"
            if default
            else None,
        )


def _find_default_partition(context: StatementContext) -> Table | None:
    """Return the default partition. PostgreSQL rejects CONCURRENTLY if the table has one (55000)."""
    table = context.table(context.node.relation)
    children = context.catalog.partitions(table.name) if table else ()
    return next((child for child in children if (child.partition_bound or "").upper() == "DEFAULT"), None)


def _detach_concurrently_sql(node: Any, partition: Any) -> str:
    command = pb.PartitionCmd(name=partition.name, concurrent=True)
    return (
        alter_table_sql(
            node.relation, make_command(pb.AT_DetachPartition, definition={"partition_cmd": command}), like=node
        )
        + ";"
    )


_BEFORE = (
    "CREATE TABLE w_events (id bigint, happened_on date NOT NULL, PRIMARY KEY (id, happened_on))"
    " PARTITION BY RANGE (happened_on);"
    " CREATE TABLE w_events_2025 PARTITION OF w_events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')"
)

RULE = StatementRule(
    name="detach_blocking",
    group=Group.LOCKS,
    severity="warning",
    summary="DETACH PARTITION runs without CONCURRENTLY",
    impact="All reads from and writes to the partitioned table wait: first for the running queries, then until the"
    " migration commits (ACCESS EXCLUSIVE lock on both tables).",
    fix_hint="detach it CONCURRENTLY, as a separate statement outside any transaction",
    kinds=frozenset({"alter_table_stmt"}),
    check=_check,
    expected_effects=ExpectedEffects(locks={"w_events": LockMode.ACCESS_EXCLUSIVE}),
    bad=Example(before=_BEFORE, sql=("ALTER TABLE w_events DETACH PARTITION w_events_2025",)),
    good=Example(before=_BEFORE, sql=("ALTER TABLE w_events DETACH PARTITION w_events_2025 CONCURRENTLY",)),
)
