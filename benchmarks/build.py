"""How long it takes to build a large schema from its files, compared with psql on one file of the same SQL."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.lint import make_project
from benchmarks.results import Result, rows_of
from benchmarks.timing import Command, Contender, in_turns

_PSQL = "psql -1 -f"


def run(bench: Bench) -> Result:
    """The project of the lint benchmark: in path order, by dependencies, and as one file by psql."""
    folder = make_project(bench, 1)
    by_dependencies = _with_order(folder)
    whole = bench.server.folder / "whole.sql"
    write = bench.confiture.command("build", "--output", str(whole), folder=folder)
    subprocess.run([*map(str, write.arguments)], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    contenders = [
        _contender(bench, _PSQL, bench.server.psql_command("psql_build", "-1", "-f", whole), "psql_build"),
        _build(bench, "confiture build", folder, "path_build"),
        _build(bench, "confiture build, order: dependencies", by_dependencies, "ordered_build"),
        Contender(name="confiture build --output", command=write),
    ]
    runs = bench.runs(5)
    targets = {
        "confiture build": "at most 1.0 times",
        "confiture build, order: dependencies": "at most 1.3 times",
        "confiture build --output": "reading and parsing: under 1,000 ms",
    }
    return Result(
        name="build",
        title="Build of 1,256 files, 50,000 lines, 13,988 statements",
        how=f"{runs} rounds; an empty database each time; one transaction",
        baseline=_PSQL,
        rows=rows_of(in_turns(contenders, runs), targets),
        shows_memory=True,
    )


def _build(bench: Bench, name: str, folder: Path, database: str) -> Contender:
    command = bench.confiture.command("build", folder=folder, url=bench.server.url(database))
    return _contender(bench, name, command, database)


def _contender(bench: Bench, name: str, command: Command, database: str) -> Contender:
    return Contender(
        name=name,
        command=command,
        prepare=lambda: bench.server.create_anew(database),
        verify=lambda: bench.server.require_some_tables(database),
    )


def _with_order(folder: Path) -> Path:
    """A copy of the project whose files are built in the order of their dependencies."""
    copy = folder.with_name(f"{folder.name}_ordered")
    if not copy.exists():
        shutil.copytree(folder, copy)
        with (copy / "confiture.yaml").open("a") as settings:
            settings.write("\nbuild: {order: dependencies}\n")
    return copy
