"""The result of analyzing a statement: whether it can mix tenants, and why."""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum

from confiture.models.records import record
from confiture.models.source import SourceLocation


class TenancyGrade(StrEnum):
    """The degree to which a statement isolates tenants.

    SAFE: the statement cannot mix tenants. WARNING: tenants are isolated only by keys that no constraint binds to the
    tenant, or other tenants affect only which of a tenant's own rows are returned, and in which order (LIMIT,
    row_number). ERROR: nothing isolates the tenants. UNKNOWN: the analysis cannot decide.
    """

    SAFE = "safe"
    WARNING = "warning"
    ERROR = "error"
    UNKNOWN = "unknown"


class TenancyIssueKind(StrEnum):
    """The ways in which a statement can leak rows of one tenant to another."""

    NOT_WRITTEN = "not written"
    """The target's tenant column is not set."""
    WRONG_SOURCE = "wrong source"
    """The tenant column is set to a value other than the source rows' tenant."""
    JOIN = "join"
    """Tenant tables are joined without a condition that the tenants are equal; this includes subqueries."""
    GROUPING = "grouping"
    """An aggregate, a DISTINCT, or a window combines rows from several tenants."""
    CROSS_WRITE = "reach"
    """An UPDATE, DELETE, MERGE, or ON CONFLICT changes rows depending on other tenants' rows."""
    BRANCH = "branch"
    """A branch of a set operation does not return the tenant in the same column as the other branches."""
    NO_TENANT_COLUMN = "hidden"
    """A view or a new table does not contain the tenant of each row."""
    LIMIT = "limit"
    """LIMIT or OFFSET counts rows across all tenants."""
    DYNAMIC = "dynamic"
    """SQL is built at run time."""
    UNKNOWN = "unknown"
    """A table, function, or construct that is unknown or not supported by the analysis."""


@record(frozen=True, kw_only=True, slots=True)
class TenancyIssue:
    """A reason why a statement is not safe. `location` is the offending expression, `relation` the table.

    For a view or a function, `location` is in the definition; None if the definition was read from a database.

    `fixed_sql` is the statement with every possible fix applied; None if there is no safe fix.
    """

    kind: TenancyIssueKind
    grade: TenancyGrade
    message: str
    location: SourceLocation | None
    relation: str | None = None
    fixed_sql: str | None = None


@record(frozen=True, kw_only=True, slots=True)
class TenancyVerdict:
    """The result of analyzing a statement. `proofs` names the keys that make the statement safe, if any."""

    grade: TenancyGrade
    issues: tuple[TenancyIssue, ...] = ()
    proofs: tuple[str, ...] = field(default=())

    @property
    def is_safe(self) -> bool:
        """Whether the statement cannot mix tenants."""
        return self.grade is TenancyGrade.SAFE
