"""Throwaway databases: like the target, on its server or elsewhere, and gone afterwards, whatever happens."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from confiture.core.db.connection import ConnectionTarget
from confiture.core.throwaway.server import ServerChoice, ThrowawayServer, open_throwaway_server
from confiture.errors import DatabaseUnavailable
from confiture.files.settings import SettingsOverrides, load_settings
from confiture.models.settings import Settings
from tests.support.projects import Project
from tests.support.servers import Roles, Server, server_folder

_TRAITS = """
SELECT pg_encoding_to_char(encoding), datcollate, datctype, datlocprovider,
       coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale'), to_jsonb(d) ->> 'daticurules'
FROM pg_database d WHERE datname = current_database()
"""


def left_over(server: Server) -> list[str]:
    with psycopg.connect(server.admin_url) as connection:
        names = connection.execute("SELECT datname FROM pg_database WHERE datname LIKE 'confiture\\_%'").fetchall()
    return [name for (name,) in names]


def target_of(url: str) -> ConnectionTarget:
    return ConnectionTarget(conninfo=url, label="the target", origin="the test")


def settings_of(project: Project) -> Settings:
    return load_settings(project.root, SettingsOverrides(), project.environ)


@contextmanager
def opened(project: Project, url: str) -> Iterator[ThrowawayServer]:
    with open_throwaway_server(settings_of(project), target_of(url)) as server:
        yield server


@pytest.mark.parametrize(
    ("options", "version"),
    [
        ("ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C.UTF-8'", 15),
        ("ENCODING 'LATIN1' LOCALE 'C'", 15),
        ("ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'de-u-co-phonebk' LOCALE 'C'", 15),
        ("ENCODING 'UTF8' LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C'", 17),
    ],
    ids=["libc", "latin1", "icu", "builtin"],
)
def test_a_throwaway_database_has_the_targets_encoding_and_locale(project, server, options, version):
    if server.version < version:
        pytest.skip("the server has no such option")
    name = f"target_{os.getpid()}"
    try:
        server.execute(f"CREATE DATABASE {name} TEMPLATE template0 {options}")
    except psycopg.errors.FeatureNotSupported:
        pytest.skip("the server is built without ICU")
    try:
        with psycopg.connect(server.url(name)) as connection:
            expected = connection.execute(_TRAITS).fetchone()
        with opened(project, server.url(name)) as throwaway, throwaway.database("diff") as database:
            assert throwaway.choice is ServerChoice.TARGET
            with psycopg.connect(database.target.conninfo) as connection:
                assert connection.execute(_TRAITS).fetchone() == expected
        assert left_over(server) == []
    finally:
        server.execute(f"DROP DATABASE {name}")


def test_it_has_the_targets_extensions_and_settings(project, database):
    database.execute(
        f"CREATE SCHEMA ext; CREATE EXTENSION citext SCHEMA ext;"
        f'ALTER DATABASE {database.name} SET search_path = app, "Other", ext;'
        f"ALTER DATABASE {database.name} SET work_mem = '7MB';"
        f"ALTER DATABASE {database.name} SET log_statement = 'none'"
    )
    with opened(project, database.url) as throwaway, throwaway.database("diff") as made:
        assert (made.missing_extensions, made.notes) == ((), ())
        with psycopg.connect(made.target.conninfo) as connection:
            assert connection.execute("SHOW search_path").fetchone() == ('app, "Other", ext',)
            assert connection.execute("SHOW work_mem").fetchone() == ("7MB",)
            assert connection.execute("SELECT 'A'::citext = 'a'").fetchone() == (True,)
            assert connection.execute("SELECT 'ext.citext'::regtype::text").fetchone() == ("citext",)


def test_a_role_that_cannot_create_databases_uses_the_named_server(project, roles: Roles, server_18):
    roles.database.execute(f"CREATE TABLE t (); GRANT SELECT ON t TO {roles.reader}; CREATE EXTENSION pg_trgm")
    project.write("confiture.yaml", f"database: {{throwaway_url: '{server_18.admin_url}'}}")
    told: list[str] = []
    target = target_of(roles.url(roles.migrator))
    with (
        open_throwaway_server(settings_of(project), target, told.append) as throwaway,
        throwaway.database("diff", roles=["someone_else"]) as made,
    ):
        assert throwaway.choice is ServerChoice.NAMED
        assert throwaway.version_number // 10_000 == 18
        with psycopg.connect(made.target.conninfo) as connection:
            connection.execute(f'CREATE TABLE t (); GRANT SELECT ON t TO {roles.reader}, "someone_else"')
            assert connection.execute("SELECT similarity('a', 'a')").fetchone() == (1.0,)
    assert "cannot create databases on the target" in told[0]
    assert left_over(server_18) == []
    if roles.database.server is not server_18:
        server_18.execute(f"DROP ROLE {roles.reader}")
    server_18.execute("DROP ROLE someone_else")


def test_without_a_named_server_the_embedded_one_is_used(roles: Roles):
    with server_folder() as folder:
        project = Project(folder)
        project.write("confiture.yaml", "schemas: schemas")
        roles.database.execute(f"CREATE TABLE t (); GRANT SELECT ON t TO {roles.reader}")
        with opened(project, roles.url(roles.migrator)) as throwaway, throwaway.database("diff") as made:
            assert throwaway.choice is ServerChoice.EMBEDDED
            assert throwaway.label == "the embedded server"
            with psycopg.connect(made.target.conninfo) as connection:
                assert connection.execute(
                    f"SELECT rolcanlogin FROM pg_roles WHERE rolname = '{roles.reader}'"
                ).fetchone() == (False,)


def test_a_locale_that_the_server_does_not_support_is_reported(project, server_15, server_18):
    name = f"target_{os.getpid()}"
    server_15.execute(f"CREATE ROLE {name} LOGIN")
    server_15.execute(f"CREATE DATABASE {name} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'de' LOCALE 'C'")
    project.write("confiture.yaml", f"database: {{throwaway_url: '{server_18.admin_url}'}}")
    try:
        url = server_15.url(name).replace("://postgres@", f"://{name}@")
        with opened(project, url) as throwaway, throwaway.database("diff") as made:
            (note,) = made.notes
            assert "does not support the locale de of the target; using C" in note
            with psycopg.connect(made.target.conninfo) as connection:
                assert connection.execute(_TRAITS).fetchone() == ("UTF8", "C", "C", "c", None, None)
    finally:
        server_15.execute(f"DROP DATABASE {name}")
        server_15.execute(f"DROP ROLE {name}")


def test_a_server_without_the_right_is_refused(project, roles: Roles):
    project.write("confiture.yaml", f"database: {{throwaway_url: '{roles.url(roles.reader)}'}}")
    with (
        pytest.raises(DatabaseUnavailable, match="cannot create databases"),
        opened(project, roles.url(roles.migrator)),
    ):
        raise AssertionError("it was used")


def test_extensions_that_cannot_be_created_are_named(project, database_18):
    database_18.execute("CREATE SCHEMA app; CREATE EXTENSION citext SCHEMA app; CREATE EXTENSION hstore")
    with (
        opened(project, database_18.url) as throwaway,
        throwaway.database("diff", created_schemas=["app"], created_extensions=["hstore"]) as made,
    ):
        (missing,) = made.missing_extensions
        assert str(missing) == (
            "the extension citext is missing: the schema files create its schema app, but not the extension"
        )
        with psycopg.connect(made.target.conninfo) as connection:
            names = connection.execute("SELECT extname FROM pg_extension").fetchall()
            assert names == [("plpgsql",)]


_HOLDER = """
import sys, time
from pathlib import Path
from confiture.core.db.connection import ConnectionTarget
from confiture.core.throwaway.server import open_throwaway_server
from confiture.files.settings import SettingsOverrides, load_settings

settings = load_settings(Path(sys.argv[1]), SettingsOverrides(), {})
target = ConnectionTarget(conninfo=sys.argv[2], label="the target", origin="the test")
with open_throwaway_server(settings, target) as server, server.database("diff") as database:
    print(database.target.conninfo, flush=True)
    time.sleep(120)
"""


@pytest.fixture
def holder(project, database) -> Iterator[subprocess.Popen[str]]:
    """A process that has created a throwaway database and waits."""
    command = [sys.executable, "-c", _HOLDER, str(project.root), database.url]
    process = subprocess.Popen(
        command, cwd=project.root, env=project.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline()
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_what_a_killed_process_leaves_behind_is_dropped_by_the_next(project, database, holder):
    (name,) = left_over(database.server)
    assert name.startswith("confiture_diff_")
    with opened(project, database.url) as throwaway, throwaway.database("diff"):
        assert name in left_over(database.server), "a living process uses it"
    holder.kill()
    holder.wait()
    deadline = time.monotonic() + 30
    while name in left_over(database.server):
        assert time.monotonic() < deadline
        with opened(project, database.url):
            pass
