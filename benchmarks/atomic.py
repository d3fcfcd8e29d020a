"""One large migration in one transaction."""

from __future__ import annotations

from benchmarks.bench import Bench
from benchmarks.results import Result, Row, rows_of
from benchmarks.timing import Contender, in_turns
from benchmarks.workload import large_change

TABLES = 100
ROWS = 500_000
_BASELINE = "psql -1 -f"
_CONFITURE = "confiture migrate up"
_PSQL_IDLE = "psql -c 'select 1'"
_CONFITURE_IDLE = "confiture migrate up, nothing pending"


def run(bench: Bench) -> Result:
    """The migration by psql and by confiture; and the start-up of both, so that it can be taken off."""
    change = large_change(TABLES, ROWS)
    project = bench.project(bench.confiture, "atomic", [change])
    socket = bench.server.socket

    def up(database: str) -> Contender:
        return bench.on_empty(_CONFITURE, bench.confiture.up(project, socket, database), database, TABLES)

    script = bench.file("atomic.sql", change.up_script)
    psql = bench.server.psql_command("atomic_psql", "-1", "-f", script)
    idle = bench.confiture.up(project, socket, "atomic_idle")
    contenders = [
        bench.on_empty(_BASELINE, psql, "atomic_psql", TABLES),
        up("atomic_confiture"),
        Contender(name=_PSQL_IDLE, command=bench.server.psql_command("postgres", "-c", "select 1")),
        bench.with_nothing_to_do(_CONFITURE_IDLE, idle, "atomic_idle", TABLES),
    ]
    runs = bench.runs(9)
    samples = in_turns(contenders, runs)
    psql_alone = f"{_BASELINE}, less its start-up"
    less = (
        Row(name=psql_alone, sample=samples[_BASELINE].minus(samples[_PSQL_IDLE]), against=psql_alone),
        Row(
            name=f"{_CONFITURE}, less its start-up",
            sample=samples[_CONFITURE].minus(samples[_CONFITURE_IDLE]),
            target="at most 1.03 times",
            against=psql_alone,
        ),
    )
    return Result(
        name="atomic",
        title=f"One atomic migration: {TABLES} tables, {ROWS:,} rows, {TABLES} indexes",
        how=(
            f"{runs} rounds; start-up is what the same program takes with nothing to do, for confiture with reading "
            "and parsing its files; the last row's ratio is to the row above it"
        ),
        baseline=_BASELINE,
        rows=(*rows_of(samples, {_CONFITURE: "at most 1.03 times"}), *less),
    )
