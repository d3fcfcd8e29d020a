"""Many small migrations, each committed by itself."""

from __future__ import annotations

from benchmarks.bench import Bench
from benchmarks.results import Result, rows_of
from benchmarks.timing import in_turns
from benchmarks.workload import SMALL_MIGRATIONS, small_changes

_BASELINE = "psql, one transaction per file"


def run(bench: Bench) -> Result:
    """All migrations onto an empty database, beside one psql that does the same and keeps no history."""
    changes = small_changes()
    script = bench.file("small.sql", "".join(f"BEGIN;\n{change.up_script}COMMIT;\n" for change in changes))
    psql = bench.server.psql_command("small_psql", "-f", script)
    contenders = [bench.on_empty(_BASELINE, psql, "small_psql", len(changes))]
    for tool in bench.tools:
        database = f"small_{tool.name}"
        command = tool.up(bench.project(tool, "small", changes), bench.server.socket, database)
        contenders.append(bench.on_empty(tool.name, command, database, len(changes)))
    runs = bench.runs(7)
    return Result(
        name="small-migrations",
        title=f"{SMALL_MIGRATIONS} small migrations onto an empty database",
        how=f"{runs} rounds; each migration makes a table and an index and commits",
        baseline=_BASELINE,
        rows=rows_of(in_turns(contenders, runs), {"confiture": "at most 1.3 times"}),
    )
