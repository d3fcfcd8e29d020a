"""Migration tools as the benchmarks see them: how each is started, and what its project looks like."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from benchmarks.timing import Command
from benchmarks.workload import Change


class Tool(Protocol):
    """A migration tool."""

    @property
    def name(self) -> str:
        """What it is called in the tables."""
        ...

    def start_up(self) -> Command:
        """The least that it can be asked for."""
        ...

    def write(self, folder: Path, changes: Sequence[Change]) -> None:
        """Writes a project with these migrations into an empty folder."""
        ...

    def up(self, folder: Path, socket: str, database: str) -> Command:
        """Applies what is pending."""
        ...


@dataclass(frozen=True, slots=True)
class Confiture:
    """The tool at hand, of the environment that runs the benchmarks."""

    name: str = "confiture"

    def command(self, *arguments: str, folder: Path | None = None, url: str = "") -> Command:
        """The command line."""
        script = Path(sys.executable).with_name("confiture")
        start: list[str | Path] = [script] if script.exists() else [sys.executable, "-m", "confiture"]
        variables = {"CONFITURE_DATABASE_URL": url} if url else {}
        return Command(arguments=[*start, *arguments], folder=folder, variables=variables)

    def start_up(self) -> Command:
        return self.command("--help")

    def write(self, folder: Path, changes: Sequence[Change]) -> None:
        migrations = folder / "migrations"
        migrations.mkdir(parents=True)
        (folder / "confiture.yaml").write_text("database:\n  url: embedded\nmigrations: migrations\nschemas: schemas\n")
        for change in changes:
            (migrations / f"{change.version}_{change.name}.yaml").write_text(_migration(change))

    def up(self, folder: Path, socket: str, database: str, *arguments: str) -> Command:
        url = f"postgresql://postgres@/{database}?host={quote(socket, safe='')}"
        return self.command("migrate", "up", *arguments, folder=folder, url=url)


def _migration(change: Change) -> str:
    return (
        f'version: "{change.version}"\n'
        f"name: {change.name}\n"
        f"ddl:\n  - sql: |\n{_indented(change.up_script)}"
        f"down:\n  - sql: |\n{_indented(change.down_script)}"
    )


def _indented(text: str) -> str:
    return "".join(f"      {line}\n" for line in text.splitlines())


@dataclass(frozen=True, slots=True)
class Dbmate:
    """dbmate: one compiled program, started as such and not by way of node."""

    program: Path
    name: str = "dbmate"

    def start_up(self) -> Command:
        return Command(arguments=[self.program, "--version"])

    def write(self, folder: Path, changes: Sequence[Change]) -> None:
        migrations = folder / "db" / "migrations"
        migrations.mkdir(parents=True)
        for change in changes:
            text = f"-- migrate:up\n{change.up_script}\n-- migrate:down\n{change.down_script}"
            (migrations / f"{change.version}_{change.name}.sql").write_text(text)

    def up(self, folder: Path, socket: str, database: str) -> Command:
        url = f"postgres://postgres@/{database}?socket={quote(socket, safe='')}&sslmode=disable"
        # `migrate`, because `up` also looks whether the database is there; and no dump of the schema by pg_dump
        return Command(arguments=[self.program, "--url", url, "--no-dump-schema", "migrate"], folder=folder)


@dataclass(frozen=True, slots=True)
class Alembic:
    """Alembic with psycopg2, a transaction for each migration."""

    program: Path
    name: str = "alembic"

    def start_up(self) -> Command:
        return Command(arguments=[self.program, "--help"])

    def write(self, folder: Path, changes: Sequence[Change]) -> None:
        versions = folder / "migrations" / "versions"
        versions.mkdir(parents=True)
        (folder / "alembic.ini").write_text("[alembic]\nscript_location = migrations\n")
        (folder / "migrations" / "env.py").write_text(_ALEMBIC_ENVIRONMENT)
        (folder / "migrations" / "script.py.mako").write_text("")
        for change in changes:
            previous = f"{change.number - 1:04}" if change.number > 1 else None
            text = (
                f'"""{change.name}"""\n\nfrom alembic import op\n\n'
                f'revision = "{change.version}"\ndown_revision = {previous!r}\n\n\n'
                f"def upgrade():\n{_executed('op.execute', change.up)}\n\n"
                f"def downgrade():\n{_executed('op.execute', change.down)}"
            )
            (versions / f"{change.version}_{change.name}.py").write_text(text)

    def up(self, folder: Path, socket: str, database: str) -> Command:
        url = f"postgresql+psycopg2://postgres@/{database}?host={quote(socket, safe='')}"
        return Command(arguments=[self.program, "upgrade", "head"], folder=folder, variables={"BENCHMARK_URL": url})


_ALEMBIC_ENVIRONMENT = """\
import os

from alembic import context
from sqlalchemy import create_engine, pool

engine = create_engine(os.environ["BENCHMARK_URL"], poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=None, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
"""


@dataclass(frozen=True, slots=True)
class Yoyo:
    """yoyo-migrations with psycopg2; Python migrations, which can be undone like those of the others."""

    program: Path
    name: str = "yoyo"

    def start_up(self) -> Command:
        return Command(arguments=[self.program, "--help"])

    def write(self, folder: Path, changes: Sequence[Change]) -> None:
        folder.mkdir(parents=True)
        for change in changes:
            steps = f"{_literal(change.up_script)}, {_literal(change.down_script)}"
            text = f"from yoyo import step\n\nsteps = [step({steps})]\n"
            (folder / f"{change.version}_{change.name}.py").write_text(text)

    def up(self, folder: Path, socket: str, database: str) -> Command:
        url = f"postgresql://postgres@/{database}?host={quote(socket, safe='')}"
        arguments = ["apply", "--batch", "--no-config-file", "--database", url, str(folder)]
        return Command(arguments=[self.program, *arguments], folder=folder)


def _executed(function: str, statements: Sequence[str]) -> str:
    return "".join(f"    {function}({_literal(statement)})\n" for statement in statements)


def _literal(text: str) -> str:
    return f'"""{text}"""'
