"""CREATE or DROP INDEX CONCURRENTLY on a partitioned table."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.lint.engine.context import StatementContext
from confiture.lint.engine.rule import Example, ExpectedEffects, Group, StatementRule, Violation
from confiture.lint.facts.alter_table import is_partitioned
from confiture.lint.remedies.commands import join_lines
from confiture.lint.remedies.indexes import build_per_partition
from confiture.models.catalog import Table, TableKind
from confiture.sql.parse_tree import format_statement, pb, schema_and_name


def _check(context: StatementContext) -> Iterable[Violation]:
    if not context.node.concurrent:
        return
    if context.statement.kind == "index_stmt":
        yield from _check_create_index(context)
    elif context.node.remove_type == pb.OBJECT_INDEX:
        yield from _check_drop_index(context)


def _check_create_index(context: StatementContext) -> Iterable[Violation]:
    relation = context.node.relation
    if is_partitioned(context, relation):
        table = context.name(relation)
        yield Violation(
            location=context.location,
            relation=table,
            message=f"{table} is partitioned: its indexes cannot be built CONCURRENTLY",
            remedy=build_per_partition(context),
        )


def _check_drop_index(context: StatementContext) -> Iterable[Violation]:
    schema, name = schema_and_name(context.node.objects[0].list.items)
    match = context.catalog.find_index(schema, name)
    if match and isinstance(match[0], Table) and match[0].kind is TableKind.PARTITIONED:
        plain = pb.DropStmt()
        plain.CopyFrom(context.node)
        plain.concurrent = False
        yield Violation(
            location=context.location,
            relation=str(match[0].name),
            message=f"{match[0].name} is partitioned: its index {name} cannot be dropped CONCURRENTLY",
            hint="drop it without CONCURRENTLY, in a separate migration: all partitions are locked briefly",
            remedy=join_lines(format_statement("drop_stmt", plain)),
        )


RULE = StatementRule(
    name="concurrently_on_partitioned",
    group=Group.INDEXES,
    severity="error",
    summary="CREATE or DROP INDEX CONCURRENTLY is used on a partitioned table",
    impact="The statement fails (0A000); changes that the migration committed earlier are not rolled back.",
    fix_hint="create the index ON ONLY the partitioned table, build an index CONCURRENTLY on each partition, and"
    " ATTACH each one",
    kinds=frozenset({"index_stmt", "drop_stmt"}),
    check=_check,
    expected_effects=ExpectedEffects(error="0A000"),
    bad=Example(
        before="CREATE TABLE w_orders (id bigint, placed_on date, PRIMARY KEY (id, placed_on))"
        " PARTITION BY RANGE (placed_on);\n"
        "CREATE TABLE w_orders_2024 PARTITION OF w_orders FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')",
        sql=("CREATE INDEX CONCURRENTLY w_orders_placed_on_idx ON w_orders (placed_on)",),
    ),
    good=Example(
        before="CREATE TABLE w_orders (id bigint, placed_on date, PRIMARY KEY (id, placed_on))"
        " PARTITION BY RANGE (placed_on);\n"
        "CREATE TABLE w_orders_2024 PARTITION OF w_orders FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')",
        sql=(
            "CREATE INDEX w_orders_placed_on_idx ON ONLY w_orders (placed_on);\n"
            "CREATE INDEX CONCURRENTLY w_orders_2024_placed_on_idx ON w_orders_2024 (placed_on);\n"
            "ALTER INDEX w_orders_placed_on_idx ATTACH PARTITION w_orders_2024_placed_on_idx",
        ),
    ),
)
