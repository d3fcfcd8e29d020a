"""The results of comparing a table with its defining query, and of verifying applied migrations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum

from confiture.errors import Diagnostic
from confiture.models.plan import StepId
from confiture.models.records import record

Values = Mapping[str, str | None]
"""Values by column, as PostgreSQL prints them; None for NULL."""


class DifferenceKind(StrEnum):
    """The way in which a row differs."""

    MISSING = "missing"
    """The query returns the row, but the table does not contain it."""
    EXTRA = "extra"
    """The table contains the row, but the query does not return it."""
    CHANGED = "changed"
    """Both sides contain a row with this key, but the values differ."""


@record(frozen=True, kw_only=True, slots=True)
class Difference:
    """A row that differs: the key and the values on each side; None for a side without the row."""

    kind: DifferenceKind
    key: Values
    expected: Values | None
    actual: Values | None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that differ in a changed row."""
        expected, actual = self.expected or {}, self.actual or {}
        return tuple(name for name in expected if name in actual and expected[name] != actual[name])


@record(frozen=True, kw_only=True, slots=True)
class Differences:
    """The rows that differ. If `is_exact` is false, only some groups were compared, and the counts are lower bounds.

    `rows` are the first rows that differ, in key order.
    """

    missing: int
    extra: int
    changed: int
    is_exact: bool
    rows: tuple[Difference, ...] = ()


@record(frozen=True, kw_only=True, slots=True)
class SkippedColumn:
    """A column that was not compared, and the reason."""

    column: str
    reason: str


@record(frozen=True, kw_only=True, slots=True)
class ReconcileResult:
    """The result of comparing a table with its defining query.

    `by` is the column by which both sides were grouped; None if all rows are one group. The hashes are sums of row
    hashes, as text because they do not fit into a bigint. `columns_compared_as_text` are the compared columns with a
    type that has no hash function. `key` is empty if nothing identifies rows. `differing_groups` are the first groups
    that differ; None stands for NULL. `differences` is None if both sides are equal.
    """

    table: str
    by: str | None
    key: tuple[str, ...]
    compared_columns: tuple[str, ...]
    columns_compared_as_text: tuple[str, ...]
    skipped_columns: tuple[SkippedColumn, ...]
    rows: int
    expected_rows: int
    groups: int
    hash: str
    expected_hash: str
    differing_group_count: int = 0
    differing_groups: tuple[str | None, ...] = ()
    differences: Differences | None = None
    duration_ms: float = 0.0

    @property
    def is_equal(self) -> bool:
        """Whether every group has the same number of rows and the same hash on both sides."""
        return self.differing_group_count == 0


class VerifyVerdict(StrEnum):
    """The current result of a step in an applied migration."""

    HOLDS = "holds"
    FAILS = "fails"
    CANNOT_RUN = "cannot run"
    """A later migration has changed or removed an object that the step uses, or the step would write."""
    SKIPPED = "skipped"


@record(frozen=True, kw_only=True, slots=True)
class VerifyResult:
    """A check or a reconcile that was run again. `diagnostic` explains why it fails or cannot run."""

    migration: str
    step: StepId
    verdict: VerifyVerdict
    duration_ms: float = 0.0
    note: str | None = None
    reconcile_result: ReconcileResult | None = None
    diagnostic: Diagnostic | None = None

    def with_duration(self, duration_ms: float) -> VerifyResult:
        """Return a copy with the duration set."""
        return replace(self, duration_ms=duration_ms)


@record(frozen=True, kw_only=True, slots=True)
class VerifyReport:
    """All steps that were run again, in migration order. `notes` lists what was skipped."""

    database: str
    environment: str
    steps: tuple[VerifyResult, ...]
    notes: tuple[str, ...] = ()

    def with_verdict(self, verdict: VerifyVerdict) -> tuple[VerifyResult, ...]:
        """Return the results with this verdict."""
        return tuple(step for step in self.steps if step.verdict is verdict)
