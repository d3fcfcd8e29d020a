"""ATTACH PARTITION without a CHECK that proves the bound, and new partitions next to a default partition that may
contain their rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from confiture.lint.engine.context import StatementContext
from confiture.lint.engine.rule import Example, ExpectedEffects, Group, StatementRule, Violation
from confiture.lint.facts.alter_table import has_concurrent_users
from confiture.lint.facts.table_sizes import resolve_relation_name
from confiture.lint.remedies.commands import LATER, join_lines, validate_constraint_sql
from confiture.lint.remedies.partitions import (
    NO_LONGER_NEEDED,
    bound_condition,
    create_and_attach,
    default_without_check,
    is_create_partition,
    with_default_check,
)
from confiture.lint.remedies.sql_text import qualified_name
from confiture.sql.catalog.object_names import make_object_name
from confiture.sql.parse_tree import alter_commands, get_definition, pb, quote_identifier
from confiture.sql.proofs import implies_partition_bound
from confiture.sql.tristate import Tristate


def _check(context: StatementContext) -> Iterable[Violation]:
    if context.statement.kind == "create_stmt":
        yield from _check_create_partition(context)
        return
    for one in alter_commands(context.node):
        if one.subtype == pb.AT_AttachPartition and context.node.objtype == pb.OBJECT_TABLE:
            partition = get_definition(one).partition_cmd
            yield from _check_attached_table(context, partition)
            if not partition.bound.is_default:
                attach = [context.statement.text]
                yield from _check_default_partition(
                    context,
                    context.node.relation,
                    partition.name,
                    partition.bound,
                    attach,
                    effect=_DEFAULT_PARTITION_IMPACT,
                )


def _check_create_partition(context: StatementContext) -> Iterator[Violation]:
    node = context.node
    if is_create_partition(context, node) and not node.partbound.is_default:
        statements = create_and_attach(context)
        yield from _check_default_partition(
            context,
            node.inh_relations[0].range_var,
            node.relation,
            node.partbound,
            statements,
            effect=_PARTITIONED_TABLE_IMPACT,
        )


def _check_attached_table(context: StatementContext, partition: Any) -> Iterator[Violation]:
    if not has_concurrent_users(context, partition.name):
        return
    parent, child = context.table(context.node.relation), context.table(partition.name)
    key = parent.partition_key if parent else None
    if child and implies_partition_bound(child, key, partition.bound) is not Tristate.NO:
        return
    name = context.name(partition.name)
    yield Violation(
        location=context.statement.location_at(partition.name.location),
        relation=name,
        severity=None if child else "warning",
        message=f"ATTACH PARTITION scans all of {name} under its lock: no valid CHECK "
        + ("proves that all its rows fit" if child else "is known to prove that all its rows fit"),
        remedy=_remedy(context, partition, key),
        hint="attach the table before filling it, because attaching a filled table to a hash-partitioned table always"
        " scans it"
        if partition.bound.strategy == "h"
        else None,
    )


def _check_default_partition(
    context: StatementContext, whole: Any, part: Any, bound: Any, next_action: Sequence[str], *, effect: str
) -> Iterator[Violation]:
    default = default_without_check(context, whole)
    if default:
        yield Violation(
            location=context.statement.location_at(part.location),
            relation=str(default.name),
            message=f"{default.name} is scanned under its lock, because it may contain rows of the new partition",
            effect=effect,
            hint="first add a CHECK to the default partition that excludes the new bound, and VALIDATE it",
            remedy=with_default_check(context, default, bound, *next_action) if next_action else None,
        )


def _remedy(context: StatementContext, partition: Any, key: str | None) -> str | None:
    """Return SQL that adds a CHECK for the bound, validates it, and then attaches the partition."""
    condition = bound_condition(key, partition.bound)
    if condition is None:
        return None
    table = resolve_relation_name(context, partition.name)
    name = make_object_name(table.name, "bound", "check")
    return join_lines(
        f"ALTER TABLE {qualified_name(table)} ADD CONSTRAINT {quote_identifier(name)} CHECK ({condition}) NOT VALID",
        LATER,
        validate_constraint_sql(partition.name, name),
        "-- then:",
        context.statement.text,
        f"-- {quote_identifier(name)} {NO_LONGER_NEEDED}",
    )


_DEFAULT_PARTITION_IMPACT = (
    "All reads from and writes to the default partition wait for its scan (ACCESS EXCLUSIVE lock)."
)
_PARTITIONED_TABLE_IMPACT = (
    "All reads from and writes to the partitioned table and its partitions wait for the scan of the default partition"
    " (ACCESS EXCLUSIVE lock)."
)
_BEFORE = (
    "CREATE TABLE w_events (id bigint NOT NULL, happened_on date NOT NULL) PARTITION BY RANGE (happened_on);"
    " CREATE TABLE w_events_2025 (id bigint NOT NULL, happened_on date NOT NULL{check});"
    " INSERT INTO w_events_2025 SELECT i, '2025-06-01' FROM generate_series(1, 100) i"
)
_ATTACH = "ALTER TABLE w_events ATTACH PARTITION w_events_2025 FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')"
_CHECK_CLAUSE = ", CHECK (happened_on >= '2025-01-01' AND happened_on < '2026-01-01')"

RULE = StatementRule(
    name="attach_without_proof",
    group=Group.LOCKS,
    severity="error",
    summary="A table is attached as a partition without a CHECK that matches the bound",
    impact="All reads from and writes to the new partition wait until it is completely scanned (ACCESS EXCLUSIVE"
    " lock).",
    fix_hint="add a CHECK that matches the bound as NOT VALID, validate it, then attach the table: ATTACH then scans"
    " nothing",
    kinds=frozenset({"alter_table_stmt", "create_stmt"}),
    check=_check,
    expected_effects=ExpectedEffects(scans=("w_events_2025",)),
    bad=Example(before=_BEFORE.format(check=""), sql=(_ATTACH,)),
    good=Example(before=_BEFORE.format(check=_CHECK_CLAUSE), sql=(_ATTACH,)),
)
