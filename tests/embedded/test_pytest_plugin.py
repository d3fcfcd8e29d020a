"""The pytest plugin, run by pytest over small projects as users would run it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from textwrap import dedent

import psycopg
import pytest

from confiture.core.db.database_url import database_url
from confiture.errors import DatabaseUnavailable, InputError, MigrationFailed
from confiture.project import Project
from confiture.testing import scratch_server, up_down_up
from confiture.testing import server as scratch_servers
from confiture.testing.error_notes import format_error
from tests.support.paths import REPOSITORY
from tests.support.servers import Server

pytest_plugins = ["pytester"]

ORDERS = """
    ddl:
      - sql: CREATE TABLE w_orders (id bigint PRIMARY KEY, amount numeric NOT NULL)
      - sql: INSERT INTO w_orders VALUES (1, 2.50)
    down:
      - sql: DROP TABLE w_orders
"""
TOTALS = """
    ddl:
      - sql: CREATE TABLE r_totals (id serial PRIMARY KEY, total numeric); CREATE INDEX totals ON r_totals (total)
    after_ddl:
      - name: fill
        sql: INSERT INTO r_totals (total) SELECT sum(amount) FROM w_orders
    down:
      - sql: DROP TABLE r_totals
"""
SLOPPY = """
    ddl:
      - sql: ALTER TABLE w_orders ADD note text, ALTER amount TYPE numeric(12,2)
      - sql: CREATE TABLE r_notes (id int PRIMARY KEY); CREATE INDEX ON r_totals (id, total)
      - sql: DROP INDEX totals
    down:
      - sql: ALTER TABLE w_orders DROP note
"""
ONE_WAY = "ddl: [{sql: CREATE TABLE w_archive (id int)}]"
BROKEN = """
    ddl:
      - sql: |
          ALTER TABLE w_orders
            ADD CONSTRAINT positive CHECK (amount > 100)
"""


@pytest.fixture
def inner(pytester: pytest.Pytester, server_18: Server, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project with two migrations, whose tests use the server of these tests; its own database cannot be reached."""
    write(pytester.path, **{"001_orders": ORDERS, "002_totals": TOTALS})
    for name in ("CONFITURE_ENV", "CONFITURE_CONFIG", "CONFITURE_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/production")
    monkeypatch.setenv("CONFITURE_TEST_URL", server_18.admin_url)
    return pytester


def write(root: Path, **migrations: str) -> Path:
    """A project's folder."""
    (root / "migrations").mkdir(exist_ok=True)
    (root / "confiture.yaml").write_text("database: {url: '{{ env.NOWHERE }}'}\n")
    for name, text in migrations.items():
        (root / "migrations" / f"{name}.yaml").write_text(dedent(text))
    return root


def run(pytester: pytest.Pytester, code: str, *arguments: str) -> pytest.RunResult:
    pytester.makepyfile(code)
    return pytester.runpytest_inprocess("-p", "no:cacheprovider", "-W", "error", *arguments)


def databases(server: Server) -> set[str]:
    with psycopg.connect(server.admin_url) as connection:
        rows = connection.execute("SELECT datname FROM pg_database WHERE datname LIKE 'confiture_test%'").fetchall()
    return {name for (name,) in rows}


def test_databases_are_at_the_migration_that_is_asked_for(inner, server_18):
    done = run(
        inner,
        """
        from decimal import Decimal
        import os
        import psycopg

        names = set()

        def test_versions(confiture_database):
            assert confiture_database(before="001").applied == ()
            assert confiture_database("001").applied == confiture_database(before="2").applied == ("001",)
            assert confiture_database().applied == confiture_database("002").applied == ("001", "002")

        def test_each_has_one_of_its_own(confiture_database):
            one, other = confiture_database("001"), confiture_database("001")
            one.execute("DELETE FROM w_orders WHERE id = %s", [1])
            assert one.value("SELECT count(*) FROM w_orders") == 0
            assert other.rows("SELECT * FROM w_orders") == [(1, Decimal("2.50"))]
            names.update((one.name, other.name))
            assert all(name.startswith("confiture_test_") for name in names) and len(names) == 2

        def test_nothing_is_left_of_the_test_before(confiture_database):
            database = confiture_database("001")
            there = {name for (name,) in database.rows("SELECT datname::text FROM pg_database")}
            assert database.name in there and not there & names
            assert database.value("SELECT count(*) FROM w_orders") == 1

        def test_runs(confiture_database):
            database = confiture_database(before="002")
            report = database.dry_run()
            assert (report.rows_affected, database.applied) == (1, ("001",))
            assert database.up().rows_affected == 1
            with database.connect() as connection:
                assert connection.execute("SELECT total FROM r_totals").fetchone() == (Decimal("2.50"),)
            database.down(to="001")
            assert database.applied == ("001",)
            assert psycopg.connect(database.url, autocommit=True).info.dbname == database.name
            database.down(steps=1)
            assert [one.version for one in database.project.migrations] == ["001", "002"]
            database.connect()  # and is not closed
        """,
        # psycopg tells of what is left open
        "-W",
        "ignore::ResourceWarning",
    )
    done.assert_outcomes(passed=4)
    assert databases(server_18) == set()
    assert not (inner.path / ".confiture").exists()


