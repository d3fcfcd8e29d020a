"""What is kept of a backfill's progress, and the picture that is made of it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from confiture.errors import Span
from confiture.models.backfill_timeline import MAX_INTERVALS, downsample, reason_category
from confiture.models.events import BackfillProgressed, BatchRetried, MigrationStarted, Outcome, RunFinished, RunStarted
from confiture.models.migration import Phase
from confiture.models.plan import Direction, StepId
from confiture.models.report_builder import ReportBuilder
from confiture.models.reports import BackfillReport, RunReport
from confiture.output.html.backfill_chart import LEFT, RIGHT, Chart, draw_chart
from confiture.output.html.run_page import run_page
from confiture.output.json.run import run_document

STEP = StepId(
    version="012",
    phase=Phase.AFTER_DDL,
    number=1,
    part=1,
    name="fill <all>",
    segment=2,
    span=Span(path="a.yaml", line=1, column=1),
)
LAG = "a replica lags 12.3 s (limit 10 s)"


def at(elapsed_s: float, batches: int, waiting_for: str | None = None, *, rows: int = 100) -> BackfillProgressed:
    """A look at a backfill whose batches take `rows` rows each."""
    return BackfillProgressed(
        step=STEP,
        elapsed_s=elapsed_s,
        source_rows=batches * rows,
        written_rows=batches * rows,
        batches=batches,
        estimated_rows=None,
        batch_rows=rows,
        rows_per_s=None,
        remaining_s=None,
        waiting_for=waiting_for,
    )


RETRY = BatchRetried(step=STEP, rows=50, attempt=1, attempts=5, wait_ms=1.0, reason="deadlock")


def folded(*events: BackfillProgressed | BatchRetried) -> RunReport:
    folding = ReportBuilder()
    folding(
        RunStarted(
            direction=Direction.UP, dry_run=False, environment="d", database="db", migrations=("012 a",), steps=1
        )
    )
    folding(MigrationStarted(version="012", name="a"))
    for event in events:
        folding(event)
    folding(RunFinished(outcome=Outcome.DONE, duration_ms=1.0))
    return folding.report


def backfill(*events: BackfillProgressed | BatchRetried) -> BackfillReport:
    (found,) = folded(*events).backfills
    return found


def drawn(*events: BackfillProgressed | BatchRetried) -> Chart:
    return draw_chart(backfill(*events))


@pytest.mark.parametrize("looks", [MAX_INTERVALS - 1, MAX_INTERVALS + 1, 5_000])
def test_what_is_kept_is_bounded_even_and_complete(looks: int) -> None:
    events: list[BackfillProgressed | BatchRetried] = []
    for second in range(looks + 1):
        events.append(at(float(second), 2 * second, LAG if second % 10 == 0 else None))
        if second % 100 == 50:
            events.append(RETRY)
    kept = backfill(*events)
    stretches = kept.intervals
    assert MAX_INTERVALS / 4 <= len(stretches) <= MAX_INTERVALS
    assert [one.end_s for one in stretches[:-1]] == [one.start_s for one in stretches[1:]], "no gaps"
    assert sum(one.source_rows for one in stretches) == looks * 200
    assert sum(one.batches for one in stretches) == looks * 2
    retries = sum(isinstance(event, BatchRetried) for event in events)
    assert sum(one.retries for one in stretches) == kept.retries == retries > 0
    held_s = sum(one.waiting_s for one in stretches)
    assert held_s == sum(kept.waiting_s_by_reason.values()) == -(-looks // 10)
    lengths = [one.end_s - one.start_s for one in downsample(stretches)[:-1]]
    assert max(lengths) == min(lengths)


def test_a_wait_counts_from_the_look_that_began_it() -> None:
    kept = backfill(at(0.0, 0), at(1.0, 1, LAG), at(2.5, 1, "a replica lags 13 s (limit 10 s)"), at(4.0, 1), at(9.0, 5))
    assert kept.waiting_s_by_reason == {"a replica lags … s (limit 10 s)": 3.0}
    assert [one.waiting_s for one in kept.intervals] == [0.0, 1.5, 1.5, 0.0]


def test_numbers_change_and_limits_stay() -> None:
    assert reason_category("the server writes 1,280.5 MB of WAL per second (limit 50.0)") == (
        "the server writes … MB of WAL per second (limit 50.0)"
    )
    assert reason_category("speeding up again after: " + LAG).endswith("lags … s (limit 10 s)")
    assert reason_category("the throttle query requests a pause") == "the throttle query requests a pause"


def test_the_median_counts_batches_and_not_looks() -> None:
    first = at(0.0, 0)
    many_small = BackfillProgressed(**{**_fields(first), "elapsed_s": 1.0, "batches": 10, "source_rows": 100})
    a_large_one = BackfillProgressed(**{**_fields(first), "elapsed_s": 2.0, "batches": 11, "source_rows": 5_100})
    another = BackfillProgressed(**{**_fields(first), "elapsed_s": 3.0, "batches": 12, "source_rows": 10_100})
    assert backfill(first, many_small, a_large_one, another).median_batch_rows == 10
    assert backfill(first).median_batch_rows is None


def _fields(event: BackfillProgressed) -> dict[str, Any]:
    return {name: getattr(event, name) for name in BackfillProgressed.__slots__}


def test_what_earlier_runs_did_is_not_the_rate_of_this_one() -> None:
    report = folded(at(0.0, 1_000), at(10.0, 1_010), RETRY, at(20.0, 1_020, LAG), at(30.0, 1_020))
    (told,) = run_document(report)["backfills"]
    assert told == {
        "version": "012",
        "phase": "after_ddl",
        "step": "fill <all>",
        "segment": 2,
        "filled_ms": 30_000.0,
        "source_rows": 102_000,
        "written_rows": 102_000,
        "batches": 1_020,
        "source_rows_before": 100_000,
        "written_rows_before": 100_000,
        "batches_before": 1_000,
        "retries": 1,
        "median_batch_rows": 100.0,
        "held_back": [{"reason": "a replica lags … s (limit 10 s)", "seconds": 10.0}],
    }
    found = draw_chart(report.backfills[0])
    assert found.summary == (
        "2,000 rows of the driving table in 30.0 s, 67 per second, 20 batches of 100 (median), 1 retried,"
        " 100,000 rows done by earlier runs."
    )


def test_curves_lie_within_their_frames_and_shades_where_it_was_held_back() -> None:
    events = [at(float(second), min(second, 40) + max(second - 60, 0), LAG if 40 <= second < 60 else None, rows=137)
              for second in range(101)]  # fmt: skip
    found = drawn(*events)
    for panel in found.panels:
        points = [tuple(map(float, point.split(","))) for point in panel.points.split()]
        assert [points[0][0], points[-1][0]] == [LEFT, RIGHT]
        assert all(panel.top <= y <= panel.bottom for _, y in points)
    (shade,) = found.bands
    assert shade.x == pytest.approx(LEFT + 0.4 * (RIGHT - LEFT), abs=0.2)
    assert shade.width == pytest.approx(0.2 * (RIGHT - LEFT), abs=0.2)
    assert shade.title == f"throttled for 20.0 s: {LAG}"
    assert found.legend == (("hold0", "throttled for 20.0 s: a replica lags … s (limit 10 s)"),)
    rate, size = found.panels
    assert [label for _, label in rate.ticks] == ["200", "100", "0"]
    assert len({point.split(",")[1] for point in size.points.split()}) == 1
    middle = rate.points.split()[50]
    assert float(middle.split(",")[1]) == rate.bottom, "nothing was filled then"


def test_slow_batches_do_not_look_like_stops() -> None:
    """A batch of 10 s arrives in one lump: between two of them the rate is not zero."""
    found = drawn(*(at(float(second), second // 10) for second in range(121)))
    values = [float(point.split(",")[1]) for point in found.panels[0].points.split()]
    middle = values[20:-20]
    assert max(middle) < found.panels[0].bottom
    assert max(middle) - min(middle) < 0.35 * (found.panels[0].bottom - found.panels[0].top)


@pytest.mark.parametrize(
    ("seconds", "last"), [(4, "4 s"), (100, "90 s"), (600, "10 min"), (5_400, "90 min"), (9_000, "2:30 h")]
)
def test_times_are_round(seconds: int, last: str) -> None:
    found = drawn(*(at(seconds * part / 10, part) for part in range(11)))
    assert found.ticks[-1][1] == last
    assert 3 <= len(found.ticks) <= 9


def test_the_page_shows_each_backfill_and_needs_no_network() -> None:
    page = run_page(
        folded(*(at(float(second), second, LAG if second == 3 else None) for second in range(9)), RETRY, at(9.0, 9))
    )
    assert "Backfills over time" in page
    assert "012 after_ddl: fill &lt;all&gt;" in page
    assert f"<title>throttled for 1.0 s: {LAG}</title>" in page
    assert "<title>retried batches: 1</title>" in page
    assert not re.findall(r"<script|https?://|@import|url\(", page)


def test_one_that_was_over_at_once_is_told_without_a_picture() -> None:
    page = run_page(folded(at(0.0, 0), at(0.4, 9)))
    assert "900 rows of the driving table in 400 ms" in page
    assert "<svg" not in page
    assert "Backfills over time" not in run_page(folded())
