"""A dry run beside the real run of the same migration."""

from __future__ import annotations

from functools import partial

import psycopg

from benchmarks.atomic import ROWS, TABLES
from benchmarks.bench import Bench
from benchmarks.results import Result, rows_of
from benchmarks.server import Server
from benchmarks.timing import Contender, in_turns
from benchmarks.workload import large_change

_BASELINE = "confiture migrate up"
_DRY_RUN = "confiture migrate up --dry-run"
_WITH_A_TABLE = f"{_DRY_RUN}, with a table"
_TARGET = "within 10 % of 1"


def run(bench: Bench) -> Result:
    """The large migration of the benchmark `atomic`, for real and rolled back.

    Also where a table was there before, which has nothing to do with it: locks are of interest only then.
    """
    project = bench.project(bench.confiture, "atomic", [large_change(TABLES, ROWS)])
    socket = bench.server.socket
    real = bench.confiture.up(project, socket, "dry_run_real")
    rehearsal = bench.confiture.up(project, socket, "dry_run_rehearsal", "--dry-run")
    contenders = [
        bench.on_empty(_BASELINE, real, "dry_run_real", TABLES),
        bench.on_empty(_DRY_RUN, rehearsal, "dry_run_rehearsal", 0),
        Contender(
            name=_WITH_A_TABLE,
            command=rehearsal,
            prepare=partial(_create_with_a_table, bench.server, "dry_run_rehearsal"),
            verify=partial(bench.server.require_tables, "dry_run_rehearsal", 0),
        ),
    ]
    runs = bench.runs(9)
    return Result(
        name="dry-run",
        title="Dry run of that migration",
        how=f"{runs} rounds; each on an empty database; a dry run leaves no table behind, which is looked at",
        baseline=_BASELINE,
        rows=rows_of(in_turns(contenders, runs), {_DRY_RUN: _TARGET, _WITH_A_TABLE: _TARGET}),
    )


def _create_with_a_table(server: Server, database: str) -> None:
    server.create_anew(database)
    with psycopg.connect(server.url(database)) as connection:
        connection.execute("CREATE TABLE before (id int PRIMARY KEY)")
