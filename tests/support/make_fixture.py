"""Makes tests/fixtures/<commit>: what a former version of the program left behind, in a database and in files.

    python -m tests.support.make_fixture 954dc89 /path/to/a/checkout/of/954dc89

The checkout needs a `.venv` with that version installed. The project in tests/fixtures/<commit>/project is copied and
migrated on a server of PostgreSQL 15, until one of its migrations has stopped and another one is half filled.
"""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psycopg

from tests.support.paths import FIXTURES
from tests.support.servers import PG15, server_folder, unprivileged_runner

_PORT = 54_915
_OPTIONS = f"-c port={_PORT} -c listen_addresses=127.0.0.1 -c fsync=off"
_SERVER = f"postgresql://postgres@127.0.0.1:{_PORT}"
_QUERY = "SELECT tenant_id, sum(amount) AS total FROM w_orders WHERE id > 9 GROUP BY 1"
_RUNS = {
    "dry_run": "migrate --dry-run --to 002",
    "up": "migrate up --to 003",
    "down": "migrate down",
    "up_again": "migrate up --to 004",
}
"""Commands that write events, in this order."""
_READS = {
    "validate": "migrate validate",
    "status": "migrate status",
    "plan": "migrate show 001",
    "plan_of_backfill": "migrate show 006",
    "plan_of_reconcile": "migrate show 002",
    "plan_of_hook": "migrate show 003",
    "verify": "verify",
    "reconcile": f"reconcile r_totals --sql '{_QUERY}'",
    "backfills": "backfill status --all",
    "locks": "locks",
    "isolation": "tenancy prove",
    "tenancy": "tenancy map",
    "lint": "lint --fail-on never",
    "rules": "lint --explain table_comment",
}


class Shop(Protocol):
    """A copy of the fixture's project on an empty database, and a version of the program that works on it."""

    @property
    def root(self) -> Path: ...

    def run(self, command: str) -> str:
        """Runs a command to its end. Returns what it prints on stdout."""

    def start(self, command: str) -> subprocess.Popen[str]:
        """Starts a command in a process of its own."""

    def execute(self, statement: str) -> None:
        """Runs a statement in the database."""


@dataclass(frozen=True)
class _FormerShop:
    root: Path
    checkout: Path

    def start(self, command: str) -> subprocess.Popen[str]:
        foreign = ("CONFITURE_", "PG", "GITHUB_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        return subprocess.Popen(
            [self.checkout / ".venv/bin/python", "-m", "confiture", *shlex.split(command)],
            cwd=self.root,
            env={**kept, "PYTHONPATH": str(self.checkout), "DATABASE_URL": f"{_SERVER}/shop"},
            text=True,
            stdout=subprocess.PIPE,
        )

    def run(self, command: str) -> str:
        return self.start(command).communicate()[0]

    def execute(self, statement: str) -> None:
        _execute("shop", statement)


def make(commit: str, checkout: Path) -> None:
    """Writes all of the fixture but its project."""
    target = FIXTURES / commit
    with _server(), tempfile.TemporaryDirectory() as folder:
        shop = _FormerShop(Path(folder) / "shop", checkout)
        shutil.copytree(target / "project", shop.root)
        _execute("postgres", "CREATE DATABASE shop")
        written = dict(documents(shop)) | {"database.sql": _dump()}
    for path, text in written.items():
        (target / path).parent.mkdir(exist_ok=True)
        # nothing of this machine
        cleaned = text.replace(socket.gethostname(), "host").replace(str(shop.root), "/shop")
        (target / path).write_text(cleaned, encoding="utf-8")


def documents(shop: Shop) -> Iterator[tuple[str, str]]:
    """Migrates the shop until one migration has stopped and one is half filled. Gives each document by its path."""
    events = "--format json --events events.jsonl"
    for name, command in _RUNS.items():
        yield f"documents/{name}.json", shop.run(f"{command} {events}")
        yield f"events/{name}.jsonl", _text(shop, "events.jsonl")
    _fill_half(shop)
    yield "documents/stopped.json", shop.run(f"migrate up --out-of-order {events}")
    yield "events/stopped.jsonl", _text(shop, "events.jsonl")
    for name, command in _READS.items():
        yield f"documents/{name}.json", shop.run(f"{command} --format json")
    yield "lint.sarif", shop.run("lint --fail-on never --format sarif")
    yield "gitlab.json", shop.run("lint --fail-on never --format gitlab")
    shop.run("lint --write-baseline")
    yield "confiture-baseline.json", _text(shop, "confiture-baseline.json")
    yield "predictions.json", _text(shop, ".confiture/predictions.json")


def _text(shop: Shop, path: str) -> str:
    return (shop.root / path).read_text(encoding="utf-8")


def _fill_half(shop: Shop) -> None:
    """Kills the backfill of 006 as soon as its throttle holds it back; then another session writes orders."""
    stopping = shop.root / "migrations/005_index_orders.yaml"
    away = stopping.rename(shop.root / "005.away")
    run = shop.start("migrate up --to 006 --events half.jsonl")
    events = shop.root / "half.jsonl"
    deadline = time.monotonic() + 60
    while not events.exists() or "throttle" not in events.read_text():
        assert run.poll() is None, "the backfill ended"
        assert time.monotonic() < deadline, "the backfill was not held back"
        time.sleep(0.1)
    run.kill()
    run.communicate()
    away.rename(stopping)
    shop.execute("INSERT INTO w_orders VALUES (1, 0, 7)")
    shop.execute("UPDATE w_orders SET amount = amount + 1 WHERE tenant_id = 1 AND id < 10")


def _execute(database: str, statement: str) -> None:
    with psycopg.connect(f"{_SERVER}/{database}", autocommit=True) as connection:
        connection.execute(statement.encode())


def _dump() -> str:
    """Statements that any client can run: no COPY from the client, and none of psql's own commands."""
    command = [str(PG15 / "pg_dump"), "--no-owner", "--inserts", f"{_SERVER}/shop"]
    dump = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return "\n".join(line for line in dump.splitlines() if not line.startswith("\\")) + "\n"


@contextmanager
def _server() -> Iterator[None]:
    with server_folder() as folder:
        run = unprivileged_runner(folder)
        data = folder / "data"
        run([PG15 / "initdb", "--auth=trust", "--encoding=UTF8", "--no-locale", "-U", "postgres", "-D", data])
        options = f"{_OPTIONS} -c unix_socket_directories='{folder}'"
        run([PG15 / "pg_ctl", "-D", data, "-l", folder / "log", "-w", "-o", options, "start"])
        try:
            yield
        finally:
            run([PG15 / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop"])


if __name__ == "__main__":
    make(sys.argv[1], Path(sys.argv[2]))
