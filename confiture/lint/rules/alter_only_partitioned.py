"""ALTER TABLE ONLY for changes that PostgreSQL also requires on partitions or child tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from confiture.lint.engine.context import StatementContext
from confiture.lint.engine.rule import Example, ExpectedEffects, Group, StatementRule, Violation
from confiture.lint.facts.alter_only import only_errors
from confiture.models.catalog import Table, TableKind
from confiture.sql.parse_tree import pb
from confiture.sql.tokens import command_offsets


def _check(context: StatementContext) -> Iterable[Violation]:
    if context.statement.kind == "rename_stmt":
        yield from _check_rename_column(context)
        return
    table = context.table(context.node.relation)
    places = None
    for one in only_errors(context):
        places = places or command_offsets(context.statement)
        yield Violation(
            location=places[one.command_number],
            relation=context.name(context.node.relation),
            message=f"ALTER TABLE ONLY {context.name(context.node.relation)} cannot {one.action} without"
            f" {_children_text(table)}",
            effect=f"The statement fails ({one.sqlstate}).",
        )


def _check_rename_column(context: StatementContext) -> Iterator[Violation]:
    node = context.node
    if node.rename_type != pb.OBJECT_COLUMN or node.relation.inh:
        return
    table = context.table(node.relation)
    if table and table.column(node.subname) and context.catalog.partitions(table.name):
        yield Violation(
            location=context.location,
            relation=str(table.name),
            message=f"ALTER TABLE ONLY {table.name} cannot rename {node.subname} without {_children_text(table)}",
        )


def _children_text(table: Table | None) -> str:
    return "its partitions" if table and table.kind is TableKind.PARTITIONED else "its child tables"


_BEFORE = (
    "CREATE TABLE w_events (id bigint NOT NULL, happened_on date NOT NULL, kind text) PARTITION BY RANGE (happened_on);"
    " CREATE TABLE w_events_2025 PARTITION OF w_events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')"
)

RULE = StatementRule(
    name="alter_only_partitioned",
    aliases=("only_on_parent",),
    group=Group.CONSTRAINTS,
    severity="error",
    summary="ALTER TABLE ONLY skips partitions or child tables that must change too",
    impact="The statement fails (42P16).",
    fix_hint="remove ONLY, so that the partitions also change and lint reports the resulting locks and scans; or, if"
    " the parent can adopt objects that its partitions already have, change the partitions first, one by one",
    kinds=frozenset({"alter_table_stmt", "rename_stmt"}),
    check=_check,
    expected_effects=ExpectedEffects(error="42P16"),
    bad=Example(
        before=_BEFORE,
        sql=("ALTER TABLE ONLY w_events ADD CONSTRAINT w_events_kind_check CHECK (kind <> '') NOT VALID",),
    ),
    good=Example(
        before=_BEFORE,
        sql=("ALTER TABLE w_events ADD CONSTRAINT w_events_kind_check CHECK (kind <> '') NOT VALID",),
    ),
)
