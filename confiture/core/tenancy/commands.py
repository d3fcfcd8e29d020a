"""Prove the tenant isolation of a project's migrations, and classify the tables in its files or its database."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from confiture.core.db.connection import ConnectionTarget, connect_for_query, set_lock_timeout
from confiture.core.db.identity_store import check_identity
from confiture.core.db.introspection import read_catalog
from confiture.core.tenancy.statement_prover import prove_statement
from confiture.core.tenancy.statements import provable_statements, to_proved_statement
from confiture.core.tenancy.tenancy_map import classify_tables
from confiture.lint.project import catalog_from_files
from confiture.models.plan import PlannedMigration, PlannedStep, Segment
from confiture.models.settings import Settings
from confiture.models.tenancy_proofs import IsolationReport, IsolationVerdict, ProvedStatement, TenancyMap
from confiture.plan.project import PlannedProject, require_variables

Announce = Callable[[str], None]
"""A callback that receives each step's name before the proofs for that step run."""


def prove_project(
    project: PlannedProject,
    database: ConnectionTarget,
    version: str | None,
    tenants: int | None,
    *,
    timeout_ms: int | None = None,
    announce: Announce,
) -> IsolationReport:
    """Prove the tenant isolation of all statements in one or all migrations, using the current database. Write nothing.

    All proofs use one snapshot. `tenants` is the number of sampled tenants; None means all. Raise InputError if the
    migration does not exist, and DatabaseUnavailable if the database cannot be queried.
    """
    plans = project.ups if version is None else (project.plan_of(version, down=False),)
    require_variables(plans)
    settings = project.settings
    proved_statements: list[ProvedStatement] = []
    with connect_for_query(database, "tenancy prove", "the database cannot be queried") as connection:
        check_identity(connection, settings)
        set_lock_timeout(connection, settings.database.lock_timeout_ms)
        catalog = read_catalog(connection)
        with connection.transaction(force_rollback=True):
            connection.execute(
                b"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET LOCAL row_security = off"
            )
            for plan, segment, step in _iterate_steps(plans):
                for statement in provable_statements(step):
                    announce(f"{plan.migration.label}: {step.label}")
                    proof = prove_statement(
                        connection, statement, catalog, settings.tenancy, tenants, timeout_ms=timeout_ms
                    )
                    if proof.verdict is not IsolationVerdict.NOTHING_READ:
                        proved_statements.append(to_proved_statement(plan, segment, step, statement, proof))
    return IsolationReport(
        database=database.label,
        environment=settings.environment,
        column=settings.tenancy.column,
        statements=tuple(proved_statements),
    )


def _iterate_steps(plans: tuple[PlannedMigration, ...]) -> Iterator[tuple[PlannedMigration, Segment, PlannedStep]]:
    return ((plan, segment, step) for plan in plans for segment in plan.segments for step in segment.steps)


def ownership_from_files(settings: Settings, variables: Mapping[str, Any]) -> TenancyMap:
    """Classify the tables defined in the DDL files and migrations. Raise InputError."""
    return classify_tables(catalog_from_files(settings, variables), settings.tenancy, "files")


def ownership_from_database(settings: Settings, database: ConnectionTarget) -> TenancyMap:
    """Classify the tables in a database. Raise DatabaseUnavailable."""
    with connect_for_query(database, "tenancy map", "the schema cannot be read") as connection:
        check_identity(connection, settings)
        set_lock_timeout(connection, settings.database.lock_timeout_ms)
        return classify_tables(read_catalog(connection), settings.tenancy, database.label)
