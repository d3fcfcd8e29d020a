"""How long lint takes for a large project, and for one of ten times the size."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.linters import ConfitureLint, Linter
from benchmarks.results import Result, rows_of
from benchmarks.timing import Contender, in_turns

_LARGER = 10


def run(bench: Bench) -> Result:
    """The same project by each linter; confiture and squawk also with ten times the files."""
    folder = make_project(bench, 1)
    larger = make_project(bench, _LARGER)
    own = ConfitureLint(bench.confiture)
    times = f"{_LARGER} times the files"
    contenders = [
        _contender(own, folder),
        _contender(own, larger, times),
        *(_contender(linter, folder) for linter in bench.linters),
        *(_contender(linter, larger, times) for linter in bench.linters if linter.scales),
    ]
    runs = bench.runs(5)
    targets = {
        own.name: "under 1,000 ms and 150 MB",
        f"{own.name}, {times}": f"at most {_LARGER} times",
        "fraiseql-confiture lint": "at least 20 times",
    }
    return Result(
        name="lint",
        title="Lint of 1,256 files, 50,000 lines",
        how=f"{runs} rounds; no database; a new process each time, its files in the cache of the operating system",
        baseline=own.name,
        rows=rows_of(in_turns(contenders, runs), targets),
        shows_memory=True,
    )


def make_project(bench: Bench, scale: int) -> Path:
    """The folder of the large project, with `scale` times the usual files."""
    folder = bench.server.folder / f"lint_{scale}"
    if not folder.exists():
        # a process of its own: what this one has had of memory counts as that of the programs that it starts
        subprocess.run([sys.executable, "-m", "benchmarks.shop", str(folder), str(scale)], check=True)
    return folder


def _contender(linter: Linter, folder: Path, what: str = "") -> Contender:
    name = f"{linter.name}, {what}" if what else linter.name
    return Contender(name=name, command=linter.lint(folder), ends_with=linter.ends_with)
