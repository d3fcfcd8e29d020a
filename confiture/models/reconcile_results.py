"""What holding a table against its defining query gave, and what verifying applied migrations gave."""

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
    """What is wrong with a row."""

    MISSING = "missing"
    """The query gives it, the table does not have it."""
    EXTRA = "extra"
    """The table has it, the query does not give it."""
    CHANGED = "changed"
    """Both have a row of this key, with other values."""


@record(frozen=True, kw_only=True, slots=True)
class Difference:
    """A row that differs: its key, and what each side has; None for the side that has no such row."""

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
    """The rows that differ. Where `is_exact` is false, only a part was looked at: the numbers are the least there are.

    `rows` are the first of them, in the order of the key.
    """

    missing: int
    extra: int
    changed: int
    is_exact: bool
    rows: tuple[Difference, ...] = ()


@record(frozen=True, kw_only=True, slots=True)
class SkippedColumn:
    """A column that was not compared, and why."""

    column: str
    reason: str


@record(frozen=True, kw_only=True, slots=True)
class ReconcileResult:
    """A table held against its defining query.

    `by` is the column by which both sides were put into groups, None where all rows are one group. The hashes are sums
    over the rows, as text: they do not fit into a bigint. `compared_columns` are the columns,
    `columns_compared_as_text` those of them whose type has no hash function, so that their text was compared. `key` is
    empty where nothing tells rows apart. `differing_groups` are the first of those that differ, None for NULL.
    `differences` is None where both sides equal.
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
    """How a step of an applied migration stands today."""

    HOLDS = "holds"
    FAILS = "fails"
    CANNOT_RUN = "cannot run"
    """What it asks for is not there any more, as a later migration changed it; or it would write."""
    SKIPPED = "skipped"


@record(frozen=True, kw_only=True, slots=True)
class VerifyResult:
    """A check or a reconcile that was run again. `diagnostic` says why it does not hold or cannot run."""

    migration: str
    step: StepId
    verdict: VerifyVerdict
    duration_ms: float = 0.0
    note: str | None = None
    reconcile_result: ReconcileResult | None = None
    diagnostic: Diagnostic | None = None

    def with_duration(self, duration_ms: float) -> VerifyResult:
        """The same, with the time that it took."""
        return replace(self, duration_ms=duration_ms)


@record(frozen=True, kw_only=True, slots=True)
class VerifyReport:
    """All steps that were run again, in the order of their migrations. `notes` say what was left out."""

    database: str
    environment: str
    steps: tuple[VerifyResult, ...]
    notes: tuple[str, ...] = ()

    def with_verdict(self, verdict: VerifyVerdict) -> tuple[VerifyResult, ...]:
        """Those with that verdict."""
        return tuple(step for step in self.steps if step.verdict is verdict)
