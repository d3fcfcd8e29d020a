"""The measured locks of statements, and the database that they were measured in."""

from __future__ import annotations

import psycopg

from tests.support.paths import DATA
from tests.support.servers import Server

SHORT = {
    "AccessShareLock": "AS",
    "RowShareLock": "RS",
    "RowExclusiveLock": "RX",
    "ShareUpdateExclusiveLock": "SUX",
    "ShareLock": "S",
    "ShareRowExclusiveLock": "SRX",
    "ExclusiveLock": "X",
    "AccessExclusiveLock": "AX",
}


def matrix_database(server: Server, name: str) -> str:
    """Makes a database with the fixture, and gives its URL."""
    server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    server.execute(f"CREATE DATABASE {name}")
    # rows read by parallel workers are counted apart: the matrix counts one process
    server.execute(f"ALTER DATABASE {name} SET max_parallel_maintenance_workers = 0")
    server.execute(f"ALTER DATABASE {name} SET max_parallel_workers_per_gather = 0")
    with psycopg.connect(server.url(name), autocommit=True) as connection:
        connection.execute((DATA / "lock_matrix_fixture.sql").read_bytes())
    return server.url(name)
