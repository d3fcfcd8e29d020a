"""What is known of a statement before it runs: whether it can mix tenants, and why."""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum

from confiture.models.records import record
from confiture.models.source import SourceLocation


class TenancyGrade(StrEnum):
    """How a statement keeps tenants apart.

    SAFE: it cannot mix them. WARNING: only keys that the database does not hold together with the tenant keep them
    apart, or others only decide which of a tenant's own rows come, and in which order (LIMIT, row_number).
    ERROR: nothing keeps them apart. UNKNOWN: it cannot be told.
    """

    SAFE = "safe"
    WARNING = "warning"
    ERROR = "error"
    UNKNOWN = "unknown"


class TenancyIssueKind(StrEnum):
    """The ways in which a statement can bring rows of one tenant to another."""

    NOT_WRITTEN = "not written"
    """The tenant column of the target gets no value."""
    WRONG_SOURCE = "wrong source"
    """The tenant column gets a value that is not the tenant of the rows read."""
    JOIN = "join"
    """Rows of tenant tables meet without their tenants being equal; subqueries too."""
    GROUPING = "grouping"
    """An aggregate, a DISTINCT or a window puts rows of several tenants together."""
    CROSS_WRITE = "reach"
    """An UPDATE, DELETE, MERGE or ON CONFLICT changes rows by rows of other tenants."""
    BRANCH = "branch"
    """A branch of a set operation has no tenant where the others have it."""
    NO_TENANT_COLUMN = "hidden"
    """A view, or a new table, does not show the tenant of its rows."""
    LIMIT = "limit"
    """LIMIT or OFFSET counts over all tenants."""
    DYNAMIC = "dynamic"
    """SQL that is put together when it runs."""
    UNKNOWN = "unknown"
    """Something that the analysis does not know: a table, a function, a construct."""


@record(frozen=True, kw_only=True, slots=True)
class TenancyIssue:
    """One thing that keeps a statement from being safe. `location` is the offending expression, `relation` the table.

    For a view or a function `location` is where that was defined, None where it was read from a database.

    `fixed_sql` is the statement with all that can be mended mended; None where nothing sure can be written.
    """

    kind: TenancyIssueKind
    grade: TenancyGrade
    message: str
    location: SourceLocation | None
    relation: str | None = None
    fixed_sql: str | None = None


@record(frozen=True, kw_only=True, slots=True)
class TenancyVerdict:
    """What the analysis says of a statement. `proofs` say which keys make it safe, where keys do."""

    grade: TenancyGrade
    issues: tuple[TenancyIssue, ...] = ()
    proofs: tuple[str, ...] = field(default=())

    @property
    def is_safe(self) -> bool:
        """Whether it cannot mix tenants."""
        return self.grade is TenancyGrade.SAFE
