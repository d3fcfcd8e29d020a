"""How long it takes until the command line says something."""

from __future__ import annotations

import sys

from benchmarks.bench import Bench
from benchmarks.results import Result, rows_of
from benchmarks.timing import Command, Contender, in_turns

_TARGET = "under 200 ms"
_HOOKS_TARGET = "under 60 ms more than Python"
_HOOKS = "from confiture.core import Hook, HookPhase, HookResult, register_hook"
_HOOKS_NAME = "python -c 'from confiture.core import Hook, ...'"
_BASELINE = "python -c pass"


def run(bench: Bench) -> Result:
    """`--help` and `--version`, beside bare Python and the driver's import, which is what any such tool needs; and what
    a file with hooks imports.
    """
    contenders = [
        Contender(name=_BASELINE, command=Command(arguments=[sys.executable, "-c", "pass"])),
        Contender(
            name="python -c 'import psycopg'", command=Command(arguments=[sys.executable, "-c", "import psycopg"])
        ),
        Contender(name=_HOOKS_NAME, command=Command(arguments=[sys.executable, "-c", _HOOKS])),
        Contender(name="confiture --version", command=bench.confiture.command("--version")),
        Contender(name="confiture --help", command=bench.confiture.command("--help")),
        Contender(name="confiture migrate up --help", command=bench.confiture.command("migrate", "up", "--help")),
    ]
    for peer in bench.peers:
        command = peer.start_up()
        contenders.append(Contender(name=f"{peer.name} {command.arguments[-1]}", command=command))
    runs = bench.runs(20)
    targets = dict.fromkeys(("confiture --version", "confiture --help"), _TARGET) | {_HOOKS_NAME: _HOOKS_TARGET}
    return Result(
        name="start-up",
        title="Start-up",
        how=f"{runs} rounds; no database",
        baseline=_BASELINE,
        rows=rows_of(in_turns(contenders, runs), targets),
    )
