"""The static analysis of a statement: whether it can mix tenants, and why."""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum

from confiture.models.records import record
from confiture.models.source import SourceLocation


class TenancyGrade(StrEnum):
    """The degree to which a statement isolates tenants.

    SAFE: it cannot mix them. WARNING: tenants are isolated only by keys that no constraint binds to the tenant, or
    other tenants only affect which of a tenant's own rows are returned, and in which order (LIMIT, row_number). ERROR:
    nothing isolates them. UNKNOWN: the analysis cannot decide.
    """

    SAFE = "safe"
    WARNING = "warning"
    ERROR = "error"
    UNKNOWN = "unknown"


class TenancyIssueKind(StrEnum):
    """The ways in which a statement can leak rows of one tenant to another."""

    NOT_WRITTEN = "not written"
    """The tenant column of the target gets no value."""
    WRONG_SOURCE = "wrong source"
    """The tenant column gets a value that is not the tenant of the source rows."""
    JOIN = "join"
    """Rows of tenant tables are joined without a condition that their tenants are equal; subqueries too."""
    GROUPING = "grouping"
    """An aggregate, a DISTINCT or a window combines rows of several tenants."""
    CROSS_WRITE = "reach"
    """An UPDATE, DELETE, MERGE or ON CONFLICT changes rows depending on rows of other tenants."""
    BRANCH = "branch"
    """A branch of a set operation does not return the tenant where the other branches do."""
    NO_TENANT_COLUMN = "hidden"
    """A view, or a new table, does not return the tenant of its rows."""
    LIMIT = "limit"
    """LIMIT or OFFSET counts over all tenants."""
    DYNAMIC = "dynamic"
    """SQL is built at run time."""
    UNKNOWN = "unknown"
    """Something that the analysis does not support or does not know: a table, a function, a construct."""


@record(frozen=True, kw_only=True, slots=True)
class TenancyIssue:
    """A reason why a statement is not safe. `location` is the offending expression, `relation` the table.

    For a view or a function, `location` is in its definition, None if the definition was read from a database.

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
    """The result of the analysis of a statement. `proofs` name the keys that make it safe, if keys do."""

    grade: TenancyGrade
    issues: tuple[TenancyIssue, ...] = ()
    proofs: tuple[str, ...] = field(default=())

    @property
    def is_safe(self) -> bool:
        """Whether it cannot mix tenants."""
        return self.grade is TenancyGrade.SAFE
