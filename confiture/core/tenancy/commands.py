"""Proves what the migrations of a project write, and maps the tables of its files or of its database."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from confiture.core.db.connection import ConnectionTarget, connect_for_query, set_lock_timeout
from confiture.core.db.introspection import read_catalog
from confiture.core.tenancy.statement_prover import prove_statement
from confiture.core.tenancy.statements import provable_statements, to_proved_statement
from confiture.core.tenancy.tenancy_map import classify_tables
from confiture.lint.schema_files import catalog_from_files
from confiture.models.plan import PlannedMigration, PlannedStep, Segment
from confiture.models.settings import Settings
from confiture.models.tenancy_proofs import IsolationReport, IsolationVerdict, ProvedStatement, TenancyMap
from confiture.plan.project import PlannedProject, require_variables

Announce = Callable[[str], None]
"""Is told the name of each step before its statements are proved."""


def prove_project(
    project: PlannedProject,
    database: ConnectionTarget,
    version: str | None,
    tenants: int | None,
    *,
    timeout_ms: int | None = None,
    announce: Announce,
) -> IsolationReport:
    """Proves all that one migration writes, or all migrations, against the database as it is. Reads only.

    All in one snapshot. `tenants` is how many to look at, None for all. Raises InputError where there is no such
    migration, DatabaseUnavailable where the database cannot be asked.
    """
    plans = project.ups if version is None else (project.plan_of(version, down=False),)
    require_variables(plans)
    settings = project.settings
    found: list[ProvedStatement] = []
    with connect_for_query(database, "tenancy prove", "the database cannot be asked") as connection:
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
                        found.append(to_proved_statement(plan, segment, step, statement, proof))
    return IsolationReport(
        database=database.label,
        environment=settings.environment,
        column=settings.tenancy.column,
        statements=tuple(found),
    )


def _iterate_steps(plans: tuple[PlannedMigration, ...]) -> Iterator[tuple[PlannedMigration, Segment, PlannedStep]]:
    return ((plan, segment, step) for plan in plans for segment in plan.segments for step in segment.steps)


def ownership_from_files(settings: Settings, variables: Mapping[str, Any]) -> TenancyMap:
    """The tables that the DDL files and migrations make. Raises InputError."""
    return classify_tables(catalog_from_files(settings, variables), settings.tenancy, "files")


def ownership_from_database(settings: Settings, database: ConnectionTarget) -> TenancyMap:
    """The tables of a database. Raises DatabaseUnavailable."""
    with connect_for_query(database, "tenancy map", "the schema cannot be read") as connection:
        set_lock_timeout(connection, settings.database.lock_timeout_ms)
        return classify_tables(read_catalog(connection), settings.tenancy, database.label)
