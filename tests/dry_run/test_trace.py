"""What the trace sees of single statements. test_lock_matrix.py has their locks, rewrites and scans.

They run on the schema of `data/lock_matrix_fixture.sql`, with 200,000 rows a table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg.rows import dict_row

from confiture.core.db.connection import Connection
from confiture.core.dry_run.trace import Tracer
from confiture.errors import Span
from confiture.models.migration import Phase
from confiture.models.plan import StepId
from confiture.models.trace import LockMode, StatementTrace
from confiture.sql.parsing import parse_statements, remove_concurrently
from tests.support.lock_matrix import SHORT, matrix_database
from tests.support.servers import Server

STEP = StepId(version="1", phase=Phase.DDL, number=1, part=1, name="s", segment=1, span=Span(path="m.yaml", line=1))


@pytest.fixture(scope="module", params=["server_18", "server_15"])
def measured(request: pytest.FixtureRequest, uses_server: None) -> Iterator[tuple[int, Connection]]:
    """A connection to a database with the fixture, for each version in turn."""
    server: Server = request.getfixturevalue(request.param)
    url = matrix_database(server, "traced")
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
        yield server.version, connection


@pytest.fixture(params=["measured", "empty"])
def anywhere(request: pytest.FixtureRequest, measured: tuple[int, Connection]) -> Iterator[Connection]:
    """A connection to a database that has relations, and to one that has none."""
    _, connection = measured
    if request.param == "measured":
        yield connection
        return
    connection.execute("DROP DATABASE IF EXISTS lock_matrix_empty WITH (FORCE)")
    connection.execute("CREATE DATABASE lock_matrix_empty")
    with psycopg.connect(
        connection.info.dsn, dbname="lock_matrix_empty", autocommit=True, row_factory=dict_row
    ) as emptied:
        yield emptied


def trace(connection: Connection, sql: str) -> StatementTrace:
    """What the tracer sees of one statement, in the form that a dry run runs it in."""
    (seen,) = trace_all(connection, sql)
    return seen


def trace_all(
    connection: Connection, sql: str, after_each: Callable[[], object] = lambda: None
) -> list[StatementTrace]:
    """What the tracer sees of the statements of one transaction."""
    statements, _ = parse_statements(sql)
    tracer = Tracer(connection)
    with connection.transaction(force_rollback=True), tracer.tracing():
        tracer.begin_segment()
        for statement in statements:
            text = remove_concurrently(statement.text) if statement.is_concurrent else statement.text
            started = tracer.elapsed_ms()
            connection.execute(text)
            tracer.record_statement(STEP, statement, tracer.elapsed_ms() - started)
            after_each()
    return tracer.traces


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
    pretended = trace(connection, "do $$ begin raise notice 'temporary file: path x, size 7'; end $$")
    assert pretended.temp_bytes == 0


def test_the_server_tells_in_words_that_are_known(measured: tuple[int, Connection]) -> None:
    """Temporary files and lock waits are told in messages, which a server may have in any language."""
    _, connection = measured
    connection.execute("set lc_messages = 'POSIX'")
    seen = trace(connection, "do $$ begin raise notice '%', current_setting('lc_messages'); end $$")
    assert seen.notices == ("NOTICE: C",)


def test_a_role_that_may_not_ask_for_temporary_files_is_told_so(measured: tuple[int, Connection]) -> None:
    _, connection = measured
    connection.execute("drop role if exists weak; create role weak; grant all on schema public to weak")
    connection.execute("set role weak")
    try:
        seen = trace(connection, "create table n4 (id int)")
    finally:
        connection.execute("reset role; drop owned by weak; drop role weak")
    assert seen.temp_bytes is None


def test_modes_differ_in_the_length_of_their_names() -> None:
    assert len({len(mode) for mode in LockMode}) == len(LockMode)


def test_what_is_made_on_the_way_is_watched_to_the_end(anywhere: Connection) -> None:
    seen = trace_all(
        anywhere,
        """
        create table made (id int primary key, note text);
        insert into made select i, 'x' from generate_series(1, 5) i;
        do $$ begin
            create table inner_one (id int primary key);
            insert into inner_one values (1);
        exception when division_by_zero then null;
        end $$;
        insert into inner_one values (2), (3);
        create temp table passing as select id from made;
        create index made_note on made (note);
        do $$ begin update made set note = repeat('y', 9000); delete from inner_one; end $$;
        create index on made (id);
        drop table inner_one;
        insert into passing values (6);
        """,
    )
    rows = [sorted((r.table, r.inserted, r.updated, r.deleted) for r in statement.rows) for statement in seen]
    assert rows == [
        [],
        [("made", 5, 0, 0)],
        [("inner_one", 1, 0, 0)],
        [("inner_one", 2, 0, 0)],
        [("passing", 5, 0, 0)],
        [],
        [("inner_one", 0, 0, 3), ("made", 0, 5, 0)],
        [],
        [],
        [("passing", 1, 0, 0)],
    ]
    built = [("made_pkey",), (), ("inner_one_pkey",), (), (), ("made_note",), (), ("made_id_idx",), (), ()]
    assert [statement.indexes_built for statement in seen] == built
    assert not any(statement.locks or statement.rewrites or statement.scans for statement in seen)


def test_what_others_make_meanwhile_is_not_ours(anywhere: Connection) -> None:
    made = iter(("theirs", "later"))
    with psycopg.connect(anywhere.info.dsn, autocommit=True) as other:
        seen = trace_all(
            anywhere,
            "create table ours (id int primary key); create index on ours (id)",
            lambda: other.execute(f"create table {next(made)} (id int primary key)".encode()),
        )
        other.execute("drop table theirs, later")
    assert [statement.indexes_built for statement in seen] == [("ours_pkey",), ("ours_id_idx",)]


def test_locks_and_counters_of_many_statements_are_told_apart(measured: tuple[int, Connection]) -> None:
    _, connection = measured
    seen = trace_all(
        connection,
        """
        select count(*) from users where id = 1;
        alter table users add column extra_column int;
        update users set extra_column = 1 where id <= 4;
        do $$ begin perform 1 from users where id = 1; end $$;
        create table made_here (id int references users);
        update users set extra_column = 2 where id <= 3;
        """,
    )
    locks = [{(lock.relation, SHORT[lock.mode]) for lock in statement.locks} for statement in seen]
    assert ("users", "AS") in locks[0]
    assert ("users", "AX") in locks[1]
    assert ("users", "RX") in locks[2]
    assert locks[3] == set()
    assert locks[4] == {("users", "SRX")}
    assert locks[5] == set()
    assert [[(r.table, r.updated) for r in statement.rows] for statement in seen] == [
        [], [], [("users", 4)], [], [], [("users", 3)]
    ]  # fmt: skip


def test_rows_that_parallel_workers_read_make_a_count_a_least_one(measured: tuple[int, Connection]) -> None:
    _, connection = measured
    rows = connection.execute("select count(*) from orders").fetchone()["count"]  # type: ignore[index]
    builds = "; ".join(["create index on orders (total)"] * 6)
    alter = "alter table orders set (parallel_workers = {})"
    parallel = [scan for one in trace_all(connection, f"{alter.format(2)}; {builds}")[1:] for scan in one.scans]
    alone = [scan for one in trace_all(connection, f"{alter.format(0)}; {builds}")[1:] for scan in one.scans]
    assert [scan.is_lower_bound for scan in parallel] == [scan.rows < rows for scan in parallel]
    assert not any(scan.is_lower_bound for scan in alone)
    assert all(scan.rows >= rows for scan in alone)
