"""Prove that a migration can be reverted: up, down, up."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

from confiture.core.schema_facts.reader import read_schema_facts
from confiture.errors import Diagnostic, InputError
from confiture.models.migration import MigrationFile
from confiture.models.schema_facts import SchemaFacts
from confiture.plan.migration_order import find_version, version_key
from confiture.testing.database import ScratchDatabase
from confiture.testing.error_notes import readable_errors
from confiture.testing.schema_differences import format_differences


def up_down_up(database: ScratchDatabase, version: str | None = None, *, ignore: Sequence[str] = ()) -> None:
    """Run a migration's up, down and up again, and compare the schemas.

    `down` must restore the previous schema, and the second `up` must produce the same schema as the first.

    The migration is `version` or, by default, the first pending one. Earlier pending migrations are applied first. When
    the function returns, the migration is applied. The comparison includes the definitions, owners, privileges,
    comments and options of all objects in the database, except those that belong to extensions. The comparison excludes
    data, column order, the names of NOT NULL constraints, and anything outside the database: roles, tablespaces and
    database settings. `ignore` contains glob patterns for objects to omit, matched against their names in the
    differences.

    Raise AssertionError, which lists the objects that differ; InputError for a migration that has no `down`, is already
    applied, or does not exist; MigrationFailed and the other errors from `Project.run` if `up` or `down` fails.

    Example::

        def test_totals_can_be_undone(confiture_database: DatabaseFactory) -> None:
            up_down_up(confiture_database(before="014"), ignore=["extension *"])
    """
    __tracebackhide__ = True
    with readable_errors():
        migration = _apply_earlier_migrations(database, version)
    before = _read_schema(database)
    database.up(to=migration.version)
    first = _read_schema(database)
    with readable_errors(f"while reverting {migration.label}"):
        database.down(steps=1)
    _assert_same_schema(
        f"{migration.label}: down does not revert the changes made by up", before, _read_schema(database), ignore
    )
    with readable_errors(f"while applying {migration.label} again after down"):
        database.up(to=migration.version)
    _assert_same_schema(
        f"{migration.label}: up after down creates a different schema", first, _read_schema(database), ignore
    )


def _apply_earlier_migrations(database: ScratchDatabase, version: str | None) -> MigrationFile:
    """Apply all earlier migrations, and return the migration to test."""
    project = database.project
    applied = {version_key(one) for one in database.applied}
    pending = [migration for migration in project.migrations if version_key(migration.version) not in applied]
    if version is not None:
        migration = project.migrations[find_version(version, project.migrations)]
    elif pending:
        migration = pending[0]
    else:
        raise InputError(_already_applied_diagnostic("every migration is already applied"))
    if migration not in pending:
        raise InputError(_already_applied_diagnostic(f"{migration.label} is already applied"))
    project.plan_of(migration.version, down=True)
    earlier = pending[: pending.index(migration)]
    if earlier:
        database.up(to=earlier[-1].version)
    return migration


def _already_applied_diagnostic(message: str) -> Diagnostic:
    return Diagnostic(
        code="applied", message=message, hint="start with a database before it: confiture_database(before=...)"
    )


def _read_schema(database: ScratchDatabase) -> SchemaFacts:
    with closing(database.connect(autocommit=True)) as connection:
        return read_schema_facts(connection)


def _assert_same_schema(message: str, expected: SchemaFacts, actual: SchemaFacts, ignore: Sequence[str]) -> None:
    __tracebackhide__ = True
    lines = format_differences(expected, actual, tuple(ignore))
    if lines:
        raise AssertionError("\n".join([message, *(f"  {line}" for line in lines)]))
