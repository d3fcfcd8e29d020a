"""Random edits of schema files, pins and applied migrations: `up` names the command that helps, and a replay on a fresh
database gives the same schema.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from tests.support.projects import Project, Result
from tests.support.properties import generator, seeds
from tests.support.servers import Database

_EDITS = 20
_COMMAND = re.compile(r"`((?:rm|confiture) [^`]+)`")


@dataclass
class Author:
    """Somebody who edits a project at random."""

    project: Project
    random: Random
    environment: str
    migrations: int = 0
    edits: list[str] = field(default_factory=list)

    def edit(self) -> None:
        actions = [self.add, self.add, self.change, self.change, self.remove, self.pin, self.unpin, self.undo]
        action = self.random.choice([*actions, self.damage, self.replace_pins] if self.migrations else [self.add])
        self.edits.append(action.__name__)
        action()

    def add(self) -> None:
        """A migration that runs one or two schema files, new or old."""
        self.migrations += 1
        number = self.migrations
        name = self.random.choice(["f1.sql", "g/f2.sql", "schemas/f3.sql"])
        self.write_function(self.project.root / "schemas" / name.removeprefix("schemas/"))
        lines = [f"ddl: [t{number}.sql, {name}]", f"down: [{{sql: DROP TABLE t{number}}}]"]
        self.project.ddl(f"t{number}.sql", f"CREATE TABLE t{number} (x int);")
        self.project.migration(f"{number:03}_m", "\n".join(lines) + "\n")

    def write_function(self, path: Path) -> None:
        body = f"SELECT {self.random.randrange(1000)}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"CREATE OR REPLACE FUNCTION {path.stem}() RETURNS int LANGUAGE sql AS '{body}';\n")

    def change(self) -> None:
        for path in self.some(self.schema_files()):
            if path.name.startswith("f"):
                self.write_function(path)
            else:
                path.write_text(path.read_text().replace(" int", f" int, y{self.random.randrange(10**6)} int", 1))

    def remove(self) -> None:
        for path in self.some(self.schema_files()):
            path.unlink()

    def pin(self) -> None:
        self.project.run("migrate", "pin", *(f"{self.random.randint(1, self.migrations):03}" for _ in range(1)))

    def unpin(self) -> None:
        for path in self.some(self.pins()):
            path.unlink()

    def damage(self) -> None:
        for path in self.some(self.pins()):
            path.write_text(path.read_text() + "SELECT 1;\n")

    def undo(self) -> None:
        """Undo the last migration. What is pending then has its files: those are edited, but not removed."""
        self.project.run("migrate", "pin")
        self.project.run("migrate", "down", "--env", self.environment)
        self.change()

    def replace_pins(self) -> None:
        self.undo()
        version = f"{self.migrations:03}"
        self.project.run("migrate", "pin", "--replace", version)

    def some(self, paths: list[Path]) -> list[Path]:
        return self.random.sample(paths, min(len(paths), self.random.randint(1, 3)))

    def schema_files(self) -> list[Path]:
        return sorted((self.project.root / "schemas").rglob("*.sql"))

    def pins(self) -> list[Path]:
        return sorted((self.project.root / "migrations").rglob("*.sql"))

    def up(self) -> None:
        """Run `up`; if it refuses, run the one command that it names."""
        for _ in range(2 * self.migrations + 1):
            result = self.project.run("migrate", "up", "--env", self.environment, expect=None)
            if result.code == 0:
                return
            self.obey(result)
        pytest.fail(f"up still refuses after {self.edits}: {result.err}")

    def obey(self, result: Result) -> None:
        named = _COMMAND.search(" ".join(result.err.split()))
        assert named, f"after {self.edits}, up names no command: exit {result.code}\n{result.err}"
        for part in named[1].split(" && "):
            program, *arguments = shlex.split(part)
            if program == "rm":
                for path in arguments:
                    (self.project.root / path).unlink()
            else:
                self.project.run(*arguments)


@pytest.mark.property
@pytest.mark.parametrize("seed", seeds(2))
def test_a_replay_equals_the_database_whatever_was_edited(shop_18: Project, database_18: Database, seed: int) -> None:
    shop_18.write("confiture.yaml", "environments: {strict: {pins: required}, lenient: {pins: warn}}")
    shop_18.environ["CONFITURE_ENV"] = environment = "strict" if seed % 2 else "lenient"
    author = Author(shop_18, generator(seed), environment)
    for _ in range(_EDITS):
        author.edit()
        author.up()
    shop_18.run("migrate", "pin")
    replay = Database(database_18.server, f"{database_18.name}_replay")
    database_18.server.execute(f"CREATE DATABASE {replay.name}")
    try:
        shop_18.run("migrate", "up", "--env", author.environment, "--database", replay.url)
        assert replay.dump() == database_18.dump(), author.edits
    finally:
        database_18.server.execute(f"DROP DATABASE {replay.name} WITH (FORCE)")
