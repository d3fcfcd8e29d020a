"""Tables have a primary key."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.lint.rule import Example, Group, Hit, SchemaRule
from confiture.lint.subjects import SchemaSubject
from confiture.models.catalog import TableKind


def _check(subject: SchemaSubject) -> Iterable[Hit]:
    for table in subject.catalog.tables.values():
        if table.primary_key is None and not table.is_partition and table.kind is not TableKind.FOREIGN:
            yield Hit(place=table.place, relation=str(table.name), message=f"{table.name} has no primary key")


RULE = SchemaRule(
    name="requires_primary_key",
    group=Group.SCHEMA,
    severity="warning",
    summary="Tables have a primary key",
    effect="Rows cannot be told apart: logical replication, upserts and batched backfills do not work on the table.",
    hint="add one; where no column is a natural key, id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    check=_check,
    bad=Example(sql=("CREATE TABLE w_orders (id bigint)",)),
    good=Example(sql=("CREATE TABLE w_orders (id bigint PRIMARY KEY)",)),
)
