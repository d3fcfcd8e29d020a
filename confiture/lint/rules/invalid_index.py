"""Indexes that PostgreSQL calls invalid: a build was broken off, or partitions lack theirs."""

from __future__ import annotations

import re
from collections.abc import Iterable

from confiture.lint.engine.context import SchemaContext
from confiture.lint.engine.rule import Example, Group, SchemaRule, Violation
from confiture.lint.remedies.sql_text import qualified_name
from confiture.models.catalog import Index, QualifiedName, Table, TableKind, View

_REINDEX_COPY_NAME = re.compile(r"_cc(new|old)\d*\Z")
"""How PostgreSQL calls the second index that REINDEX CONCURRENTLY works with."""


def _check(context: SchemaContext) -> Iterable[Violation]:
    owners: list[Table | View] = [*context.catalog.tables.values(), *context.catalog.views.values()]
    for owner in owners:
        for index in owner.indexes:
            if not index.valid:
                yield (
                    _partitioned_violation(owner, index)
                    if _is_partitioned_table(owner)
                    else _failed_build_violation(owner, index)
                )


def _is_partitioned_table(owner: Table | View) -> bool:
    return isinstance(owner, Table) and owner.kind is TableKind.PARTITIONED


def _partitioned_violation(owner: Table | View, index: Index) -> Violation:
    return Violation(
        location=index.location,
        relation=str(owner.name),
        subject=index.name,
        message=f"{index.name} was created ON ONLY {owner.name}, and not each partition has its part attached",
        effect="A partition without its part is read from end to end by the queries that the index is for; a unique one"
        " serves neither ON CONFLICT nor foreign keys.",
        hint="build the index CONCURRENTLY for each partition that lacks it, and ALTER INDEX ... ATTACH PARTITION each;"
        " with the last one it becomes valid",
    )


def _failed_build_violation(owner: Table | View, index: Index) -> Violation:
    name = qualified_name(QualifiedName(owner.name.schema, index.name))
    is_copy = _REINDEX_COPY_NAME.search(index.name) is not None
    return Violation(
        location=index.location,
        relation=str(owner.name),
        subject=index.name,
        message=f"{index.name} of {owner.name} is not valid: a CONCURRENTLY build of it was broken off, or still runs",
        remedy=f"DROP INDEX CONCURRENTLY {name};" if is_copy else f"REINDEX INDEX CONCURRENTLY {name};",
    )


RULE = SchemaRule(
    name="invalid_index",
    aliases=("invalid_index_left",),
    group=Group.INDEXES,
    severity="warning",
    summary="Indexes that are not valid",
    impact="No query uses the index, each write to the table keeps it up to date all the same, and CREATE INDEX IF NOT"
    " EXISTS takes it for the one that is wanted.",
    fix_hint="build it anew or drop it; a migration that builds it CONCURRENTLY needs neither: Confiture drops what a"
    " broken build left before it builds, and checks the index after",
    check=_check,
    bad=Example(
        sql=(
            "CREATE TABLE w_orders (id bigint, placed_on date, PRIMARY KEY (id, placed_on))"
            " PARTITION BY RANGE (placed_on);\n"
            "CREATE TABLE w_orders_2024 PARTITION OF w_orders FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');\n"
            "CREATE INDEX w_orders_placed_on_idx ON ONLY w_orders (placed_on)",
        ),
    ),
    good=Example(
        sql=(
            "CREATE TABLE w_orders (id bigint, placed_on date, PRIMARY KEY (id, placed_on))"
            " PARTITION BY RANGE (placed_on);\n"
            "CREATE TABLE w_orders_2024 PARTITION OF w_orders FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');\n"
            "CREATE INDEX w_orders_placed_on_idx ON ONLY w_orders (placed_on);\n"
            "CREATE INDEX w_orders_2024_placed_on_idx ON w_orders_2024 (placed_on);\n"
            "ALTER INDEX w_orders_placed_on_idx ATTACH PARTITION w_orders_2024_placed_on_idx",
        ),
    ),
)
