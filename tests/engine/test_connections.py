"""Databases that cannot be reached, refuse us, or are no place for migrations."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from confiture.core.db.migration_lock import LOCK_KEY
from tests.support.engine import dry_run, history, migrate_down, migrate_up, nothing_remains, wait_until
from tests.support.projects import Project
from tests.support.servers import Database, Server

pytestmark = pytest.mark.versions_alike

SECRET = "hunter2"


@pytest.fixture
def one(shop: Project) -> Project:
    shop.migration("001_a", "ddl: [sql: CREATE TABLE a ()]\ndown: [sql: DROP TABLE a]")
    return shop


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://me:{SECRET}@127.0.0.1:{{port}}/db",
        f"postgresql://127.0.0.1:{{port}}/db?user=me&password={SECRET}",
        f"host=127.0.0.1 port={{port}} user=me dbname=db password={SECRET}",
        f"postgresql://me:x%{SECRET}@127.0.0.1:{{port}}/db",
        f"postgresql://me:x@{SECRET}@127.0.0.1:{{port}}/db",
        f"postgresql://me:x@y/{SECRET}@127.0.0.1:{{port}}/db",
        f"postgresql://me:{SECRET}@127.0.0.1:{{port}}/db?nonsense=1",
        f"postgresql://me:{SECRET}@127.0.0.1:port/db",
        f"host=127.0.0.1 port={{port}} password='{SECRET}",
        f"postgresql://me:{SECRET}@127.0.0.1:{{port}}/db?sslmode=verify-full&sslkey=/nowhere&sslpassword={SECRET}",
    ],
)
def test_a_database_that_cannot_be_reached(project: Project, url: str) -> None:
    project.migration("001_a", "ddl: [sql: SELECT 1]")
    result = project.run("migrate", "up", "--database", url.replace("{port}", str(closed_port())), expect=None)
    assert result.code in (2, 3), result.err
    assert SECRET not in result.out + result.err
    assert "Traceback" not in result.err
    assert "next:" in result.err


def test_what_the_driver_says_stands_at_the_margin_like_all_else(project: Project) -> None:
    project.migration("001_a", "ddl: [sql: SELECT 1]")
    url = f"postgresql://me@127.0.0.1:{closed_port()}/db"
    result = project.run("migrate", "up", "--format", "json", "--database", url, expect=3)
    detail = result.json["diagnostics"][0]["detail"]
    assert len(detail) == 2 and detail[1].startswith("Is the server running")


@pytest.mark.parametrize("command", [["status"], ["baseline", "1"], ["down"]])
def test_every_command_says_so(project: Project, command: list[str]) -> None:
    project.migration("001_a", "ddl: [sql: SELECT 1]")
    url = f"postgresql://me:{SECRET}@127.0.0.1:{closed_port()}/db"
    assert "cannot connect to me@127.0.0.1" in project.run("migrate", *command, "--database", url, expect=3).err


@pytest.mark.parametrize("form", ["json", "github", "junit"])
def test_no_format_prints_the_password(project: Project, form: str) -> None:
    project.migration("001_a", "ddl: [sql: SELECT 1]")
    url = f"postgresql://me:{SECRET}@127.0.0.1:{closed_port()}/db"
    result = project.run("migrate", "up", "--format", form, "--database", url, expect=3)
    assert SECRET not in result.out + result.err
    assert "cannot connect" in result.out


def test_a_database_that_does_not_exist(one: Project, database: Database) -> None:
    result = one.run("migrate", "up", "--database", database.server.url("missing"), expect=3)
    assert 'database "missing" does not exist' in result.err


def test_a_password_that_is_wrong(one: Project, database: Database) -> None:
    """A server that asks for a password, and is not content with it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        process = one.start(
            "migrate",
            "up",
            "--database",
            f"postgresql://me:{SECRET}@127.0.0.1:{port}/db?sslmode=disable&gssencmode=disable",
        )
        connection, _ = listener.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(b"R\x00\x00\x00\x08\x00\x00\x00\x03")  # asks for a password in clear text
            assert SECRET.encode() in connection.recv(1000)
            fields = f'SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed for user "me", not {SECRET}\0\0'.encode()
            connection.sendall(b"E" + (len(fields) + 4).to_bytes(4, "big") + fields)
        out, err = process.communicate()
    assert process.returncode == 3, out + err
    assert "password authentication failed" in err and SECRET not in out + err


# --- no place for migrations


