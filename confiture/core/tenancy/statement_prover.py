"""Prove, using the data, that a statement keeps tenants apart.

For each tenant, the result of a query over all data must equal the result over that tenant's data alone.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import psycopg
from psycopg import sql

from confiture.core.db.connection import Connection, fetch_named_row
from confiture.core.db.errors import INSUFFICIENT_PRIVILEGE
from confiture.core.db.operators import FIRST_USER_OID, Operators, read_operators, to_text
from confiture.core.db.queries import query
from confiture.core.tenancy.comparison import ComparisonQuery, Deadline, compare_tenants, read_result_columns
from confiture.core.tenancy.determinism import (
    DeterminismResult,
    FunctionInfo,
    find_called_functions,
    make_deterministic,
)
from confiture.core.tenancy.errors import NotProvable
from confiture.core.tenancy.tenant_filter import (
    add_temporary_tables,
    find_tenant_relations,
    restrict_to_tenants,
    with_search_path,
)
from confiture.core.tenancy.tenant_scope import TenantRowFilter, TenantScope, without_length
from confiture.core.tenancy.write_queries import build_write_queries
from confiture.core.tenancy.write_query import WriteQuery
from confiture.models.catalog import PUBLIC, Catalog, QualifiedName, Table, View
from confiture.models.reconcile_results import SkippedColumn
from confiture.models.settings import TenancySettings
from confiture.models.tenancy_proofs import DEFAULT_TENANTS, IsolationProof, IsolationVerdict, TenantSample
from confiture.sql.parse_tree import ParsedStatement

SEED = 6
_WORST = {"immutable": 0, "stable": 1, "volatile": 2}


def prove_statement(
    connection: Connection,
    statement: ParsedStatement,
    catalog: Catalog,
    tenancy: TenancySettings,
    tenants: int | None = DEFAULT_TENANTS,
    *,
    timeout_ms: int | None = None,
) -> IsolationProof:
    """Prove that a statement keeps tenants apart, for a sample of `tenants` tenants; None means all.

    `catalog` describes the current database. Nothing is written and an open transaction is left unchanged, so this
    function can be called during a dry run before the statement runs. `timeout_ms` limits the duration. Raise
    psycopg.Error if the connection is lost.
    """
    deadline = Deadline(timeout_ms)
    try:
        with connection.transaction(force_rollback=True):
            connection.execute("SET LOCAL transaction_read_only = on")
            # With row_security off, a policy that hides rows raises an error, because hidden rows cannot be compared.
            connection.execute("SET LOCAL row_security = off")
            # For wide queries over one tenant's rows, JIT compilation would take most of the time.
            connection.execute("SET LOCAL jit = off")
            proof = _StatementProver(connection, catalog, tenancy, tenants, deadline).prove(statement)
    except NotProvable as refusal:
        proof = _not_provable_proof(refusal)
    except psycopg.Error as error:
        if connection.closed:
            raise
        proof = _not_provable_proof(deadline.timeout_error(error) or _to_not_provable(error))
    return proof.with_duration(deadline.elapsed_ms)


def _not_provable_proof(refusal: NotProvable) -> IsolationProof:
    return IsolationProof(verdict=IsolationVerdict.NOT_PROVABLE, reason=refusal.reason, hint=refusal.hint)


def _to_not_provable(error: psycopg.Error) -> NotProvable:
    hint = None
    if error.sqlstate == INSUFFICIENT_PRIVILEGE:
        hint = "run the proof as a role that can read all rows: the table owner, or a role with BYPASSRLS"
    return NotProvable(error.diag.message_primary or str(error), hint)


class _StatementProver:
    """Proves the tenant isolation of one statement."""

    def __init__(
        self,
        connection: Connection,
        catalog: Catalog,
        tenancy: TenancySettings,
        tenants: int | None,
        deadline: Deadline,
    ) -> None:
        self._connection = connection
        self._deadline = deadline
        self._tenancy = tenancy
        self._tenants = tenants
        self._search_path: tuple[str, ...] = tuple(fetch_named_row(connection, "search_path")["path"])
        self._operators = read_operators(connection)
        catalog = _with_base_types(add_temporary_tables(connection, catalog), self._operators)
        self._catalog = with_search_path(catalog, self._search_path)
        self._row_filter = TenantRowFilter(catalog, tenancy, self._operators, self._read_view_types())

    def prove(self, statement: ParsedStatement) -> IsolationProof:
        parts = build_write_queries(statement.kind, statement.node, self._catalog, self._tenancy.column)
        if not parts:
            return IsolationProof(verdict=IsolationVerdict.NOTHING_READ, reason="the statement reads no rows")
        return _combine_proofs([(part, self._prove_query(part)) for part in parts])

    def _read_view_types(self) -> Mapping[QualifiedName, str]:
        """Return the tenant column types in materialized views."""
        rows = self._connection.execute(query("materialized_columns"), {"column": self._tenancy.column}).fetchall()
        return {QualifiedName(row["schema"], row["name"]): row["type"] for row in rows}

    def _prove_query(self, write_query: WriteQuery) -> IsolationProof:
        relations = find_tenant_relations(write_query.query, self._row_filter, self._catalog)
        if not relations:
            return IsolationProof(verdict=IsolationVerdict.NOTHING_READ, reason="the statement reads no tenant rows")
        self._check_target_has_tenants(write_query)
        comparison, skipped_columns = self._build_comparison(write_query)
        self._deadline.apply_statement_timeout(self._connection)
        by_size = read_tenants_by_size(self._connection, self._row_filter, relations)
        sample = sample_tenants(by_size, self._tenants)
        if not sample.tenants:
            reason = f"no row has a tenant in {', '.join(str(one.name) for one in relations)}"
            return IsolationProof(
                verdict=IsolationVerdict.NO_TENANTS, reason=reason, sample=sample, skipped_columns=skipped_columns
            )
        result = compare_tenants(self._connection, comparison, sample.tenants, self._deadline)
        return IsolationProof(
            verdict=IsolationVerdict.MIXED if result.leaks else IsolationVerdict.ISOLATED,
            sample=sample,
            rows=result.rows,
            compared_columns=tuple(comparison.names[place] for place in comparison.compared_positions),
            skipped_columns=skipped_columns,
            leaks=result.leaks,
        )

    def _check_target_has_tenants(self, write_query: WriteQuery) -> None:
        """Reject a write to a table without tenants, because nothing in it identifies the tenant of a row."""
        if write_query.target is None or write_query.is_definition:
            return
        table = self._catalog.table(write_query.target.schemaname or None, write_query.target.relname)
        if table is not None and not self._row_filter.has_tenant_rows(table):
            column = self._tenancy.column
            why = "is excluded by the settings" if table.column(column) else f"has no {column}"
            raise NotProvable(f"the statement writes to {table.name}, which {why}: the tenant of its rows is unknown")

    def _build_comparison(self, write_query: WriteQuery) -> tuple[ComparisonQuery, tuple[SkippedColumn, ...]]:
        trees = {
            scope: restrict_to_tenants(
                write_query.query, self._row_filter, self._catalog, scope, write_query.unowned_alias
            )
            for scope in TenantScope
        }
        functions = self._read_functions(trees[TenantScope.ALL])
        determinism = {scope: make_deterministic(tree, functions) for scope, tree in trees.items()}[TenantScope.ALL]
        columns = read_result_columns(self._connection, trees[TenantScope.ALL])
        names = tuple(
            write_query.names[place] if place < len(write_query.names) else column.name
            for place, column in enumerate(columns)
        )
        tenant = _find_tenant_position(names, self._tenancy.column, write_query, determinism)
        comparison = ComparisonQuery(
            queries=trees,
            names=names,
            types=tuple(column.type for column in columns),
            builtin_positions=frozenset(place for place, column in enumerate(columns) if column.is_builtin),
            tenant_position=tenant,
            operator_schema=self._operators.schema_for(columns[tenant].type),
            compared_positions=tuple(place for place in range(len(names)) if place not in determinism.skipped_columns),
            key_positions=tuple(names.index(one) for one in write_query.key if one in names)
            if _has_whole_key(write_query, names)
            else (),
            nulls_distinct=write_query.is_unique,
        )
        return comparison, _skipped_columns(names, determinism)

    def _read_functions(self, tree: Any) -> Mapping[tuple[str | None, str], FunctionInfo]:
        called = find_called_functions(tree)
        rows = self._connection.execute(query("functions_called"), {"names": [name for _, name in called]}).fetchall()
        visible = {"pg_catalog", PUBLIC, *self._search_path}
        functions: dict[tuple[str | None, str], FunctionInfo] = {}
        for schema, name in called:
            matching = [
                row
                for row in rows
                if row["name"] == name and (row["schema"] == schema if schema else row["schema"] in visible)
            ]
            if matching:
                returns = {row["returns"] for row in matching}
                functions[schema, name] = FunctionInfo(
                    volatility=max((row["volatility"] for row in matching), key=_WORST.__getitem__),
                    return_type=returns.pop() if len(returns) == 1 else None,
                    is_user_defined=any(row["schema"] != "pg_catalog" for row in matching),
                )
        return functions


def _with_base_types(catalog: Catalog, operators: Operators) -> Catalog:
    """Return the catalog with domains replaced by their base types, which generated queries cast to and compare."""
    tables = {
        name: replace(
            table,
            columns=tuple(
                replace(column, type=operators.base_type(without_length(column.type)))
                if without_length(column.type) in operators.base_types
                else column
                for column in table.columns
            ),
        )
        for name, table in catalog.tables.items()
        if any(without_length(column.type) in operators.base_types for column in table.columns)
    }
    return replace(catalog, tables={**catalog.tables, **tables}) if tables else catalog


def _find_tenant_position(
    names: Sequence[str], column: str, write_query: WriteQuery, determinism: DeterminismResult
) -> int:
    if column not in names:
        what = "returns" if write_query.target is None else "writes"
        raise NotProvable(
            f"the statement {what} no {column}: the tenant of its rows is unknown",
            f"return {column} with each row, or write it",
        )
    place = names.index(column)
    if place in determinism.skipped_columns:
        raise NotProvable(f"the value of {column} differs each time: {determinism.skipped_columns[place]}")
    return place


def _has_whole_key(write_query: WriteQuery, names: Sequence[str]) -> bool:
    return bool(write_query.key) and all(one in names for one in write_query.key)


def _skipped_columns(names: Sequence[str], determinism: DeterminismResult) -> tuple[SkippedColumn, ...]:
    outer = [
        SkippedColumn(column=names[place], reason=reason)
        for place, reason in sorted(determinism.skipped_columns.items())
    ]
    inner = [
        SkippedColumn(column=f"{name}()", reason="volatile, in a subquery")
        for name in dict.fromkeys(determinism.inner_volatile_calls)
    ]
    return (*outer, *inner)


_ORDER = (
    IsolationVerdict.MIXED,
    IsolationVerdict.NOT_PROVABLE,
    IsolationVerdict.ISOLATED,
    IsolationVerdict.NO_TENANTS,
    IsolationVerdict.NOTHING_READ,
)


def _combine_proofs(parts: Sequence[tuple[WriteQuery, IsolationProof]]) -> IsolationProof:
    """Combine the proofs for a statement's parts. The worst verdict applies."""
    _, worst = min(parts, key=lambda one: _ORDER.index(one[1].verdict))
    proofs = [proof for _, proof in parts]
    sampled_proofs = [proof for proof in proofs if proof.sample]
    return IsolationProof(
        verdict=worst.verdict,
        reason=worst.reason,
        hint=worst.hint,
        sample=max((proof.sample for proof in sampled_proofs if proof.sample), key=lambda one: one.total, default=None),
        rows=sum(proof.rows for proof in proofs),
        compared_columns=tuple(dict.fromkeys(column for proof in proofs for column in proof.compared_columns)),
        skipped_columns=tuple(dict.fromkeys(one for proof in proofs for one in proof.skipped_columns)),
        proved_parts=tuple(
            part.label for part, proof in parts if proof.verdict in (IsolationVerdict.ISOLATED, IsolationVerdict.MIXED)
        ),
        leaks=tuple(leak for proof in proofs for leak in proof.leaks),
    )


