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
    """The kind of difference of a row."""

    MISSING = "missing"
    """The query returns the row, the table does not have it."""
    EXTRA = "extra"
    """The table has the row, the query does not return it."""
    CHANGED = "changed"
    """Both have a row with this key, with different values."""


@record(frozen=True, kw_only=True, slots=True)
class Difference:
    """A row that differs: its key and the values of each side; None for a side that has no such row."""

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
    """The rows that differ. If not `is_exact`, only some groups were compared: the numbers are lower bounds.

    `rows` are the first of them, in key order.
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

    `by` is the column by which both sides were grouped, None if all rows are one group. The hashes are sums over the
    rows, as text: they do not fit into a bigint. `columns_compared_as_text` are those of `compared_columns` whose type
    has no hash function. `key` is empty if nothing identifies rows. `differing_groups` are the first groups that
    differ; None stands for NULL. `differences` is None if both sides are equal.
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
        """Whether every group has the same number of rows, and the same hash, on both sides."""
        return self.differing_group_count == 0


class VerifyVerdict(StrEnum):
    """The current result of a step of an applied migration."""

    HOLDS = "holds"
    FAILS = "fails"
    CANNOT_RUN = "cannot run"
    """An object that it uses no longer exists because a later migration changed it; or the step would write."""
    SKIPPED = "skipped"


@record(frozen=True, kw_only=True, slots=True)
class VerifyResult:
    """A check or a reconcile that was run again. `diagnostic` is why it does not hold or cannot run."""

    migration: str
    step: StepId
    verdict: VerifyVerdict
    duration_ms: float = 0.0
    note: str | None = None
    reconcile_result: ReconcileResult | None = None
    diagnostic: Diagnostic | None = None

    def with_duration(self, duration_ms: float) -> VerifyResult:
        """Return a copy with the time that it took."""
        return replace(self, duration_ms=duration_ms)


@record(frozen=True, kw_only=True, slots=True)
class VerifyReport:
    """All steps that were run again, in the order of their migrations. `notes` list what was left out."""

    database: str
    environment: str
    steps: tuple[VerifyResult, ...]
    notes: tuple[str, ...] = ()

    def with_verdict(self, verdict: VerifyVerdict) -> tuple[VerifyResult, ...]:
        """Return the results with that verdict."""
        return tuple(step for step in self.steps if step.verdict is verdict)