def test_failures_are_told_whole_and_short(inner):
    write(inner.path, **{"003_positive": BROKEN})
    done = run(
        inner,
        """
        from confiture.testing import up_down_up

        def test_there_is_no_such_version(confiture_database):
            confiture_database("0022")

        def test_one_fails_on_the_way(confiture_database):
            confiture_database()

        def test_one_fails_here(confiture_database):
            confiture_database("002").up()

        def test_it_cannot_be_undone(confiture_database):
            up_down_up(confiture_database(before="003"))

        def test_it_is_applied(confiture_database):
            up_down_up(confiture_database("002"), "001")

        def test_there_is_no_value(confiture_database):
            confiture_database("002").value("SELECT 1, 2")
        """,
    )
    done.assert_outcomes(failed=6)
    done.stdout.fnmatch_lines(
        [
            "E*InputError: there is no migration 0022",
            "E*next: did you mean '002'?",
            "*test_one_fails_on_the_way*",
            "E*MigrationFailed: migrations/003_positive.yaml:*: check constraint *positive* is violated by some row",
            "E*ALTER TABLE w_orders",
            "E*while applying migrations up to 003 positive",
            "*test_one_fails_here*",
            "E*MigrationFailed: migrations/003_positive.yaml:*: check constraint *positive* is violated by some row",
            "*test_it_cannot_be_undone*",
            "E*InputError: migrations/003_positive.yaml:*has no `down`",
            "E*next: add `down:`*",
            "*test_it_is_applied*",
            "E*InputError: 001 orders is already applied",
            "E*next: *confiture_database(before=...)",
            "E*LookupError: the query returned 1 row of 2 columns, not one value: SELECT 1, 2",
        ]
    )
    text = done.stdout.str()
    assert "core/" not in text
    assert "contextlib" not in text


def test_the_ready_made_test_takes_every_migration(inner, server_18):
    write(inner.path, **{"003_sloppy": SLOPPY, "004_one_way": ONE_WAY})
    done = run(inner, "from confiture.testing import test_every_migration_goes_up_down_up", "-rs", "-v")
    done.assert_outcomes(passed=2, failed=1, skipped=1)
    done.stdout.fnmatch_lines(
        [
            "*test_every_migration_goes_up_down_up?001_orders? PASSED*",
            "*test_every_migration_goes_up_down_up?004_one_way? SKIPPED*",
            "E*AssertionError: 003 sloppy: down does not revert the changes made by up",
            "E*unexpected: index public.r_totals_id_total_idx",
            "E*unexpected: table public.r_notes",
            "E*missing: index public.totals",
            "E*different: table column public.w_orders.amount",
            "E*type: numeric(12,2), not numeric",
            "SKIPPED*004 has no `down`: it was only applied",
        ]
    )
    # what goes with the table needs no words
    assert "r_notes_pkey" not in done.stdout.str()
    assert databases(server_18) == set()


def test_the_project_is_where_the_ini_file_says(inner):
    shop = inner.mkdir("shop")
    write(shop, **{"001_shop": ONE_WAY})
    (shop / "confiture.yaml").write_text("vars: {a: 1}\nenvironments: {testing: {vars: {a: 2}}}\n")
    inner.makeini("[pytest]\nconfiture_config = shop/confiture.yaml\nconfiture_environment = testing")
    code = """
        def test_one(confiture_project):
            assert confiture_project.settings.root.name == "shop"
            assert confiture_project.settings.variables == {"a": 2}
            assert "production" not in confiture_project.settings.database.url
        """
    run(inner, code).assert_outcomes(passed=1)


def test_no_project_is_told(inner):
    (inner.path / "confiture.yaml").unlink()
    wanted = ["there is no confiture.yaml in *", "*confiture_config in pytest's ini file*"]
    done = run(inner, "def test_one(confiture_database): pass")
    done.stdout.fnmatch_lines(["*ERROR at setup of test_one*", *wanted])
    done = run(inner, "def test_two(confiture_migration): pass")
    done.stdout.fnmatch_lines(["*ERROR collecting *", *wanted])
    assert "plugin.py" not in done.stdout.str()
    assert "During handling" not in done.stdout.str()


