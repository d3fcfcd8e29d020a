"""How long it takes to find that nothing is to be done: the commonest run of all."""

from __future__ import annotations

from benchmarks.bench import Bench
from benchmarks.results import Result, rows_of
from benchmarks.timing import Contender, in_turns
from benchmarks.workload import SMALL_MIGRATIONS, small_changes

_BASELINE = "psql -c 'select 1'"


def run(bench: Bench) -> Result:
    """`migrate up` where all migrations are applied."""
    changes = small_changes()
    contenders = [Contender(name=_BASELINE, command=bench.server.psql_command("postgres", "-c", "select 1"))]
    for tool in bench.tools:
        database = f"pending_{tool.name}"
        command = tool.up(bench.project(tool, "small", changes), bench.server.socket, database)
        contenders.append(bench.with_nothing_to_do(tool.name, command, database, len(changes)))
    runs = bench.runs(10)
    return Result(
        name="nothing-pending",
        title=f"Nothing pending, {SMALL_MIGRATIONS} migrations applied",
        how=f"{runs} rounds; one file a migration, which makes a table and an index",
        baseline=_BASELINE,
        rows=rows_of(in_turns(contenders, runs), {"confiture": "under 350 ms"}),
    )
