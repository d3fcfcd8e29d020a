"""Projects in a temporary folder, and the command line run in them as a user would."""

from __future__ import annotations

import importlib
import io
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from confiture.cli.app import main
from tests.support.paths import REPOSITORY

_MEMORY, _SECONDS = 1_500_000_000, 120
_FOREIGN = (
    "GITHUB_",
    "FORCE_COLOR",
    "NO_COLOR",
    "CONFITURE_",
    "DATABASE_URL",
    "PG",
    "COLUMNS",
    "CI",
    "TERM",
    "PYTHONDONTWRITEBYTECODE",
)


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
        """Runs the command as a process would, but in this one: to start one costs more than most commands do. Fails
        the test unless it exits as expected.
        """
        with _as_a_process(self.root, self.environment, ["confiture", *arguments]) as (out, err):
            try:
                main()
                code = 0
            except SystemExit as exit_:
                code = _exit_code(exit_)
        return _expected(Result(code, _text(out), _text(err)), expect)

    def process(self, *arguments: str, expect: int | None = 0) -> Result:
        """Runs the command in a process of its own, where that makes a difference."""
        done = subprocess.run(
            self.command(*arguments), cwd=self.root, env=self.environment, capture_output=True, text=True, check=False
        )
        return _expected(Result(done.returncode, done.stdout, done.stderr), expect)

    def bounded(self, *arguments: str, expect: int | None = None) -> Result:
        """Runs the command in a process that may neither wait for ever nor take all memory."""
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY)),
        )
        return _expected(Result(done.returncode, done.stdout, done.stderr), expect)

    def limited(self, *arguments: str) -> Result:
        """Run the command in this process, limited like `bounded`. For what cannot crash the process."""
        with _limits():
            return self.run(*arguments, expect=None)

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


def _expected(result: Result, code: int | None) -> Result:
    assert code is None or result.code == code, f"exit {result.code}\n{result.out}\n{result.err}"
    return result


@contextmanager
def _limits() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TimeoutError(f"still busy after {_SECONDS} seconds")

    former = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    handler = signal.signal(signal.SIGALRM, stop)
    resource.setrlimit(resource.RLIMIT_AS, (used + _MEMORY, former[1]))
    signal.alarm(_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        resource.setrlimit(resource.RLIMIT_AS, former)
        signal.signal(signal.SIGALRM, handler)


@contextmanager
def _as_a_process(
    root: Path, environment: Mapping[str, str], arguments: list[str]
) -> Iterator[tuple[io.TextIOWrapper, io.TextIOWrapper]]:
    """Folder, environment, arguments and streams as a new process has them, and none of the project's modules. All is
    put back afterwards.
    """
    former = Path.cwd(), dict(os.environ), sys.argv, [*sys.path], {*sys.modules}, sys.stdin, sys.stdout, sys.stderr
    out, err = _stream(), _stream()
    os.chdir(root)
    _set_environment(environment)
    sys.argv, sys.path = arguments, [str(root), *sys.path]
    sys.stdin, sys.stdout, sys.stderr = _stream(), out, err
    importlib.invalidate_caches()
    try:
        yield out, err
    finally:
        folder, environ, sys.argv, sys.path, modules, sys.stdin, sys.stdout, sys.stderr = former
        os.chdir(folder)
        _set_environment(environ)
        for name in sys.modules.keys() - modules:
            if _is_below(root, getattr(sys.modules[name], "__file__", None)):
                del sys.modules[name]


def _is_below(root: Path, file: str | None) -> bool:
    return file is not None and Path(file).is_relative_to(root)


def _set_environment(environment: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()


def _stream() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)


def _text(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()


def _exit_code(exit_: SystemExit) -> int:
    assert exit_.code is None or isinstance(exit_.code, int), exit_.code
    return exit_.code or 0


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
