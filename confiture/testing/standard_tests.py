"""A test that every project can use unchanged."""

from __future__ import annotations

import pytest

from confiture.plan.migration_order import version_key
from confiture.testing.round_trip import up_down_up
from confiture.testing.server import DatabaseFactory


def test_every_migration_goes_up_down_up(confiture_migration: str, confiture_database: DatabaseFactory) -> None:
    """Run up, down and up for each migration on the schema that earlier migrations created, and compare the schemas.

    The tables contain no user rows. A migration without `down` is applied and then reported as skipped.

    Example::

        # tests/test_migrations.py
        from confiture.testing import test_every_migration_goes_up_down_up  # noqa: F401
    """
    database = confiture_database(before=confiture_migration)
    if version_key(confiture_migration) in map(version_key, database.project.downs):
        up_down_up(database, confiture_migration)
    else:
        database.up(to=confiture_migration)
        pytest.skip(f"{confiture_migration} has no `down`: it was only applied")
