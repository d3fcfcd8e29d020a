"""The trace agrees with what PostgreSQL was measured to lock, rewrite and scan, statement by statement.

`data/lock_matrix_*.json` was measured by a second session that looked at pg_locks, on the schema of
`data/lock_matrix_fixture.sql` with 200,000 rows a table.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import dict_row

from confiture.core.database import Connection
from confiture.core.dry_run.trace import Tracer
from confiture.errors import Span
from confiture.models.migration import Phase
from confiture.models.plan import Isolation, StepId
from confiture.models.trace import LockMode, StatementTrace
from confiture.sql.parsing import parse_statements
from tests.fix_servers import Server

DATA = Path(__file__).parent / "data"
STEP = StepId(version="1", phase=Phase.DDL, number=1, part=1, name="s", segment=1, span=Span(path="m.yaml", line=1))
SHORT = {
    LockMode.ACCESS_SHARE: "AS",
    LockMode.ROW_SHARE: "RS",
    LockMode.ROW_EXCLUSIVE: "RX",
    LockMode.SHARE_UPDATE_EXCLUSIVE: "SUX",
    LockMode.SHARE: "S",
    LockMode.SHARE_ROW_EXCLUSIVE: "SRX",
    LockMode.EXCLUSIVE: "X",
    LockMode.ACCESS_EXCLUSIVE: "AX",
}


def matrix(version: int) -> list[dict]:
    return json.loads((DATA / f"lock_matrix_{version}.json").read_text())


@pytest.fixture(scope="module", params=["server_18", "server_15"])
def measured(request: pytest.FixtureRequest) -> Iterator[tuple[int, Connection]]:
    """A connection to a database with the fixture, for each version in turn."""
    server: Server = request.getfixturevalue(request.param)
    server.execute("DROP DATABASE IF EXISTS lock_matrix WITH (FORCE)")
    server.execute("CREATE DATABASE lock_matrix")
    # rows read by parallel workers are counted apart: the matrix counts one process
    server.execute("ALTER DATABASE lock_matrix SET max_parallel_maintenance_workers = 0")
    server.execute("ALTER DATABASE lock_matrix SET max_parallel_workers_per_gather = 0")
    with psycopg.connect(server.url("lock_matrix"), autocommit=True, row_factory=dict_row) as connection:
        connection.execute((DATA / "lock_matrix_fixture.sql").read_bytes())
        yield server.version, connection


def trace(connection: Connection, sql: str) -> StatementTrace:
    """What the tracer sees of one statement, in the form that a dry run runs it in."""
    (statement,), _ = parse_statements(sql)
    tracer = Tracer(connection)
    text = statement.text if statement.isolation is Isolation.TRANSACTIONAL else statement.fallback
    with connection.transaction(force_rollback=True), tracer.tracing():
        tracer.begin_segment()
        started = tracer.elapsed_ms()
        connection.execute(text)
        tracer.observe(STEP, statement, tracer.elapsed_ms() - started)
    (seen,) = tracer.traces
    return seen


def test_every_statement_of_the_matrix_is_traced_as_measured(measured: tuple[int, Connection]) -> None:
    version, connection = measured
    differences = []
    for row in matrix(version):
        if row["error"]:
            continue
        seen = trace(connection, row["sql"])
        locks: dict[str, set[str]] = {}
        for lock in seen.locks:
            locks.setdefault(lock.relation, set()).add(SHORT[lock.mode])
        scans = {scan.table: [scan.scans, scan.rows] for scan in seen.scans}
        expected_scans = {table: counts[:2] for table, counts in row["seq_scans"].items() if counts[0]}
        if row["sql"].startswith("refresh"):
            # measured with a parallel plan: only that it was read can be compared
            scans, expected_scans = dict.fromkeys(scans), dict.fromkeys(expected_scans)
        got = (locks, sorted(seen.rewrites), scans)
        expected = ({name: set(modes) for name, modes in row["locks"].items()}, sorted(row["rewrites"]), expected_scans)
        if got != expected:
            differences.append((row["sql"], got, expected))
    assert differences == []


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("insert into orders select i, 1, 1, 'x', 1 from generate_series(300001, 300010) i", [("orders", 10, 0, 0)]),
        ("update orders set total = 0 where id <= 5", [("orders", 0, 5, 0)]),
        ("delete from orders where id <= 3", [("orders", 0, 0, 3)]),
        ("create table n2 as select id from users where id <= 7", [("n2", 7, 0, 0)]),
    ],
)
def test_rows_are_counted_by_table(measured: tuple[int, Connection], sql: str, rows: list[tuple]) -> None:
    _, connection = measured
    seen = trace(connection, sql)
    assert [(r.table, r.inserted, r.updated, r.deleted) for r in seen.rows] == rows


def test_indexes_wal_notices_and_temporary_files_are_seen(measured: tuple[int, Connection]) -> None:
    _, connection = measured
    built = trace(connection, "create index new_idx on users (age)")
    assert built.indexes_built == ("new_idx",)
    assert built.wal_bytes > 0
    connection.execute("set work_mem = '64kB'")
    spilled = trace(connection, "create table n3 as select * from users order by name desc")
    assert spilled.temp_bytes and spilled.temp_bytes > 1_000_000
    noticed = trace(connection, "do $$ begin raise notice 'seen'; end $$")
    assert noticed.notices == ("NOTICE: seen",)
    assert noticed.temp_bytes == 0


def test_a_role_that_may_not_ask_for_temporary_files_is_told_so(measured: tuple[int, Connection]) -> None:
    _, connection = measured
    connection.execute("drop role if exists weak; create role weak; grant all on schema public to weak")
    connection.execute("set role weak")
    try:
        seen = trace(connection, "create table n4 (id int)")
    finally:
        connection.execute("reset role; drop owned by weak; drop role weak")
    assert seen.temp_bytes is None
