"""The table of grades: each row has facts for which it decides, and docs/grades.md shows the same rows."""

from __future__ import annotations

import re

import pytest

from confiture.models.grades import (
    Grade,
    GradeSource,
    LockFact,
    LossFact,
    LossKind,
    OpenTransaction,
    RiskCategory,
    RiskFacts,
)
from confiture.models.predictions import Measurement, Prediction
from confiture.models.records import replace
from confiture.models.trace import LockMode
from confiture.plan.grade_row import GradeRow
from confiture.plan.grades import GRADE_ROWS, decisive_row, grade_migration
from tests.support.paths import REPOSITORY

EXCLUSIVE, SHARED = LockMode.ACCESS_EXCLUSIVE, LockMode.ACCESS_SHARE
GB = 1024**3


def lock(mode: LockMode = EXCLUSIVE, held_ms: float | None = None, in_use: bool | None = True) -> tuple[LockFact, ...]:
    return (LockFact(relation="w_orders", mode=mode, held_ms=held_ms, rows=7, is_in_use=in_use),)


def loss(kind: LossKind, rows: int | None, *, is_restored: bool = False) -> tuple[LossFact, ...]:
    return (LossFact(kind=kind, relation="w", description="drops the table w", rows=rows, is_restored=is_restored),)


def dry_run(high_ms: float = 10.0, **measured: object) -> Prediction:
    measurement = Measurement(at="2026-01-02T03:04:05+00:00", **{"temp_bytes": 0, **measured})  # type: ignore[arg-type]
    return Prediction(
        database="db", version="1", checksum="c", predicted_ms=9.0, low_ms=8.0, high_ms=high_ms, runs=5,
        measurement=measurement,
    )  # fmt: skip


def facts(prediction: Prediction | None = None, **values: object) -> RiskFacts:
    given = {"statements": 1, "segments": 1, "sees_sessions": True, "has_tenants": True, **values}
    return RiskFacts(prediction=prediction, is_measured=prediction is not None, **given)  # type: ignore[arg-type]


ROWS, VALUES, SELECTED = LossKind.ROWS, LossKind.VALUES, LossKind.SELECTED_ROWS
OLD = (OpenTransaction(description="report (me, process 7, idle in transaction)", age_ms=9e9),)
EXAMPLES: dict[RiskCategory, list[RiskFacts]] = {
    RiskCategory.LOCKS: [
        facts(dry_run(), locks=lock(held_ms=1_001)),
        facts(opaque=("DO $$...",)),
        facts(locks=lock()),
        facts(locks=lock(in_use=False)),
        facts(dry_run(), locks=lock(held_ms=1_000)),
        facts(locks=lock(SHARED)),
        facts(),
    ],
    RiskCategory.DATA_LOSS: [
        facts(losses=loss(ROWS, 1)),
        facts(losses=loss(VALUES, None)),
        facts(losses=loss(SELECTED, None)),
        facts(losses=loss(ROWS, 0)),
        facts(),
    ],
    RiskCategory.DURATION: [
        facts(statements=0),
        facts(dry_run(1_001), window_ms=1_000),
        facts(),
        facts(dry_run(501), window_ms=1_000),
        facts(dry_run(60_000)),
    ],
    RiskCategory.TENANCY: [
        facts(has_tenants=False),
        facts(dry_run(mixed=("r_orders",), is_proved=True)),
        facts(tenant_errors=("w_a is joined without tenant_id",)),
        facts(tenant_doubts=("DO $$...",)),
        facts(tenant_warnings=("LIMIT without tenant_id",)),
        facts(dry_run(is_proved=True)),
        facts(),
    ],
    RiskCategory.REVERSIBILITY: [
        facts(statements=0),
        facts(has_down=False),
        facts(has_down=None),
        facts(segments=2),
        facts(),
    ],
    RiskCategory.DISK_SPACE: [
        facts(dry_run(wal_bytes=6 * GB), reads_rows=True, free_bytes=10 * GB),
        facts(reads_rows=True, free_bytes=10 * GB),
        facts(dry_run(wal_bytes=2 * GB), reads_rows=True, free_bytes=10 * GB),
        facts(dry_run(wal_bytes=5), reads_rows=True, database_bytes=GB),
        facts(),
    ],
    RiskCategory.MEMORY: [
        facts(dry_run(temp_bytes=6), reads_rows=True, temp_file_limit_bytes=10),
        facts(dry_run(temp_bytes=None), reads_rows=True),
        facts(dry_run(temp_bytes=4), reads_rows=True, temp_file_limit_bytes=10),
        facts(dry_run(), reads_rows=True),
        facts(),
    ],
    RiskCategory.CONCURRENT_ACTIVITY: [
        facts(statements=0),
        facts(lock_holder="confiture migrate up"),
        facts(holders=OLD),
        facts(sees_sessions=False),
        facts(replica_lag_ms=10_001.0),
        facts(),
    ],
}
BY_ROW = [
    (row, example)
    for category in RiskCategory
    for row, example in zip([row for row in GRADE_ROWS if row.category is category], EXAMPLES[category], strict=False)
]


