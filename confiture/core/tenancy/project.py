"""Proves what the migrations of a project write, and maps the tables of its files or of its database."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from psycopg import IsolationLevel

from confiture.core.asking import asking
from confiture.core.database import Database
from confiture.core.live_catalog import read_catalog
from confiture.core.tenancy.mapping import map_tables
from confiture.core.tenancy.proving import prove_statement
from confiture.core.tenancy.statements import provable, told
from confiture.lint.schema_files import files_catalog
from confiture.models.isolation import IsolationReport, ProvedStatement, Standing, TenancyMap
from confiture.models.plan import PlannedMigration, PlannedStep, Segment
from confiture.models.settings import Settings
from confiture.plan.project import PlannedProject, require_variables

Tell = Callable[[str], None]
"""Is told the name of each step before its statements are proved."""


def prove_project(
    project: PlannedProject,
    database: Database,
    version: str | None,
    tenants: int | None,
    *,
    timeout_ms: int | None = None,
    tell: Tell,
) -> IsolationReport:
    """Proves all that one migration writes, or all migrations, against the database as it is. Reads only.

    All in one snapshot. `tenants` is how many to look at, None for all. Raises InputError where there is no such
    migration, DatabaseUnavailable where the database cannot be asked.
    """
    plans = project.ups if version is None else (project.plan_of(version, down=False),)
    require_variables(plans)
    settings = project.settings
    found: list[ProvedStatement] = []
    with asking(database, "tenancy prove", "the database cannot be asked") as connection:
        connection.execute(f"SET lock_timeout = {settings.database.lock_timeout_ms}".encode())
        catalog = read_catalog(connection)
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        with connection.transaction(force_rollback=True):
            for plan, segment, step in _steps(plans):
                for statement in provable(step):
                    tell(f"{plan.migration.label}: {step.label}")
                    proof = prove_statement(
                        connection, statement, catalog, settings.tenancy, tenants, timeout_ms=timeout_ms
                    )
                    if proof.standing is not Standing.NOTHING_READ:
                        found.append(told(plan, segment, step, statement, proof))
    return IsolationReport(
        database=database.label,
        environment=settings.environment,
        column=settings.tenancy.column,
        statements=tuple(found),
    )


def _steps(plans: tuple[PlannedMigration, ...]) -> Iterator[tuple[PlannedMigration, Segment, PlannedStep]]:
    return ((plan, segment, step) for plan in plans for segment in plan.segments for step in segment.steps)


def map_files(settings: Settings, variables: Mapping[str, Any]) -> TenancyMap:
    """The tables that the DDL files and migrations make. Raises InputError."""
    return map_tables(files_catalog(settings, variables), settings.tenancy, "files")


def map_database(settings: Settings, database: Database) -> TenancyMap:
    """The tables of a database. Raises DatabaseUnavailable."""
    with asking(database, "tenancy map", "the schema cannot be read") as connection:
        connection.execute(f"SET lock_timeout = {settings.database.lock_timeout_ms}".encode())
        return map_tables(read_catalog(connection), settings.tenancy, database.label)
