"""What reports say of runs that are made up: each format holds all that people need."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from confiture.errors import Diagnostic, Span
from confiture.models.events import Notice, Outcome, RunFinished, RunStarted
from confiture.models.history import AppliedMigration, HistoryOrigin, MigrationState, PredictionOutcome
from confiture.models.hooks import TRANSACTION_ENDED
from confiture.models.migration import Phase
from confiture.models.plan import Direction, StepId
from confiture.models.report_builder import ReportBuilder
from confiture.models.reports import MigrationReport, RunReport, StepReport
from confiture.models.trace import Estimate, LockMode, LockTrace, StatementTrace, TableScan
from confiture.output.ci.markdown import run_markdown
from confiture.output.html.run_page import run_page
from confiture.output.lock_lanes import lock_lanes, run_end_ms
from confiture.output.summaries import estimate_summary, run_summary
from confiture.output.terminal.run import print_run
from confiture.output.terminal.status import print_status
from confiture.plan.history import MigrationStatus

LONG_NAME = "w_customers_of_the_northern_region"


def statement(number: int, started_ms: float, *locks: LockTrace, **changes: Any) -> StatementTrace:
    step = StepId(
        version="001",
        phase=Phase.DDL,
        number=number,
        part=1,
        segment=1,
        name=f"step {number}",
        span=Span(path="a.yaml", line=1, column=1),
    )
    fields = {"text": "SELECT 1", "duration_ms": 100.0, **changes}
    return StatementTrace(step=step, number=number, started_ms=started_ms, locks=locks, **fields)


def lock(relation: str, mode: LockMode, taken_ms: float, released_ms: float) -> LockTrace:
    return LockTrace(relation=relation, kind="table", mode=mode, acquired_ms=taken_ms, released_ms=released_ms)


def dry_run(*statements: StatementTrace, **changes: Any) -> RunReport:
    """A dry run of one migration; each statement is a step that went well."""
    steps = tuple(StepReport(step=s.step, outcome=Outcome.DONE, duration_ms=s.duration_ms) for s in statements)
    fields = {
        "outcome": Outcome.DONE,
        "migrations": (MigrationReport(version="001", name="a", steps=steps, outcome=Outcome.DONE, duration_ms=900.0),),
        **changes,
    }
    return RunReport(
        direction=Direction.UP,
        dry_run=True,
        environment="dev",
        database="db",
        statements=statements,
        duration_ms=1000.0,
        **fields,
    )


def printed(report: RunReport, width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False, emoji=False)
    print_run(console, report)
    return console.file.getvalue()  # type: ignore[attr-defined]


def everywhere(report: RunReport) -> dict[str, str]:
    return {"text": printed(report), "markdown": run_markdown(report), "html": run_page(report)}


SHARE_THEN_EXCLUSIVE = dry_run(
    statement(1, 0.0, lock("w_orders", LockMode.SHARE, 0.0, 841.0)),
    statement(2, 840.0, lock("w_orders", LockMode.ACCESS_EXCLUSIVE, 840.0, 841.0)),
)


def test_a_short_strong_lock_does_not_hide_a_long_weaker_one() -> None:
    (lane,) = lock_lanes(SHARE_THEN_EXCLUSIVE.locks)
    assert (lane.no_reads_ms, lane.no_writes_ms) == (1.0, 841.0)
    for text in everywhere(SHARE_THEN_EXCLUSIVE).values():
        assert re.search(r"ACCESS EXCLUSIVE.{1,60}1\.0 ms.{1,60}841 ms", text)


def test_locks_of_two_transactions_are_not_added_up() -> None:
    held = [lock("w_orders", LockMode.SHARE, start, start + 100.0) for start in (0.0, 300.0)]
    (lane,) = lock_lanes(held)
    assert (lane.no_reads_ms, lane.no_writes_ms) == (None, 100.0)


def test_the_timeline_ends_with_the_run() -> None:
    report = dry_run(statement(1, 0.0, lock("w", LockMode.SHARE, 0.0, 100.0)), statement(2, 100.0, duration_ms=1900.0))
    assert run_end_ms(report) == 2000.0
    for name, text in everywhere(report).items():
        assert "2.0 s" in text or name == "markdown"


@pytest.mark.parametrize("width", [50, 60, 80, 120])
def test_the_timeline_fits(width: int) -> None:
    report = dry_run(
        statement(1, 0.0, lock(LONG_NAME, LockMode.ACCESS_EXCLUSIVE, 0.0, 50.0), lock("w_b", LockMode.SHARE, 0.0, 50.0))
    )
    text = printed(report, width)
    (row,) = [line for line in text.splitlines() if line.startswith("w_cu")]
    assert len(row) <= width
    assert ("…" in row) == (width < 120)
    assert row.count("█") >= 7
    assert ("Strongest lock" in text) == (width >= 80)


def test_blank_lines_stand_between_parts_only() -> None:
    index = lock("w_pkey", LockMode.ACCESS_EXCLUSIVE, 0.0, 50.0)
    only_indexes = dry_run(statement(1, 0.0, LockTrace(**{**_fields(index), "kind": "index"})))
    failed = dry_run(outcome=Outcome.ROLLED_BACK, migrations=())
    for report in (only_indexes, failed, SHARE_THEN_EXCLUSIVE):
        assert "\n\n\n" not in printed(report)
        assert not printed(report).startswith("\n")


def _fields(trace: LockTrace) -> dict[str, Any]:
    return {name: getattr(trace, name) for name in ("relation", "kind", "mode", "acquired_ms", "released_ms")}


def test_what_statements_cost_is_told() -> None:
    report = dry_run(
        statement(1, 0.0, scans=(TableScan(table="w_big", scans=1, rows=20_000),), rewrites=("w_big",)),
        statement(2, 1.0, wal_bytes=3 * 1024 * 1024, temp_bytes=2048, indexes_built=("b_idx",)),
        statement(3, 2.0, scans=(TableScan(table="w_small", scans=1, rows=5),), wal_bytes=100),
    )
    text, markdown = printed(report), run_markdown(report)
    assert "001 step 1: reads 20,000 rows from w_big, rewrites w_big\n" in text
    assert "001 step 2: builds b_idx, 3.0 MB of WAL, 2.0 kB of temporary files\n" in text
    assert "- 001 step 2: builds b\\_idx, 3.0 MB of WAL, 2.0 kB of temporary files\n" in markdown
    assert "small" not in text + markdown, "little is left out"


def test_statements_of_one_step_are_told_apart() -> None:
    step = statement(1, 0.0).step
    both = [replace(statement(n, n, rewrites=("w_a",)), step=step, text=f"ALTER TABLE w_{n} ADD x int") for n in (1, 2)]
    report = dry_run(*both)
    for number in (1, 2):
        assert f"001 step 1: ALTER TABLE w_{number} ADD x int: rewrites w_a" in printed(report)
    assert "001 step 1: rewrites w_a" in printed(dry_run(both[0]))


def test_notes_and_retries_are_in_every_report() -> None:
    migration = MigrationReport(version="001", name="a", outcome=Outcome.DONE, duration_ms=1.0, retries=2)
    report = dry_run(migrations=(migration,), notes=("the holder of <all> locks",))
    for name, text in everywhere(report).items():
        assert "001 a: rolled back and retried 2 times." in text
        # at a terminal, notes are told as they come
        assert "the holder of" in text or name == "text"


def test_a_run_that_ended_before_anything_ran_was_not_rolled_back() -> None:
    folding = ReportBuilder()
    folding(RunStarted(direction=Direction.UP, dry_run=True, environment="d", database="db", migrations=(), steps=0))
    folding(Notice(text="a note"))
    folding(RunFinished(outcome=Outcome.FAILED, duration_ms=3.0))
    assert run_summary(folding.report) == "Dry run on db (d) ended before anything ran. Nothing changed."


def test_names_keep_their_capitals() -> None:
    ended = Diagnostic(code=TRANSACTION_ENDED, message="a hook ended it")
    report = replace(dry_run(), database="Host/Shop", environment="DE", outcome=Outcome.FAILED, diagnostics=(ended,))
    assert run_summary(replace(report, dry_run=False)).startswith(
        "Some changes on Host/Shop (DE) may have been committed"
    )


def estimate(**changes: Any) -> Estimate:
    fields = {"low_ms": None, "high_ms": None, "confidence_percent": None, "level_percent": 90, "is_scaled": False}
    return Estimate(production_ms=0.4, runs=1, **{**fields, **changes})


def test_how_sure_an_estimate_is() -> None:
    def said(**changes: Any) -> list[str]:
        return estimate_summary(dry_run(estimate=estimate(**changes)))

    assert said()[0] == "Estimate: under 1 ms (1 dry run on this database)."
    assert said()[-1] == "Confidence: unknown after only one run; `--repeat 5` measures the spread."
    assert said(is_scaled=True)[-1] == "Confidence: unknown, because the times were scaled."
    assert said(low_ms=2.0, high_ms=4.0, level_percent=None)[1] == "Range: 2.0 ms to 4.0 ms."
    assert (
        said(low_ms=2.0, high_ms=4.0)[1]
        == "Range: 2.0 ms to 4.0 ms, intended to contain the real duration in 90 of 100 runs."
    )


def test_the_last_tick_of_the_page_is_not_cut_off() -> None:
    assert re.findall(r'text-anchor="(middle|end)">(?:0|[\d.]+ m?s)<', run_page(SHARE_THEN_EXCLUSIVE)) == [
        *["middle"] * 4,
        "end",
    ]


@pytest.mark.parametrize("low_ms", [None, 9.0])
def test_status_says_by_what_a_prediction_from_a_single_run_is_judged(low_ms: float | None) -> None:
    row = AppliedMigration(
        position=1,
        version="001",
        name="a",
        state=MigrationState.APPLIED,
        origin=HistoryOrigin.RUN,
        attempt="",
        checksum="",
        chain="",
        steps=(),
        prediction_outcome=PredictionOutcome(
            predicted_ms=10.0, low_ms=low_ms, high_ms=low_ms and 12.0, measured_ms=10.0
        ),
    )
    console = Console(file=io.StringIO(), width=120)
    print_status(
        console, MigrationStatus(project="default", applied=(row,), pending=(), drift=(), out_of_order=()), "db", "dev"
    )
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert ("A prediction without a range counts as correct within 15 %." in said) == (low_ms is None)
