"""The results of tenant isolation proofs, by query and by migration, and the tenant ownership of tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum

from confiture.errors import Span
from confiture.models.catalog import QualifiedName
from confiture.models.plan import StepId
from confiture.models.reconcile_results import SkippedColumn
from confiture.models.records import record
from confiture.redaction import row_value
from confiture.text import pluralize

ColumnValues = Mapping[str, str | None]
"""Values by column, as PostgreSQL prints them; None for NULL."""

DEFAULT_TENANTS = 10
"""The number of tenants that a proof checks by default."""


class IsolationVerdict(StrEnum):
    """The result of checking a statement."""

    ISOLATED = "isolated"
    """No checked tenant has a difference."""
    MIXED = "mixed"
    """Rows of a tenant depend on another tenant's rows, or reach another tenant."""
    NOT_PROVABLE = "not provable"
    """Isolation cannot be proved; `reason` says why. This does not mean that the statement mixes tenants."""
    NO_TENANTS = "no tenants"
    """The tables that the statement reads contain no tenant rows, so there was nothing to check."""
    NOTHING_READ = "reads no tenant's rows"


class TenantLeakKind(StrEnum):
    """The kind of difference."""

    FOREIGN = "foreign"
    """The tenant gets these rows only because of other tenants' rows."""
    LOST = "lost"
    """The tenant's own rows would produce these rows, but other tenants' rows prevent this."""
    OTHER_TENANT = "astray"
    """The tenant's own rows produce these rows, but the results belong to another tenant."""
    NO_TENANT = "unowned"
    """The tenant's own rows produce these rows, but the results have no tenant."""
    SHARED = "shared"
    """Rows from several tenants compete for one row, and it is undefined which one wins."""

    @property
    def description(self) -> str:
        """The description of these rows, to be printed after the row count."""
        return _LEAK_DESCRIPTIONS[self]


_LEAK_DESCRIPTIONS = {
    TenantLeakKind.FOREIGN: "that it gets only because of other tenants' rows",
    TenantLeakKind.LOST: "that it does not get because of other tenants' rows",
    TenantLeakKind.OTHER_TENANT: "that are derived from its data but belong to another tenant",
    TenantLeakKind.NO_TENANT: "that are derived from its data but have no tenant",
    TenantLeakKind.SHARED: "that other tenants compete for",
}


@record(frozen=True, kw_only=True, slots=True)
class TenantLeak:
    """A tenant's rows that differ: the number of rows, and the first rows."""

    tenant: str
    kind: TenantLeakKind
    rows: int
    first_rows: tuple[ColumnValues, ...] = ()

    @property
    def description(self) -> str:
        """`tenant 7: 12 rows that it gets only because of other tenants' rows`."""
        return f"tenant {row_value(self.tenant)}: {pluralize(self.rows, 'row')} {self.kind.description}"


@record(frozen=True, kw_only=True, slots=True)
class TenantSample:
    """The tenants that were checked, the total number of tenants, and the selection method."""

    tenants: tuple[str, ...]
    total: int
    method: str

    @property
    def is_complete(self) -> bool:
        """Whether all tenants were checked."""
        return len(self.tenants) == self.total


@record(frozen=True, kw_only=True, slots=True)
class IsolationProof:
    """Whether a statement isolates tenants on the current data.

    `rows` is the number of the chosen tenants' rows that were compared; `compared_columns` are the compared columns.
    `proved_parts` are the parts of the statement that were checked, because a MERGE is checked action by action.
    `sample` is None if no tenants were chosen.
    """

    verdict: IsolationVerdict
    reason: str | None = None
    hint: str | None = None
    sample: TenantSample | None = None
    rows: int = 0
    compared_columns: tuple[str, ...] = ()
    skipped_columns: tuple[SkippedColumn, ...] = ()
    proved_parts: tuple[str, ...] = ()
    leaks: tuple[TenantLeak, ...] = ()
    duration_ms: float = 0.0

    def with_duration(self, duration_ms: float) -> IsolationProof:
        """Return a copy with the duration set."""
        return replace(self, duration_ms=duration_ms)


@record(frozen=True, kw_only=True, slots=True)
class ProvedStatement:
    """A statement in a step, with its start, the relation that it writes or defines, and its proof."""

    migration: str
    step: StepId
    span: Span
    text: str
    target: str
    proof: IsolationProof


@record(frozen=True, kw_only=True, slots=True)
class IsolationReport:
    """All statements that were checked, in migration order."""

    database: str
    environment: str
    column: str
    statements: tuple[ProvedStatement, ...]

    @property
    def duration_ms(self) -> float:
        """The total time of all proofs, in milliseconds."""
        return sum(one.proof.duration_ms for one in self.statements)

    def with_verdict(self, verdict: IsolationVerdict) -> tuple[ProvedStatement, ...]:
        """Return the statements with this verdict."""
        return tuple(one for one in self.statements if one.proof.verdict is verdict)


class TenantOwnership(StrEnum):
    """The way in which a table belongs to tenants."""

    TENANT = "tenant"
    """The table has a tenant column."""
    REGISTRY = "registry"
    """Each row is a tenant, and tenant columns refer to the table."""
    FOREIGN_KEY = "by foreign key"
    """The table has no tenant column, but its rows refer to tenant rows."""
    SHARED = "shared"
    """The table belongs to no tenant; all tenants share its rows."""
    EXEMPT = "left out"
    """The settings exempt the table."""


@record(frozen=True, kw_only=True, slots=True)
class ForeignKeyHop:
    """A foreign key on the path to the tenant, from columns in one table to columns in another."""

    table: QualifiedName
    columns: tuple[str, ...]
    target: QualifiedName
    target_columns: tuple[str, ...]


@record(frozen=True, kw_only=True, slots=True)
class TableOwnership:
    """A table with its tenant ownership and the reason for it. `column` holds the tenant at the end of `path`."""

    name: QualifiedName
    ownership: TenantOwnership
    reason: str
    column: str | None = None
    path: tuple[ForeignKeyHop, ...] = ()


@record(frozen=True, kw_only=True, slots=True)
class TenancyMap:
    """All tables in a schema. `source` is `files` or the database."""

    source: str
    column: str
    tables: tuple[TableOwnership, ...]
