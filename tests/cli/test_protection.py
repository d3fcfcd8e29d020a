"""Commands that write to a protected database need the name of its environment."""

from __future__ import annotations

import os
import pty
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from confiture.cli.app import app
from confiture.cli.protection import DatabaseAccess, writes_database
from tests.support.engine import wait_until
from tests.support.projects import Project
from tests.support.servers import Database

SETTINGS = """
project: shop
environments:
  production: {protected: true}
  staging: {}
"""
WRITES = {
    "migrate up": "migrate up",
    "migrate down": "migrate down --to 0",
    "migrate baseline": "migrate baseline 002 --force",
    "migrate adopt-project": "migrate adopt-project shop store",
    "backfill pause": "backfill pause",
    "backfill resume": "backfill resume",
    "backfill cancel": "backfill cancel",
    "backfill clean": "backfill clean",
    "identity set": "identity set staging",
    "build": "build",
    "db reset": "db reset --yes",
}
"""Each command that writes, with arguments."""


def _commands(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(command, typer.core.TyperGroup):
        if command.invoke_without_command:
            yield name or "confiture", command
        for sub_name, sub_command in command.commands.items():
            yield from _commands(sub_command, f"{name} {sub_name}".strip())
    else:
        yield name, command


COMMANDS = dict(_commands(typer.main.get_command(app)))


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_says_whether_it_writes(name: str) -> None:
    access = getattr(COMMANDS[name].callback, "database_access", None)
    assert isinstance(access, DatabaseAccess), f"{name} needs a decorator of confiture/cli/protection.py"
    assert (access is DatabaseAccess.WRITES) == (name in WRITES), "list it in WRITES above"
    options = [option for parameter in COMMANDS[name].params for option in parameter.opts]
    assert ("--confirm" in options) == (access is DatabaseAccess.WRITES)


def test_a_command_that_writes_without_the_option_is_a_bug() -> None:
    def erase() -> None:
        """Erase."""

    with pytest.raises(TypeError, match="erase writes to a database"):
        writes_database(erase)


@pytest.fixture
def protected(shop_18: Project, database_18: Database) -> Project:
    """A project with one applied migration and a pending one, on a database that is protected."""
    shop_18.write("schemas/z.sql", "CREATE TABLE z (id int);\n")
    shop_18.write("confiture.yaml", SETTINGS)
    shop_18.migration("001_a", "ddl: [{sql: CREATE TABLE a (id int)}]\ndown: [{sql: DROP TABLE a}]\n")
    shop_18.run("migrate", "up", "--env", "production", "--confirm", "production")
    shop_18.migration("002_b", "ddl: [{sql: CREATE TABLE b (id int)}]\ndown: [{sql: DROP TABLE b}]\n")
    return shop_18


def _content(database: Database) -> list[list[tuple]]:
    tables = ("migrations", "journal", "identity", "history_events", "backfills")
    public = "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1"
    return [database.rows(f"TABLE confiture.{table}") for table in tables] + [database.rows(public)]


def test_no_command_writes_without_the_name(protected: Project, database_18: Database) -> None:
    before = _content(database_18)
    for name, command in WRITES.items():
        protected.environ["CONFITURE_ENV"] = "staging" if name == "identity set" else "production"
        wrong = ("staging", "Production", "yes", "", "production ") if name == "migrate down" else ("staging",)
        for confirm in (None, *wrong):
            result = protected.run(*command.split(), *([] if confirm is None else ["--confirm", confirm]), expect=2)
            assert "'production'" in result.err and "next:" in result.err, (name, confirm)
    assert _content(database_18) == before


def test_the_name_is_enough(protected: Project) -> None:
    for name in ("migrate up", "migrate baseline", "migrate down", "backfill clean", "db reset", "identity set"):
        protected.environ["CONFITURE_ENV"] = "staging" if name == "identity set" else "production"
        protected.run(*WRITES[name].split(), "--confirm", "production")
    # there is no backfill to control
    protected.environ["CONFITURE_ENV"] = "staging"
    for name in ("backfill pause", "backfill resume", "backfill cancel"):
        assert "no unfinished backfill" in protected.run(*WRITES[name].split(), "--confirm", "staging", expect=2).err


def test_a_reset_of_the_embedded_server_needs_the_name(protected: Project) -> None:
    protected.environ["CONFITURE_ENV"] = "production"
    assert "--confirm production" in protected.run("db", "reset", "--yes", expect=2).err
    protected.write("confiture.yaml", "environments: {production: [}\n")
    assert "no data to delete" in protected.run("db", "reset", "--yes").err


def test_the_name_is_compared_even_without_protection(shop_18: Project) -> None:
    shop_18.write("confiture.yaml", SETTINGS)
    shop_18.migration("001_a", "ddl: [{sql: CREATE TABLE a (id int)}]\n")
    err = shop_18.run("migrate", "up", "--env", "staging", "--confirm", "production", expect=2).err
    assert "'production'" in err and "'staging'" in err
    shop_18.run("migrate", "up", "--env", "staging", "--confirm", "staging")


def test_a_dry_run_keeps_yes(protected: Project) -> None:
    arguments = ("migrate", "up", "--dry-run", "--env", "production")
    assert "confirm with `--yes`" in protected.run(*arguments, expect=2).err
    protected.run(*arguments, "--yes")
    assert "--confirm is not valid with --dry-run" in protected.run(*arguments, "--confirm", "production", expect=2).err
    protected.run("migrate", "baseline", "002", "--force", "--dry-run", "--env", "production")


def test_a_missing_name_needs_no_database(shop_18: Project) -> None:
    shop_18.write("confiture.yaml", SETTINGS)
    shop_18.environ["DATABASE_URL"] = "postgresql://localhost:1/nowhere"
    for command in ("up", "down"):
        assert "protected" in shop_18.run("migrate", command, "--env", "production", expect=2).err


def test_a_reason_may_be_required(shop_18: Project, database_18: Database) -> None:
    shop_18.write("confiture.yaml", "environments: {production: {reason: required}}\n")
    shop_18.migration("001_a", "ddl: [{sql: CREATE TABLE a (id int)}]\ndown: [{sql: DROP TABLE a}]\n")
    shop_18.environ["CONFITURE_ENV"] = "production"
    for command in ("up", "down", "baseline 001"):
        for reason in ([], ["--reason", " "]):
            assert "requires a reason" in shop_18.run("migrate", *command.split(), *reason, expect=2).err
    shop_18.run("migrate", "up", "--reason", "release 7")
    assert database_18.rows("SELECT DISTINCT reason FROM confiture.history_events") == [("release 7",)]
    shop_18.run("migrate", "up", "--dry-run")


# --- questions


def _answer(project: Project, answer: bytes | None, *arguments: str, **environ: str) -> tuple[int, str]:
    """Run a command in a terminal and answer its question; None: the end of the input."""
    parent, child = pty.openpty()
    environment = {**project.environment, "TERM": "dumb", **environ}
    process = subprocess.Popen(
        project.command(*arguments), cwd=project.root, env=environment, stdin=child, stdout=child, stderr=child
    )
    os.close(child)
    said, deadline = b"", time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            part = os.read(parent, 4096)
        except OSError:
            break
        if not part:
            break
        said += part
        if b"type the name" in said and said.rstrip().endswith(b":") and answer != b"sent":
            os.write(parent, b"\x04" if answer is None else answer + b"\n")
            answer = b"sent"
    os.close(parent)
    return process.wait(), said.decode()


@pytest.mark.parametrize(("answer", "code"), [(b"production", 0), (b"y", 2), (b"", 2), (None, 2)], ids=repr)
def test_at_a_terminal_the_name_is_asked_for(
    protected: Project, database_18: Database, answer: bytes | None, code: int
) -> None:
    got, said = _answer(protected, answer, "migrate", "up", "--env", "production")
    assert got == code, said
    assert "type the name of the environment (production)" in said
    assert bool(database_18.value("SELECT to_regclass('b') IS NOT NULL")) == (code == 0)


@pytest.mark.parametrize(
    ("arguments", "environ"),
    [((), {"CI": "true"}), (("--format", "json"), {})],
    ids=["CI", "json"],
)
def test_nothing_is_asked(protected: Project, arguments: tuple[str, ...], environ: dict[str, str]) -> None:
    got, said = _answer(protected, b"production", "migrate", "up", "--env", "production", *arguments, **environ)
    assert "type the name" not in said
    assert got == 2


def test_no_lock_is_held_during_the_question(protected: Project, database_18: Database) -> None:
    parent, child = pty.openpty()
    process = subprocess.Popen(
        protected.command("migrate", "up", "--env", "production"),
        cwd=protected.root,
        env={**protected.environment, "TERM": "dumb"},
        stdin=child,
        stdout=child,
        stderr=child,
    )
    os.close(child)
    said = b""
    while b"type the name" not in said:
        said += os.read(parent, 4096)
    ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'confiture%'"
    wait_until(lambda: database_18.value(ours) == 0, "no session is open")
    assert database_18.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0
    # meanwhile, someone else applies it
    protected.run("migrate", "up", "--env", "production", "--confirm", "production")
    os.write(parent, b"production\n")
    assert process.wait() == 0
    os.close(parent)
    assert database_18.value("SELECT count(*) FROM confiture.migrations") == 2
