"""The PostgreSQL server of the benchmarks: an embedded one, in a temporary folder, with its durable defaults."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from benchmarks.timing import Command, CommandFailed
from confiture.core.embedded.server import EmbeddedServer

_SHOWN = ("fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "max_wal_size", "work_mem")


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """A running server, and the folder for the files of the benchmarks."""

    folder: Path
    embedded: EmbeddedServer

    def url(self, database: str) -> str:
        """The address of a database, as libpq reads it."""
        return self.embedded.url(database)

    @property
    def socket(self) -> str:
        """The directory of the server's socket."""
        with psycopg.connect(self.url("postgres")) as connection:
            return connection.info.host

    def create_anew(self, database: str) -> None:
        """Makes an empty database, with nothing left to write for the server's checkpointer."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)".encode())
            connection.execute(f"CREATE DATABASE {database}".encode())
            connection.execute("CHECKPOINT")

    def require_tables(self, database: str, count: int) -> None:
        """Raises CommandFailed unless the database has so many tables of the workload."""
        query = "SELECT FROM pg_tables WHERE schemaname = 'public' AND tablename ~ '^[wr]_'"
        with psycopg.connect(self.url(database)) as connection:
            found = connection.execute(query).rowcount
        if found != count:
            raise CommandFailed(f"left {found} tables, not {count}")

    def require_some_tables(self, database: str) -> None:
        """Raises CommandFailed if the database has no table in public."""
        with psycopg.connect(self.url(database)) as connection:
            if not connection.execute("SELECT FROM pg_tables WHERE schemaname = 'public'").rowcount:
                raise CommandFailed("left no table")

    def settings(self) -> dict[str, str]:
        """The settings that durability and speed depend on."""
        with psycopg.connect(self.url("postgres")) as connection:
            rows = connection.execute("SELECT name, current_setting(name) FROM pg_settings").fetchall()
        values: dict[str, str] = dict(rows)
        return {name: values[name] for name in _SHOWN}

    def psql_command(self, database: str, *arguments: str | Path) -> Command:
        """psql on a database, without anybody's psqlrc, ended by the first error."""
        address = f"--dbname={self.url(database)}"
        return Command(
            arguments=[self.embedded.program_path("psql"), "-X", "-q", address, "-v", "ON_ERROR_STOP=1", *arguments]
        )


@contextmanager
def running_server() -> Iterator[Server]:
    """A server as long as the context lasts. Its folder is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as name:
        folder = Path(name).resolve()
        # the server runs as a user of its own where we are root, and must reach its data
        folder.chmod(0o755)
        embedded = EmbeddedServer(folder / "server")
        with embedded.started():
            yield Server(folder=folder, embedded=embedded)