def test_a_role_that_may_not_create_databases_is_told(inner, server_18, monkeypatch):
    role = f"tester_{os.getpid()}"
    server_18.execute(f"CREATE ROLE {role} LOGIN")
    monkeypatch.setenv("CONFITURE_TEST_URL", server_18.admin_url.replace("postgres@", f"{role}@"))
    done = run(inner, "def test_one(confiture_database): pass")
    server_18.execute(f"DROP ROLE {role}")
    done.stdout.fnmatch_lines(
        [
            f"the role {role} cannot create databases on *",
            f"*next: run ALTER ROLE {role} CREATEDB, or use another server",
            "*CONFITURE_TEST_URL, or confiture_test_url in pytest's ini file*",
        ]
    )
    done.assert_outcomes(errors=1)


def test_the_examples_of_the_documentation_run(inner):
    blocks = re.findall(r"```python\n# file: (\S+)\n(.*?)```", (REPOSITORY / "docs/testing.md").read_text(), re.DOTALL)
    assert len(blocks) == 3
    orders = "CREATE TABLE w_orders (id bigint PRIMARY KEY, tenant_id int NOT NULL, amount numeric NOT NULL)"
    totals = "INSERT INTO r_totals SELECT tenant_id, sum(amount) FROM w_orders GROUP BY tenant_id"
    write(
        inner.path,
        **{
            "001_orders": f"ddl: [{{sql: '{orders}'}}]\ndown: [{{sql: DROP TABLE w_orders}}]",
            "002_totals": "ddl: [{sql: 'CREATE TABLE r_totals (tenant_id int PRIMARY KEY, total numeric)'}]\n"
            f"after_ddl: [{{sql: '{totals}'}}]\ndown: [{{sql: DROP TABLE r_totals}}]",
        },
    )
    (inner.path / "tests").mkdir()
    for name, code in blocks:
        (inner.path / name).write_text(code)
    inner.runpytest_inprocess("-p", "no:cacheprovider", "-W", "error").assert_outcomes(passed=4)


@pytest.fixture
def scratch_project(tmp_path: Path) -> Project:
    """A project of three migrations."""
    write(tmp_path, **{"001_orders": ORDERS, "002_totals": TOTALS, "003_one_way": ONE_WAY})
    return Project.load(tmp_path, database="embedded")


def test_sessions_leave_each_other_alone_and_clear_up_after_dead_ones(scratch_project, server):
    dead = "confiture_test_1_00000001_1"
    similar = ["confiture_test_1_00000001_x", "confiture_testing_1"]
    for name in (dead, *similar):
        server.execute(f"CREATE DATABASE {name}")
    with scratch_server(scratch_project, server.admin_url) as one, one.database("001") as first:
        assert databases(server) >= {*similar, first.name}
        assert dead not in databases(server)
        with scratch_server(scratch_project, server.admin_url) as other, other.database("001") as second:
            assert first.name != second.name
            assert first.applied == second.applied == ("001",)
    assert databases(server) == set(similar)
    for name in similar:
        server.execute(f"DROP DATABASE {name}")


def test_few_templates_are_kept(scratch_project, server_18, monkeypatch):
    monkeypatch.setattr(scratch_servers, "_MOST_TEMPLATES", 1)
    with scratch_server(scratch_project, server_18.admin_url) as scratch:
        for version in ("001", "003", "002"):
            with scratch.database(version) as database:
                assert database.applied[-1] == version
        assert len(databases(server_18)) == 1


def test_a_failing_migration_is_run_once(tmp_path, server_18):
    write(tmp_path, **{"001_orders": ORDERS, "002_positive": BROKEN})
    with scratch_server(Project.load(tmp_path, database="embedded"), server_18.admin_url) as scratch:
        with pytest.raises(MigrationFailed) as first:
            scratch.create()
        with pytest.raises(MigrationFailed) as second:
            scratch.create()
        assert first.value is second.value
        assert "positive" in format_error(first.value)
        assert databases(server_18) == set()
        with pytest.raises(InputError, match="mutually exclusive"):
            scratch.create("001", before="002")


def test_of_a_failing_hook_its_own_traceback_is_kept(tmp_path, server_18):
    hook = """
        from confiture.core import Hook, HookPhase, register_hook
        from confiture.models import Migration


        class Fill(Hook):
            phase = HookPhase.AFTER_DDL

            def execute(self, connection, context):
                self.look_up({})

            def look_up(self, known):
                return known["wanted"]


        register_hook("fill", Fill)


        class Filled(Migration):
            pass
    """
    path = write(tmp_path) / "migrations/001_filled.py"
    path.write_text(dedent(hook))
    with (
        scratch_server(Project.load(tmp_path, database="embedded"), server_18.admin_url) as scratch,
        scratch.database(before="001") as database,
        pytest.raises(MigrationFailed) as failed,
    ):
        database.up()
    cause = failed.value.__cause__
    assert isinstance(cause, KeyError)
    frames = traceback.extract_tb(cause.__traceback__)
    assert [(frame.filename, frame.name) for frame in frames] == [(str(path), "execute"), (str(path), "look_up")]


