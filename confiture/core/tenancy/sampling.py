"""Chooses the tenants that are looked at."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from psycopg import sql

from confiture.core.database import Connection
from confiture.core.tenancy.sight import Visibility
from confiture.models.catalog import Name, Table, View
from confiture.models.isolation import Sample

SEED = 6


def tenants_by_size(connection: Connection, visibility: Visibility, relations: Iterable[Table | View]) -> list[str]:
    """All tenants that these relations hold rows of, those with the most rows first."""
    naming: dict[Name, str] = {}
    for relation in relations:
        named, column = visibility.naming(relation)
        naming[named.name] = column
    if not naming:
        return []
    counts = [
        sql.SQL(
            "SELECT {column}::pg_catalog.text AS tenant, pg_catalog.count(*) AS rows FROM {relation} GROUP BY {column}"
        ).format(column=sql.Identifier(column), relation=sql.Identifier(*name))
        for name, column in naming.items()
    ]
    found = sql.SQL(
        "SELECT tenant FROM ({}) AS c WHERE tenant IS NOT NULL GROUP BY tenant"
        " ORDER BY pg_catalog.sum(rows) DESC, tenant"
    ).format(sql.SQL(" UNION ALL ").join(counts))
    return [row["tenant"] for row in connection.execute(found).fetchall()]


def chosen(by_size: Sequence[str], number: int | None) -> Sample:
    """So many of them, None for all: the largest, the smallest, and others at random, always the same."""
    total = len(by_size)
    if number is None or number >= total:
        return Sample(tenants=tuple(by_size), total=total, how="all")
    largest = (number + 2) // 3
    smallest = (number - largest + 1) // 2
    other = number - largest - smallest
    between = by_size[largest : total - smallest]
    # not for secrets: the same data must give the same sample
    picked = random.Random(SEED).sample(range(len(between)), other)  # noqa: S311
    tenants = [*by_size[:largest], *(between[place] for place in sorted(picked)), *by_size[total - smallest :]]
    parts = [f"the {_many(largest, 'largest')}"]
    if smallest:
        parts.append(f"the {_many(smallest, 'smallest')}")
    if other:
        parts.append(f"{other} at random (seed {SEED})")
    return Sample(tenants=tuple(tenants), total=total, how=", ".join(parts))


def _many(number: int, word: str) -> str:
    return word if number == 1 else f"{number} {word}"
