"""Temporary files and the memory of sorts and hash tables in dry runs."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.engine import dry_run, migrate_up
from tests.support.projects import Project
from tests.support.servers import Database, Roles

KB, MB = 1024, 1024 * 1024
SERIAL, WORK_MEM = "SET max_parallel_workers_per_gather = 0", "SET work_mem = '64kB'"
SPILL = "CREATE TABLE sorted AS SELECT * FROM big ORDER BY text"
SUMS = "SELECT max(n) FROM (SELECT text, count(*) AS n FROM big GROUP BY text) AS sums"


@pytest.fixture(autouse=True)
def big(database: Database) -> None:
    database.execute(
        "CREATE TABLE big AS SELECT i AS id, md5(i::text) AS text FROM generate_series(1, 60000) AS i; ANALYZE big"
    )


def report(shop: Project, *statements: str, options: tuple[str, ...] = ()) -> dict[str, Any]:
    lines = "".join(f"  - sql: |\n      {statement}\n" for statement in statements)
    shop.migration("001_big", f"ddl:\n{lines}")
    found: dict[str, Any] = shop.run("migrate", "--dry-run", *options, "--format", "json").json
    return found


def last(shop: Project, *statements: str) -> dict[str, Any]:
    statement: dict[str, Any] = report(shop, *statements)["statements"][-1]
    return statement


def test_a_sort_that_spills_uses_all_of_work_mem(shop: Project) -> None:
    found = report(shop, SERIAL, WORK_MEM, SPILL)
    statement = found["statements"][-1]
    assert statement["temp_bytes"] > MB
    assert statement["memory"] == {"peak_bytes": 64 * KB, "at_least": False, "limit_bytes": 64 * KB, "workers": 0}
    assert statement["temp_file_limit_bytes"] is None
    assert found["server_messages"] == [] and statement["notices"] == []
    assert not any(warning["code"].startswith("temp-file") for warning in found["warnings"])
    printed = shop.run("migrate", "--dry-run").out
    assert "of temporary files, 64.0 kB of memory for sorts and hash tables (they may use 64.0 kB)" in " ".join(
        printed.split()
    )


@pytest.mark.parametrize(
    ("statements", "limit"),
    [
        ((SERIAL, "UPDATE big SET id = id + 1"), 0),
        ((SERIAL, "SET work_mem = '32MB'", "SET hash_mem_multiplier = 1.5", SUMS), 48 * MB),
        ((SERIAL, "SET work_mem = '32MB'", SPILL), 32 * MB),
    ],
    ids=["update", "hash", "sort"],
)
def test_memory_without_spills(shop: Project, statements: tuple[str, ...], limit: int) -> None:
    statement = last(shop, *statements)
    memory = statement["memory"]
    assert statement["temp_bytes"] == 0
    assert memory["limit_bytes"] == limit and not memory["at_least"]
    assert (memory["peak_bytes"] > 3 * MB) if limit else memory["peak_bytes"] == 0


@pytest.mark.versions_alike
def test_workers_count(shop: Project) -> None:
    parallel = [
        f"SET {name} = 0" for name in ("parallel_setup_cost", "parallel_tuple_cost", "min_parallel_table_scan_size")
    ]
    memory = last(shop, *parallel, "SET work_mem = '1MB'", SPILL)["memory"]
    assert memory["workers"] is not None
    assert memory["limit_bytes"] == MB * (memory["workers"] + 1) >= memory["peak_bytes"] > MB


@pytest.mark.versions_alike
def test_the_memory_of_index_builds_is_unknown(shop: Project) -> None:
    """Its limit is known."""
    memory = last(shop, "SET maintenance_work_mem = '7MB'", "CREATE INDEX ON big (text)")["memory"]
    assert memory == {"peak_bytes": None, "at_least": False, "limit_bytes": 7 * MB, "workers": None}
    assert last(shop, "CREATE TABLE t (id int)")["memory"]["peak_bytes"] is None


@pytest.mark.parametrize(
    ("statement", "is_known"),
    [
        ("SELECT sums()", True),
        ("DO $$ BEGIN PERFORM sums(); PERFORM count(*) FROM big; END $$", True),
        ("CREATE TABLE t AS SELECT b.id, f.n FROM big AS b, (SELECT sums() AS n OFFSET 0) AS f", False),
    ],
    ids=["select", "do", "create table as"],
)
def test_queries_in_functions_make_lower_bounds(
    shop: Project, database: Database, statement: str, is_known: bool
) -> None:
    database.execute(f"CREATE FUNCTION sums() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN ({SUMS}); END'")
    memory = last(shop, SERIAL, "SET work_mem = '32MB'", statement)["memory"]
    assert memory["at_least"]
    assert (memory["peak_bytes"] > 3 * MB) is is_known


def test_a_role_without_rights_reports_unknown(shop: Project, roles: Roles) -> None:
    roles.database.execute(
        f"GRANT CREATE ON DATABASE {roles.database.name} TO {roles.migrator};"
        f"GRANT CREATE ON SCHEMA public TO {roles.migrator}; GRANT SELECT ON big TO {roles.migrator}"
    )
    shop.environ["DATABASE_URL"] = roles.url(roles.migrator)
    statement = last(shop, WORK_MEM, SPILL)
    assert statement["temp_bytes"] is None
    assert statement["memory"] == {"peak_bytes": None, "at_least": False, "limit_bytes": None, "workers": None}


@pytest.mark.versions_alike
@pytest.mark.parametrize(
    ("before", "is_known"),
    [
        ("SET client_min_messages = warning", False),
        ("SET log_temp_files = -1", False),
        ("RESET ALL", True),
        (
            "CREATE FUNCTION f() RETURNS void LANGUAGE sql SET client_min_messages = error AS 'SELECT'",
            False,
        ),
        ("DO $$ BEGIN RAISE LOG 'temporary file: path x, size 7'; END $$", True),
    ],
    ids=["level", "setting", "reset", "function", "a message that is not the server's"],
)
def test_temporary_files_that_are_hidden_are_unknown(shop: Project, before: str, is_known: bool) -> None:
    raised, statement = report(shop, before, "SELECT 1")["statements"]
    assert statement["temp_bytes"] == (0 if is_known else None)
    assert statement["waited_ms"] == (0 if is_known or "log_temp" in before else None)
    if before.startswith("DO"):
        assert raised["temp_bytes"] == 0


@pytest.mark.versions_alike
def test_a_limit_that_is_exceeded_fails_as_in_a_real_run(shop: Project, database: Database) -> None:
    database.execute(f"ALTER DATABASE {database.name} SET temp_file_limit = '1MB'")
    shop.migration("001_big", f'ddl: [sql: {SERIAL}, sql: "{WORK_MEM}", sql: {SPILL}]')
    dry, real = dry_run(shop).expect(4), migrate_up(shop).expect(4)
    assert dry.codes == real.codes == ["53400"]


@pytest.mark.versions_alike
def test_a_limit_that_is_near_is_a_warning(shop: Project, database: Database) -> None:
    database.execute(f"ALTER DATABASE {database.name} SET temp_file_limit = '4MB'")
    found = report(shop, SERIAL, WORK_MEM, SPILL)
    (warning,) = [warning for warning in found["warnings"] if warning["code"] == "temp-file-limit"]
    assert "near temp_file_limit (4.0 MB)" in warning["message"]
    assert found["statements"][-1]["temp_file_limit_bytes"] == 4 * MB


@pytest.mark.versions_alike
def test_a_limit_elsewhere_is_compared_with_the_size_there(shop: Project, database: Database) -> None:
    other = Database(database.server, f"{database.name}_other")
    database.server.execute(f"CREATE DATABASE {other.name}")
    try:
        other.execute("CREATE TABLE big AS SELECT i AS id FROM generate_series(1, 240000) AS i; ANALYZE big")
        other.execute(f"ALTER DATABASE {other.name} SET temp_file_limit = '4MB'")
        found = report(shop, SERIAL, WORK_MEM, SPILL, options=("--scale-to", other.url))
    finally:
        database.server.execute(f"DROP DATABASE {other.name} WITH (FORCE)")
    (warning,) = [warning for warning in found["warnings"] if warning["code"] == "temp-file-limit"]
    assert "at the row counts of the other database" in warning["message"]
    assert "more than temp_file_limit (4.0 MB): it may fail" in warning["message"]