def test_round_trips_can_begin_earlier_and_leave_objects_out(tmp_path, server_18):
    write(tmp_path, **{"001_orders": ORDERS, "002_totals": TOTALS, "003_sloppy": SLOPPY})
    with scratch_server(Project.load(tmp_path, database="embedded"), server_18.admin_url) as scratch:
        with scratch.database(before="001") as database:
            up_down_up(database, "2")
            assert database.applied == ("001", "002")
            # what goes with an object is left out with it
            lax = ["table public.r_*", "*amount", "index *"]
            with pytest.raises(MigrationFailed) as failed:
                up_down_up(database, ignore=lax)
            assert "while applying 003 sloppy again after down" in failed.value.__notes__
        with scratch.database("002") as database, pytest.raises(AssertionError) as differing:
            up_down_up(database, ignore=lax[1:])
        assert str(differing.value).splitlines()[1:] == ["  unexpected: table public.r_notes"]


def test_a_second_up_that_does_something_else_is_seen(tmp_path, server_18):
    fickle = """
        ddl:
          - sql: |
              DO $$ BEGIN
                IF EXISTS (SELECT FROM w_orders WHERE id = 2) THEN CREATE TABLE second (id int);
                ELSE CREATE TABLE first (id int); INSERT INTO w_orders VALUES (2, 1); END IF;
              END $$
        down: [{sql: DROP TABLE IF EXISTS first}]
    """
    write(tmp_path, **{"001_orders": ORDERS, "002_fickle": fickle})
    with (
        scratch_server(Project.load(tmp_path, database="embedded"), server_18.admin_url) as scratch,
        scratch.database("001") as database,
        pytest.raises(AssertionError) as differing,
    ):
        up_down_up(database)
    assert str(differing.value).splitlines() == [
        "002 fickle: up after down creates a different schema",
        "  unexpected: table public.second",
        "  missing: table public.first",
    ]


def test_the_embedded_server_of_the_tests_is_their_own(uses_server):
    # not below pytest's own folder, which another session may close to the server's user meanwhile
    with tempfile.TemporaryDirectory(prefix="confiture-server-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        write(folder, **{"001_orders": ORDERS})
        data = folder / ".confiture/testing/.confiture/postgres/data"
        data.mkdir(parents=True)
        # of another version: of no use, so it is made anew
        (data / "PG_VERSION").write_text("9.6\n")
        with scratch_server(Project.load(folder, database="embedded")) as scratch, scratch.database() as database:
            assert database.applied == ("001",)
        assert (data / "PG_VERSION").read_text() == "18\n"
        assert not (folder / ".confiture/postgres").exists()


def test_a_server_that_cannot_be_reached_is_told(scratch_project):
    address = "postgresql://nobody:geheim@127.0.0.1:1/postgres"
    with pytest.raises(DatabaseUnavailable) as failed, scratch_server(scratch_project, address):
        raise AssertionError("it was reached")
    text = format_error(failed.value)
    assert "cannot connect to nobody@127.0.0.1:1/postgres" in text
    assert "geheim" not in text


@pytest.mark.parametrize(
    ("conninfo", "url"),
    [
        ("postgresql://u:p%40@h:1/x?sslmode=require", "postgresql://u:p%40@h:1/new?sslmode=require"),
        ("postgresql://u@/x?host=/run/pg&port=1", "postgresql://u@/new?host=%2Frun%2Fpg&port=1"),
        ("host=h user=u password='a b'", "postgresql://u:a%20b@h/new"),
        ("host=::1 port=1", "postgresql://[::1]:1/new"),
        ("host=a,b port=1,2 dbname=x", "postgresql:///new?host=a%2Cb&port=1%2C2"),
        ("service=main", "postgresql:///new?service=main"),
        ("dbname=x password=p", "postgresql:///new?password=p"),
    ],
)
def test_urls_of_other_databases(conninfo, url):
    assert database_url(conninfo, "new") == url
    wanted = psycopg.conninfo.conninfo_to_dict(conninfo, dbname="new")
    assert {k: v for k, v in psycopg.conninfo.conninfo_to_dict(url).items() if v} == wanted


def test_the_plugin_loads_next_to_nothing():
    code = "import pytest, sys; had = set(sys.modules); import confiture.testing.plugin; print(*set(sys.modules) - had)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"confiture", "confiture.testing", "confiture.testing.plugin"}
