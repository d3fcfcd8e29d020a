"""A dry run beside the real run of the same migration."""

from __future__ import annotations

from benchmarks.atomic import ROWS, TABLES
from benchmarks.bench import Bench
from benchmarks.results import Result, rows_of
from benchmarks.timing import in_turns
from benchmarks.workload import large_change

_BASELINE = "confiture migrate up"
_DRY_RUN = "confiture migrate up --dry-run"


def run(bench: Bench) -> Result:
    """The large migration of the benchmark `atomic`, for real and rolled back."""
    project = bench.project(bench.confiture, "atomic", [large_change(TABLES, ROWS)])
    socket = bench.server.socket
    real = bench.confiture.up(project, socket, "dry_run_real")
    rehearsal = bench.confiture.up(project, socket, "dry_run_rehearsal", "--dry-run")
    contenders = [
        bench.on_empty(_BASELINE, real, "dry_run_real", TABLES),
        bench.on_empty(_DRY_RUN, rehearsal, "dry_run_rehearsal", 0),
    ]
    runs = bench.runs(9)
    return Result(
        name="dry-run",
        title="Dry run of that migration",
        how=f"{runs} rounds; each on an empty database; a dry run leaves no table behind, which is looked at",
        baseline=_BASELINE,
        rows=rows_of(in_turns(contenders, runs), {_DRY_RUN: "within 10 % of 1"}),
    )