def test_a_database_that_is_read_only(one: Project, database: Database) -> None:
    database.execute(f"ALTER DATABASE {database.name} SET default_transaction_read_only = on")
    ran = migrate_up(one).expect(3)
    assert ran.diagnostic.code == "read-only"
    dry_run(one).expect(3)
    migrate_down(one).expect(3)
    one.run("migrate", "baseline", "1", expect=3)
    one.run("migrate", "status")


def test_a_server_that_is_too_old(one: Project, database: Database, monkeypatch) -> None:
    monkeypatch.setattr("confiture.core.db.connection.OLDEST_VERSION", 200_000)
    ran = migrate_up(one).expect(3)
    assert ran.diagnostic.code == "server-too-old" and f"PostgreSQL {database.server.version}" in ran.diagnostic.message
    assert nothing_remains(database)


def _as_postgres(folder: Path) -> dict[str, object]:
    """What makes a program run as somebody whom PostgreSQL's programs accept."""
    if os.geteuid() != 0:
        return {}
    account = pwd.getpwnam("postgres")
    folder.mkdir(exist_ok=True)
    shutil.chown(folder, account.pw_uid, account.pw_gid)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


@pytest.fixture
def standby(server_15: Server) -> Iterator[str]:
    """A standby of PostgreSQL 15; its URL."""
    folder = Path(parse_qs(urlsplit(server_15.admin_url).query)["host"][0])
    data = folder / f"standby_{os.urandom(4).hex()}"
    user = _as_postgres(data)
    data.chmod(0o700)

    def run(*command: object) -> None:
        subprocess.run(
            list(map(str, command)), check=True, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, **user
        )  # type: ignore[call-overload]

    run(server_15.programs / "pg_basebackup", "-d", server_15.admin_url, "-D", data, "-R", "-c", "fast", "--no-sync")
    options = f"-c listen_addresses='' -c unix_socket_directories='{data}' -c fsync=off"
    # a standby needs what its primary has
    options += " -c max_prepared_transactions=5"
    run(server_15.programs / "pg_ctl", "-D", data, "-l", data / "log", "-w", "-o", options, "start")
    yield f"postgresql://postgres@/postgres?host={data}&port=5432"
    run(server_15.programs / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")


def test_a_standby(project: Project, standby: str) -> None:
    project.migration("001_a", "ddl: [sql: SELECT 1]")
    for command in (["up"], ["--dry-run"], ["down"], ["baseline", "1"]):
        result = project.run("migrate", *command, "--database", standby, expect=3)
        assert "read-only standby" in result.err
    project.run("migrate", "status", "--database", standby)


@pytest.fixture
def bouncer(database: Database, tmp_path: Path) -> Iterator[str]:
    """PgBouncer in front of the database; its URL without the pool's mode, which is the database's name."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        pytest.skip("PgBouncer is not installed")
    query = parse_qs(urlsplit(database.url).query)
    folder = Path(query["host"][0]) / f"bouncer_{database.name}"
    folder.mkdir()
    target = f"host={query['host'][0]} port={query['port'][0]} dbname={database.name} user=postgres"
    (folder / "bouncer.ini").write_text(
        f"[databases]\ntransaction = {target} pool_mode=transaction\nsession = {target} pool_mode=session\n"
        f"[pgbouncer]\nunix_socket_dir = {folder}\nlisten_port = 6432\nauth_type = any\n"
        f"logfile = {folder}/log\npidfile = {folder}/pid\n"
    )
    process = subprocess.Popen(
        [program, "-q", str(folder / "bouncer.ini")], cwd=folder, stderr=subprocess.DEVNULL, **_as_postgres(folder)
    )  # type: ignore[call-overload]
    wait_until((folder / ".s.PGSQL.6432").exists, "PgBouncer listens")
    yield f"postgresql://postgres@/{{}}?host={folder}&port=6432"
    process.terminate()
    process.wait()


def test_a_pooler_in_transaction_mode_is_refused_and_keeps_no_lock(
    one: Project, database: Database, bouncer: str
) -> None:
    for _ in range(3):
        ran = migrate_up(one, url=bouncer.format("transaction")).expect(3)
        assert ran.diagnostic.code == "pooler"
    one.run("migrate", "baseline", "1", "--database", bouncer.format("transaction"), expect=3)
    assert database.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0
    assert nothing_remains(database)
    migrate_up(one, lock_wait_ms=0).expect(0)


def test_a_pooler_in_transaction_mode_with_several_server_sessions_is_refused(
    one: Project, database: Database, bouncer: str
) -> None:
    url = bouncer.format("transaction")
    # others keep sessions busy, so that ours come from a pool with several
    with psycopg.connect(url) as first, psycopg.connect(url) as second:
        first.execute("SELECT 1")
        second.execute("SELECT 1")
    ran = migrate_up(one, url=url).expect(3)
    assert ran.diagnostic.code == "pooler"


def test_a_pooler_in_session_mode_is_no_hindrance(one: Project, database: Database, bouncer: str) -> None:
    migrate_up(one, url=bouncer.format("session")).expect(0)
    assert history(database) == [("001", "applied")]


# --- rights


@pytest.fixture
def plain(database: Database) -> str:
    """The URL of a role that may log in, and make tables in public."""
    database.execute("DO $$ BEGIN CREATE ROLE plain LOGIN; EXCEPTION WHEN duplicate_object THEN END $$")
    database.execute("GRANT CREATE ON SCHEMA public TO plain")
    return f"{database.url}&user=plain"


def test_a_role_that_may_not_make_our_tables_is_told_before_anything_runs(
    one: Project, database: Database, plain: str
) -> None:
    for run in (migrate_up, dry_run):
        ran = run(one, url=plain)
        assert (ran.code, ran.diagnostic.code, ran.steps) == (3, "no-right-to-create", [])
    assert "cannot create the history tables" in one.run("migrate", "baseline", "1", "--database", plain, expect=3).err
    assert nothing_remains(database)


def test_a_schema_made_for_us_is_enough(one: Project, database: Database, plain: str) -> None:
    database.execute("CREATE SCHEMA confiture AUTHORIZATION plain")
    migrate_up(one, url=plain).expect(0)
    assert history(database) == [("001", "applied")]


def test_a_role_that_may_not_read_our_tables(one: Project, database: Database, plain: str) -> None:
    migrate_up(one).expect(0)
    for command in (["up"], ["status"], ["down"], ["baseline", "1"]):
        result = one.run("migrate", *command, "--database", plain, expect=3)
        assert "permission denied for schema confiture" in result.err and "Traceback" not in result.err


def test_a_role_that_may_only_read_our_tables_changes_nothing(one: Project, database: Database, plain: str) -> None:
    migrate_up(one).expect(0)
    database.execute(
        "GRANT USAGE ON SCHEMA confiture TO plain; GRANT SELECT ON ALL TABLES IN SCHEMA confiture TO plain"
    )
    one.migration("002_b", "ddl: [sql: CREATE TABLE b ()]")
    ran = migrate_up(one, url=plain).expect(4)
    assert "the history cannot be written: permission denied" in ran.diagnostic.message
    assert database.value("SELECT to_regclass('b')") is None
    one.run("migrate", "status", "--database", plain)


def test_tables_of_a_newer_program(one: Project, database: Database) -> None:
    migrate_up(one).expect(0)
    database.execute("UPDATE confiture.format SET version = 99")
    for run in (migrate_up, dry_run, migrate_down):
        assert run(one).expect(3).diagnostic.code == "newer-state"
    assert "format 99" in one.run("migrate", "status", expect=3).err


# --- settings of the database that would cut a run short


def test_timeouts_of_the_database_do_not_hold_for_migrations(one: Project, database: Database) -> None:
    one.migration("002_slow", "ddl: [sql: SELECT pg_sleep(0.3), sql: VACUUM a, sql: SELECT pg_sleep(0.3)]")
    names = ["statement_timeout", "idle_session_timeout", "idle_in_transaction_session_timeout"]
    if database.server.version >= 17:
        names.append("transaction_timeout")
    # at once: they would hold for the sessions that set the others
    database.execute(";".join(f"ALTER DATABASE {database.name} SET {name} = '200ms'" for name in names))

    def dawdle(event: object) -> None:
        if type(event).__name__ == "StepFinished":
            time.sleep(0.3)

    dry_run(one, dawdle).expect(0)
    migrate_up(one, dawdle).expect(0)


def test_waiting_for_the_lock_outlasts_idle_session_timeout(one: Project, database: Database) -> None:
    holder = database.connect()
    holder.execute("SELECT pg_advisory_lock(%s)", [LOCK_KEY])
    holder.execute("SET idle_session_timeout = 0")
    database.execute(f"ALTER DATABASE {database.name} SET idle_session_timeout = '100ms'")

    def let_go(event: object) -> None:
        if type(event).__name__ == "LockWaiting":
            # long enough for a session of ours to be ended, were it idle for good
            holder.execute("SELECT pg_sleep(0.5)")
            holder.close()

    migrate_up(one, let_go, lock_wait_ms=60_000).expect(0)
