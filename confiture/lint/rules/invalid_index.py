"""Invalid indexes, left by an interrupted build or a missing partition index."""

from __future__ import annotations

import re
from collections.abc import Iterable

from confiture.lint.engine.context import SchemaContext
from confiture.lint.engine.rule import Example, Group, SchemaRule, Violation
from confiture.lint.remedies.sql_text import qualified_name
from confiture.models.catalog import Index, QualifiedName, Table, TableKind, View

_REINDEX_COPY_NAME = re.compile(r"_cc(new|old)\d*\Z")
"""The suffix of the second index that REINDEX CONCURRENTLY creates."""


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
        message=f"{index.name} was created ON ONLY {owner.name}, and not every partition has an attached index",
        effect="Queries that could use the index scan partitions without it sequentially; if the index is unique,"
        " neither ON CONFLICT nor a foreign key can use it.",
        hint="build the index CONCURRENTLY on each partition that lacks it, and attach each new index with ALTER"
        " INDEX ... ATTACH PARTITION; attaching the last one makes the index valid",
    )


def _failed_build_violation(owner: Table | View, index: Index) -> Violation:
    name = qualified_name(QualifiedName(owner.name.schema, index.name))
    is_copy = _REINDEX_COPY_NAME.search(index.name) is not None
    return Violation(
        location=index.location,
        relation=str(owner.name),
        subject=index.name,
        message=f"{index.name} of {owner.name} is invalid: its CONCURRENTLY build was interrupted or is still running",
        remedy=f"DROP INDEX CONCURRENTLY {name};" if is_copy else f"REINDEX INDEX CONCURRENTLY {name};",
    )


RULE = SchemaRule(
    name="invalid_index",
    aliases=("invalid_index_left",),
    group=Group.INDEXES,
    severity="warning",
    summary="An index is invalid",
    impact="No query uses the index, every write to the table still updates the index, and CREATE INDEX IF NOT EXISTS"
    " accepts it as the existing index.",
    fix_hint="rebuild or drop the index; a migration that builds it CONCURRENTLY needs neither, because Confiture"
    " first drops the remains of an interrupted build, and checks the index afterwards",
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