def _name(value: object) -> str:
    return f"{value.category.value}: {value.condition}" if isinstance(value, GradeRow) else ""


# the locks have two rows for `unknown`: the statement's locks, and how long a known lock is held
@pytest.mark.parametrize(("row", "example"), BY_ROW, ids=_name)
def test_each_row_decides_for_its_example(row: GradeRow, example: RiskFacts) -> None:
    assert decisive_row(row.category, example) is row
    grade = next(one for one in grade_migration(example) if one.category is row.category)
    assert (grade.grade, grade.source) == (row.grade, row.source)
    assert grade.reason
    assert (grade.source is GradeSource.UNKNOWN) == (grade.grade is Grade.UNKNOWN), "each known grade has a source"


def test_each_row_has_an_example() -> None:
    assert {category: len(examples) for category, examples in EXAMPLES.items()} == {
        category: len([row for row in GRADE_ROWS if row.category is category]) for category in RiskCategory
    }


def test_unknown_ranks_above_medium_and_below_high() -> None:
    ranked = sorted(Grade, key=lambda grade: grade.rank)
    assert ranked == [Grade.NONE, Grade.LOW, Grade.MEDIUM, Grade.UNKNOWN, Grade.HIGH]


@pytest.mark.parametrize("category", RiskCategory)
def test_what_is_not_known_is_never_low(category: RiskCategory) -> None:
    nothing_known = facts(
        opaque=("DO",), reads_rows=True, sees_sessions=False, has_down=None, tenant_doubts=("DO",),
        locks=lock(in_use=None), losses=loss(ROWS, None),
    )  # fmt: skip
    assert decisive_row(category, nothing_known).grade is Grade.UNKNOWN


def test_a_dry_run_that_does_not_execute_a_statement_measures_nothing_of_it() -> None:
    given = facts(dry_run(), unmeasured=("VACUUM w_orders",), reads_rows=True, opaque=("VACUUM",))
    for category in (RiskCategory.DURATION, RiskCategory.DISK_SPACE, RiskCategory.MEMORY, RiskCategory.LOCKS):
        assert decisive_row(category, given).grade is Grade.UNKNOWN, category


def test_down_restores_rows() -> None:
    category = RiskCategory.DATA_LOSS
    assert decisive_row(category, facts(losses=loss(ROWS, 5, is_restored=True))).grade is Grade.MEDIUM
    assert decisive_row(category, facts(losses=loss(SELECTED, 0))).grade is Grade.LOW
    assert decisive_row(category, facts(losses=loss(ROWS, None, is_restored=True))).grade is Grade.MEDIUM


def test_blocking_of_a_table_whose_use_is_unknown_is_not_medium() -> None:
    given = facts(dry_run(), locks=lock(held_ms=5_000, in_use=None))
    assert decisive_row(RiskCategory.LOCKS, given).grade is Grade.UNKNOWN
    assert (
        decisive_row(RiskCategory.LOCKS, replace(given, locks=lock(held_ms=5_000, in_use=False))).grade is Grade.MEDIUM
    )


def test_the_page_shows_the_table() -> None:
    page = (REPOSITORY / "docs" / "grades.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\| (none|low|medium|unknown|high) \| (.+?) \| (\w+) \|$", page, re.MULTILINE)
    assert shown == [(row.grade.value, row.condition, row.source.value) for row in GRADE_ROWS]
    assert re.findall(r"^## (.+)$", page, re.MULTILINE)[: len(RiskCategory)] == [
        category.value.capitalize() for category in RiskCategory
    ]