def read_tenants_by_size(
    connection: Connection, row_filter: TenantRowFilter, relations: Iterable[Table | View]
) -> list[str]:
    """Return all tenants that have rows in these relations, sorted by row count in descending order."""
    naming: dict[QualifiedName, str] = {}
    for relation in relations:
        named, column = row_filter.find_tenant_source(relation)
        naming[named.name] = column
    if not naming:
        return []
    counts = [_count_query(connection, sql.Identifier(*name), column) for name, column in naming.items()]
    statement = sql.SQL(
        "SELECT tenant FROM ({}) AS c WHERE tenant IS NOT NULL GROUP BY tenant"
        " ORDER BY pg_catalog.sum(rows) DESC, tenant"
    ).format(sql.SQL(" UNION ALL ").join(counts))
    return [row["tenant"] for row in connection.execute(statement).fetchall()]


def _count_query(connection: Connection, relation: sql.Identifier, column: str) -> sql.Composed:
    """Return a query that counts rows by tenant.

    For a domain, the result description contains the base type. The result of a SELECT grouped by the domain also has
    the base type.
    """
    name = sql.Identifier(column)
    described = connection.execute(sql.SQL("SELECT {} FROM {} LIMIT 0").format(name, relation)).description or ()
    is_builtin = all(one.type_code < FIRST_USER_OID for one in described)
    return sql.SQL("SELECT {} AS tenant, pg_catalog.count(*) AS rows FROM {} GROUP BY {}").format(
        to_text(name, is_builtin=is_builtin), relation, name
    )


def sample_tenants(by_size: Sequence[str], number: int | None) -> TenantSample:
    """Sample `number` tenants (None: all): the largest, the smallest, and random others with a fixed seed."""
    total = len(by_size)
    if number is None or number >= total:
        return TenantSample(tenants=tuple(by_size), total=total, method="all")
    largest = (number + 2) // 3
    smallest = (number - largest + 1) // 2
    other = number - largest - smallest
    middle = by_size[largest : total - smallest]
    # Not used for secrets. The same data must produce the same sample.
    positions = random.Random(SEED).sample(range(len(middle)), other)  # noqa: S311
    tenants = [*by_size[:largest], *(middle[place] for place in sorted(positions)), *by_size[total - smallest :]]
    parts = [f"the {_format_count(largest, 'largest')}"]
    if smallest:
        parts.append(f"the {_format_count(smallest, 'smallest')}")
    if other:
        parts.append(f"{other} at random (seed {SEED})")
    return TenantSample(tenants=tuple(tenants), total=total, method=", ".join(parts))


def _format_count(number: int, word: str) -> str:
    return word if number == 1 else f"{number} {word}"
