"""CREATE or DROP INDEX CONCURRENTLY on a partitioned table."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.lint.engine.context import StatementSubject
from confiture.lint.engine.rule import Claims, Example, Group, Hit, StatementRule
from confiture.lint.facts.alter_table import is_partitioned
from confiture.lint.remedies.commands import lines
from confiture.lint.remedies.indexes import by_partition
from confiture.models.catalog import Table, TableKind
from confiture.sql.tree import names, pb, statement_text


def _check(subject: StatementSubject) -> Iterable[Hit]:
    if not subject.node.concurrent:
        return
    if subject.statement.kind == "index_stmt":
        yield from _building(subject)
    elif subject.node.remove_type == pb.OBJECT_INDEX:
        yield from _dropping(subject)


def _building(subject: StatementSubject) -> Iterable[Hit]:
    relation = subject.node.relation
    if is_partitioned(subject, relation):
        table = subject.name(relation)
        yield Hit(
            place=subject.place,
            relation=table,
            message=f"{table} is partitioned: its indexes cannot be built CONCURRENTLY",
            remedy=by_partition(subject),
        )


def _dropping(subject: StatementSubject) -> Iterable[Hit]:
    schema, name = names(subject.node.objects[0].list.items)
    found = subject.catalog.indexed(schema, name)
    if found and isinstance(found[0], Table) and found[0].kind is TableKind.PARTITIONED:
        plain = pb.DropStmt()
        plain.CopyFrom(subject.node)
        plain.concurrent = False
        yield Hit(
            place=subject.place,
            relation=str(found[0].name),
            message=f"{found[0].name} is partitioned: its index {name} cannot be dropped CONCURRENTLY",
            hint="drop it without CONCURRENTLY, in a migration of its own: all partitions are locked for a moment",
            remedy=lines(statement_text("drop_stmt", plain)),
        )


RULE = StatementRule(
    name="concurrently_on_partitioned",
    group=Group.INDEXES,
    severity="error",
    summary="CREATE or DROP INDEX CONCURRENTLY on a partitioned table",
    effect="The statement fails (0A000), and what the migration committed before it stays.",
    hint="create it ON ONLY the partitioned table, build it CONCURRENTLY for each partition, and ATTACH those",
    kinds=frozenset({"index_stmt", "drop_stmt"}),
    check=_check,
    claims=Claims(error="0A000"),
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
