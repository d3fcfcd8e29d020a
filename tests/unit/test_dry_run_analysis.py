"""What is concluded from traces: warnings, leftovers, scaled times, whose prediction it was; without a database."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from confiture.core.dry_run.estimates import estimate_duration
from confiture.core.dry_run.lint_warnings import merge_lint_and_measured
from confiture.core.dry_run.scaling import Scale
from confiture.core.dry_run.trace import PausableClock
from confiture.core.dry_run.warnings import find_warnings, residual_effects
from confiture.errors import Span
from confiture.files.predictions import PredictionStore
from confiture.models.findings import Finding
from confiture.models.migration import Phase
from confiture.models.plan import StepId
from confiture.models.predictions import Prediction
from confiture.models.settings import Severity
from confiture.models.trace import DryRunWarning, LockMode, LockTrace, StatementTrace, TableRows, TableScan, worst_locks


def lock(relation: str, mode: LockMode, held_ms: float = 0.0, kind: str = "table") -> LockTrace:
    return LockTrace(relation=relation, kind=kind, mode=mode, acquired_ms=0.0, released_ms=held_ms)


def trace(text: str, *locks: LockTrace, segment: int = 1, took_ms: float = 10.0, **seen: Any) -> StatementTrace:
    span = Span(path="m.yaml", line=1)
    step = StepId(version="1", phase=Phase.DDL, number=1, part=1, name=text, segment=segment, span=span)
    return StatementTrace(step=step, number=1, text=text, started_ms=0.0, duration_ms=took_ms, locks=locks, **seen)


def wrote(table: str, inserted: int = 0, updated: int = 0) -> TableRows:
    return TableRows(table=table, inserted=inserted, updated=updated, deleted=0)


def codes(*traces: StatementTrace, threshold_ms: float = 500) -> list[tuple[str, str | None]]:
    return [(warning.code, warning.table) for warning in find_warnings(traces, threshold_ms)]


INDEX = trace("CREATE INDEX ON big (a)", lock("big", LockMode.SHARE, 840), took_ms=840)


def test_a_short_strong_lock_does_not_hide_a_long_weaker_one() -> None:
    add = trace("ALTER TABLE big ADD COLUMN b int", lock("big", LockMode.ACCESS_EXCLUSIVE, 2))
    (warning,) = find_warnings([INDEX, add], 500)
    assert (warning.code, warning.measured_ms) == ("long-lock", 840)
    assert "CREATE INDEX CONCURRENTLY" in warning.hint
    (worst,) = worst_locks([*INDEX.locks, *add.locks])
    assert worst.mode is LockMode.ACCESS_EXCLUSIVE, "without a threshold the strongest counts"


@pytest.mark.parametrize(
    ("tables", "segments", "mode", "warned"),
    [
        (10, 1, LockMode.ACCESS_EXCLUSIVE, True),
        (10, 1, LockMode.SHARE, True),
        (9, 1, LockMode.ACCESS_EXCLUSIVE, False),
        (18, 2, LockMode.ACCESS_EXCLUSIVE, False),
        (30, 1, LockMode.ROW_EXCLUSIVE, False),
    ],
)
def test_many_strong_locks_in_one_transaction(tables: int, segments: int, mode: LockMode, warned: bool) -> None:
    traces = [
        trace(f"DROP TABLE t{n}", lock(f"t{n}", mode, 1), segment=1 + n * segments // tables) for n in range(tables)
    ]
    assert [code for code, _ in codes(*traces)] == ["many-locks"] * warned
    if warned:
        (warning,) = find_warnings(traces, 500)
        assert f"blocks 10 tables until it commits ({mode.sql} on 10)" in warning.message


@pytest.mark.parametrize("kind", ["table", "partitioned table", "materialized view", "view", "foreign table"])
def test_all_that_queries_name_is_warned_of(kind: str) -> None:
    refresh = trace("REFRESH MATERIALIZED VIEW m", lock("m", LockMode.ACCESS_EXCLUSIVE, 900, kind))
    assert codes(refresh) == [("long-lock", "m")]


@pytest.mark.parametrize("kind", ["index", "sequence", "TOAST table", "relation"])
def test_what_is_locked_along_with_others_is_not(kind: str) -> None:
    assert codes(trace("DROP INDEX m", lock("m", LockMode.ACCESS_EXCLUSIVE, 900, kind))) == []


@pytest.mark.parametrize(("waited_ms", "said"), [(None, True), (0.0, False)])
def test_a_wait_that_cannot_be_told_apart_is_said(waited_ms: float | None, said: bool) -> None:
    (warning,) = find_warnings([trace("LOCK big", lock("big", LockMode.SHARE, 900), waited_ms=waited_ms)], 500)
    assert ("including any wait for it" in warning.message) is said


@pytest.mark.parametrize(
    ("later", "warned"),
    [
        (trace("ALTER TABLE public.big ADD COLUMN c int", segment=2), True),
        (trace("CREATE INDEX ON big (b)", segment=2), True),
        (trace("DO $$ BEGIN EXECUTE 'x'; END $$", segment=2, scans=(TableScan(table="big", scans=1, rows=5),)), True),
        (trace("SELECT f()", segment=2, rewrites=("big",)), True),
        (trace("ALTER TABLE big ADD COLUMN c int", segment=1), False),
        (trace("ALTER TABLE other ADD COLUMN c int", segment=2), False),
        (trace("INSERT INTO big VALUES (1)", segment=2, rows=(wrote("big", 1),)), False),
        (trace("ALTER TABLE big ADD c int", lock("big", LockMode.ACCESS_EXCLUSIVE, 1), segment=2), False),
        (trace("CREATE INDEX ON big (b)", segment=2, original_sql="CREATE INDEX CONCURRENTLY ON big (b)"), False),
    ],
)
def test_a_lock_that_an_earlier_segment_hides_is_warned_of(later: StatementTrace, warned: bool) -> None:
    assert (("lock-unseen", "big") in codes(INDEX, later)) is warned


def test_an_unseen_lock_is_warned_of_once_in_a_segment() -> None:
    later = [trace(f"ALTER TABLE big ADD COLUMN c{n} int", segment=2) for n in range(3)]
    assert codes(INDEX, *later, threshold_ms=5_000) == [("lock-unseen", "big")]


ROW_EXCLUSIVE = lock("big", LockMode.ROW_EXCLUSIVE)


def test_dead_rows_of_all_tries_are_left_behind() -> None:
    update = trace("UPDATE big SET a = 1", ROW_EXCLUSIVE, rows=(wrote("big", updated=40), wrote("new", 7)))
    again = trace("UPDATE big SET a = 2", rows=(wrote("big", inserted=10),))
    assert residual_effects([[update, again], [update]]) == ("big keeps 90 dead rows until it is vacuumed",)


def test_rows_of_a_file_that_the_transaction_made_go_with_it() -> None:
    before = trace("UPDATE big SET a = 1", ROW_EXCLUSIVE, rows=(wrote("big", updated=3),))
    truncate = trace("TRUNCATE big", rewrites=("big",))
    fill = trace("INSERT INTO big SELECT 1", rows=(wrote("big", inserted=1_000),))
    assert residual_effects([[before, truncate, fill]]) == ("big keeps 3 dead rows until it is vacuumed",)


@pytest.mark.parametrize(
    ("mode", "told"),
    [(LockMode.ROW_EXCLUSIVE, True), (LockMode.ACCESS_SHARE, False), (LockMode.ACCESS_EXCLUSIVE, False)],
)
def test_only_sequences_that_gave_out_numbers_are_left_behind(mode: LockMode, told: bool) -> None:
    found = residual_effects([[trace("SELECT 1", lock("ids", mode, kind="sequence"))]])
    assert found == (("sequences do not take back used numbers: ids",) if told else ())


def test_what_alter_sequence_does_is_taken_back() -> None:
    alter = trace("ALTER SEQUENCE ids RESTART", lock("ids", LockMode.ROW_EXCLUSIVE, kind="sequence"), rewrites=("ids",))
    use = trace("SELECT nextval('ids')", lock("ids", LockMode.ROW_EXCLUSIVE, kind="sequence"))
    assert residual_effects([[alter, use]]) == ()
    assert residual_effects([[use, alter]]) == ("sequences do not take back used numbers: ids",)


ADD_TOKEN = "ALTER TABLE big ADD COLUMN token uuid DEFAULT gen_random_uuid()"


def finding(rule: str, severity: Severity, statement: str) -> Finding:
    return Finding(rule=rule, severity=severity, message=rule, hint=f"mend {rule}", relation="big", statement=statement)


def rewrite(table: str, statement: str) -> DryRunWarning:
    message = f"{table} is rewritten in 2.0 s"
    return DryRunWarning(code="rewrite", message=message, hint="", table=table, measured_ms=2_000, statement=statement)


def test_the_worst_finding_explains_what_was_seen() -> None:
    findings = [finding("combine_alter_table", "warning", ADD_TOKEN), finding("volatile_default", "error", ADD_TOKEN)]
    seen, other = merge_lint_and_measured([rewrite("big", ADD_TOKEN)], findings, [])
    assert (seen.rule, seen.hint, seen.message) == (
        "volatile_default",
        "mend volatile_default",
        "big is rewritten in 2.0 s",
    )
    assert (other.rule, other.measured_ms) == ("combine_alter_table", None)


def test_what_partitions_feel_goes_with_their_table() -> None:
    statement = "ALTER TABLE big ALTER COLUMN a TYPE bigint"
    rewrites = [rewrite("big_1", statement), rewrite("big_2", statement), rewrite("big_1", "SELECT other()")]
    merge, left = merge_lint_and_measured(rewrites, [finding("type_rewrite", "error", statement)], [])
    assert (merge.rule, merge.message) == ("type_rewrite", "big_1 is rewritten in 2.0 s; big_2 is rewritten in 2.0 s")
    assert (left.rule, left.statement) == (None, "SELECT other()")


def test_what_only_lint_knows_is_told_with_the_lock_that_its_statement_holds() -> None:
    add = trace(ADD_TOKEN, lock("big", LockMode.ACCESS_EXCLUSIVE, 9_679), rewrites=("big",))
    (told,) = merge_lint_and_measured([], [finding("volatile_default", "error", ADD_TOKEN)], [add])
    assert told.message == "volatile_default; the statement holds ACCESS EXCLUSIVE on big for up to 9.7 s"


def test_a_rewrite_that_did_not_happen_is_not_told() -> None:
    retype = "ALTER TABLE big ALTER COLUMN a TYPE varchar(20)"
    findings = [finding("type_rewrite", "warning", retype)]
    assert merge_lint_and_measured([], findings, [trace(retype, lock("big", LockMode.ACCESS_EXCLUSIVE, 1))]) == ()
    assert len(merge_lint_and_measured([], findings, [])) == 1, "it did not run: nothing is known"


def test_an_estimate_of_what_runs_otherwise_claims_no_certainty() -> None:
    found = estimate_duration([100.0, 101.0, 99.0], is_representative=False)
    assert found.production_ms == pytest.approx(100)
    assert (found.low_ms, found.high_ms, found.confidence_percent, found.level_percent) == (None, None, None, None)


SCALE = Scale(source_rows={"big": 100, "small": 0, "never": -1}, target_rows={"big": 1_000, "small": 5, "never": 5})
FILL = trace(
    "CREATE TABLE new AS SELECT * FROM big", scans=(TableScan(table="big", scans=1, rows=100),), rows=(wrote("new", 9),)
)


def test_a_table_that_the_run_makes_grows_with_what_filled_it() -> None:
    index = trace("CREATE INDEX ON new (a)")
    onward = trace("INSERT INTO newer SELECT * FROM new", rows=(wrote("newer", 9),))
    assert SCALE.factors([FILL, index, onward, trace("CREATE INDEX ON newer (a)")]) == (10, 10, 10, 10)
    assert SCALE.notes([FILL, index, onward]) == ()


def test_statements_that_could_not_be_scaled_are_named() -> None:
    quick = trace("UPDATE never SET a = 2", took_ms=0.01, rows=(wrote("never", updated=5),))
    slow = trace("UPDATE small SET a = 1", rows=(wrote("small", updated=5),))
    (note,) = SCALE.notes([FILL, quick, slow, trace("SELECT pg_sleep(1)", took_ms=50)])
    assert "UPDATE small SET a = 1" in note and "small" in note
    assert SCALE.factors([slow]) == (1,)


def test_a_scaled_range_has_no_level() -> None:
    assert estimate_duration([1.0], scaled=True).level_percent is None
    assert estimate_duration([1.0, 1.1]).level_percent == 90
    assert estimate_duration([1.0]).level_percent is None, "there is no range"


@pytest.mark.parametrize(
    ("label", "found"), [("other@host:5432/db", True), ("host:5432/db", True), ("me@host:5432/db2", False)]
)
def test_predictions_are_matched_whoever_connects(tmp_path: Path, label: str, found: bool) -> None:
    made = Prediction.of("me@host:5432/db", "1", "c", estimate_duration([1.0]))
    PredictionStore(tmp_path).save([made])
    assert ("1" in PredictionStore(tmp_path).load(label, {"1": "c"})) is found


def test_the_newest_prediction_of_a_migration_as_it_is_now_counts(tmp_path: Path) -> None:
    for checksum, milliseconds in (("c", 1.0), ("c", 2.0), ("other", 3.0)):
        PredictionStore(tmp_path).save([Prediction.of("db", "1", checksum, estimate_duration([milliseconds]))])
    (recalled,) = PredictionStore(tmp_path).load("db", {"1": "c", "2": "c"}).values()
    assert (recalled.version, recalled.predicted_ms) == ("1", 2.0)


def test_the_clock_leaves_out_what_looking_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def read() -> float:
        return now[0]

    def pass_by(seconds: float) -> None:
        now[0] += seconds

    elapsed = _clocked(monkeypatch, read, pass_by)
    assert elapsed == pytest.approx([1_000, 1_000, 3_000])


def _clocked(
    monkeypatch: pytest.MonkeyPatch, read: Callable[[], float], pass_by: Callable[[float], None]
) -> list[float]:
    monkeypatch.setattr(time, "perf_counter", read)
    clock = PausableClock()
    pass_by(1)
    with clock.paused():
        pass_by(5)
        inside = clock.now_ms()
    after = clock.now_ms()
    pass_by(2)
    return [inside, after, clock.now_ms()]
