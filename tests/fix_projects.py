"""Projects in a temporary folder, and the command line run in them as a user would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

REPOSITORY = Path(__file__).parent.parent
_FOREIGN = ("GITHUB_", "FORCE_COLOR", "NO_COLOR", "CONFITURE_", "DATABASE_URL", "PG", "COLUMNS", "CI", "TERM")


@dataclass
class Result:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.out)

    def step(self, name: str) -> dict[str, Any]:
        """The step of that name in the JSON report of a run."""
        return next(step for m in self.json["migrations"] for step in m["steps"] if step["name"] == name)


@dataclass
class Project:
    """A project's folder."""

    root: Path
    environ: dict[str, str] = field(default_factory=dict)

    def write(self, path: str, text: str) -> Path:
        """Writes a file of the project, its text dedented."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(dedent(text).lstrip("\n"), encoding="utf-8")
        return target

    def migration(self, name: str, text: str) -> Path:
        return self.write(f"migrations/{name}.yaml", text)

    def ddl(self, name: str, text: str) -> Path:
        return self.write(f"schemas/{name}", text)

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "confiture", *arguments]

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
        return {**kept, "PYTHONPATH": str(REPOSITORY), **self.environ}

    def run(self, *arguments: str, expect: int | None = 0) -> Result:
        """Runs the command in a process of its own; fails the test unless it exits as expected."""
        done = subprocess.run(
            self.command(*arguments), cwd=self.root, env=self.environment, capture_output=True, text=True, check=False
        )
        result = Result(done.returncode, done.stdout, done.stderr)
        assert expect is None or result.code == expect, f"exit {result.code}\n{result.out}\n{result.err}"
        return result

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Starts the command and lets it run."""
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.root,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project without migrations and without a database."""
    made = Project(tmp_path)
    made.write("confiture.yaml", "migrations: migrations\nschemas: schemas\n")
    (tmp_path / "migrations").mkdir()
    (tmp_path / "schemas").mkdir()
    return made


@pytest.fixture
def shop(project: Project, database) -> Project:
    """A project without migrations, on an empty database of each server in turn."""
    project.environ["DATABASE_URL"] = database.url
    return project


@pytest.fixture
def shop_18(project: Project, database_18) -> Project:
    """A project without migrations, on an empty database of PostgreSQL 18."""
    project.environ["DATABASE_URL"] = database_18.url
    return project
