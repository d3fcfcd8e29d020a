"""Chooses the tenants that are looked at."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from psycopg import sql

from confiture.core.db.connection import Connection
from confiture.core.db.operators import FIRST_USER_OID, to_text
from confiture.core.tenancy.tenant_scope import TenantRowFilter
from confiture.models.catalog import QualifiedName, Table, View
from confiture.models.tenancy_proofs import TenantSample

SEED = 6


def read_tenants_by_size(
    connection: Connection, row_filter: TenantRowFilter, relations: Iterable[Table | View]
) -> list[str]:
    """All tenants that these relations hold rows of, those with the most rows first."""
    naming: dict[QualifiedName, str] = {}
    for relation in relations:
        named, column = row_filter.find_tenant_source(relation)
        naming[named.name] = column
    if not naming:
        return []
    counts = [_count_query(connection, sql.Identifier(*name), column) for name, column in naming.items()]
    found = sql.SQL(
        "SELECT tenant FROM ({}) AS c WHERE tenant IS NOT NULL GROUP BY tenant"
        " ORDER BY pg_catalog.sum(rows) DESC, tenant"
    ).format(sql.SQL(" UNION ALL ").join(counts))
    return [row["tenant"] for row in connection.execute(found).fetchall()]


def _count_query(connection: Connection, relation: sql.Identifier, column: str) -> sql.Composed:
    """Of a domain, the description of a result has the type below, and so has a SELECT that groups by it."""
    name = sql.Identifier(column)
    described = connection.execute(sql.SQL("SELECT {} FROM {} LIMIT 0").format(name, relation)).description or ()
    is_builtin = all(one.type_code < FIRST_USER_OID for one in described)
    return sql.SQL("SELECT {} AS tenant, pg_catalog.count(*) AS rows FROM {} GROUP BY {}").format(
        to_text(name, is_builtin=is_builtin), relation, name
    )


def sample_tenants(by_size: Sequence[str], number: int | None) -> TenantSample:
    """So many of them, None for all: the largest, the smallest, and others at random, always the same."""
    total = len(by_size)
    if number is None or number >= total:
        return TenantSample(tenants=tuple(by_size), total=total, method="all")
    largest = (number + 2) // 3
    smallest = (number - largest + 1) // 2
    other = number - largest - smallest
    between = by_size[largest : total - smallest]
    # not for secrets: the same data must give the same sample
    picked = random.Random(SEED).sample(range(len(between)), other)  # noqa: S311
    tenants = [*by_size[:largest], *(between[place] for place in sorted(picked)), *by_size[total - smallest :]]
    parts = [f"the {_format_count(largest, 'largest')}"]
    if smallest:
        parts.append(f"the {_format_count(smallest, 'smallest')}")
    if other:
        parts.append(f"{other} at random (seed {SEED})")
    return TenantSample(tenants=tuple(tenants), total=total, method=", ".join(parts))


def _format_count(number: int, word: str) -> str:
    return word if number == 1 else f"{number} {word}"
