"""How long it takes until the command line says something."""

from __future__ import annotations

import sys

from benchmarks.bench import Bench
from benchmarks.results import Result, rows_of
from benchmarks.timing import Command, Contender, in_turns

_TARGET = "under 200 ms"
_BASELINE = "python -c pass"


def run(bench: Bench) -> Result:
    """`--help` and `--version`, beside bare Python and the driver's import, which is what any such tool needs."""
    contenders = [
        Contender(name=_BASELINE, command=Command(arguments=[sys.executable, "-c", "pass"])),
        Contender(
            name="python -c 'import psycopg'", command=Command(arguments=[sys.executable, "-c", "import psycopg"])
        ),
        Contender(name="confiture --version", command=bench.confiture.command("--version")),
        Contender(name="confiture --help", command=bench.confiture.command("--help")),
        Contender(name="confiture migrate up --help", command=bench.confiture.command("migrate", "up", "--help")),
    ]
    for peer in bench.peers:
        command = peer.start_up()
        contenders.append(Contender(name=f"{peer.name} {command.arguments[-1]}", command=command))
    runs = bench.runs(20)
    targets = dict.fromkeys(("confiture --version", "confiture --help"), _TARGET)
    return Result(
        name="start-up",
        title="Start-up",
        how=f"{runs} rounds; no database",
        baseline=_BASELINE,
        rows=rows_of(in_turns(contenders, runs), targets),
    )
