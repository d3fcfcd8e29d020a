"""What proving the isolation of tenants gave: of one query, of a migration; and which tables belong to tenants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum

from confiture.errors import Span
from confiture.models.catalog import QualifiedName
from confiture.models.plan import StepId
from confiture.models.reconcile_results import SkippedColumn
from confiture.models.records import record
from confiture.text import pluralize

ColumnValues = Mapping[str, str | None]
"""Values by column, as PostgreSQL prints them; None for NULL."""

DEFAULT_TENANTS = 10
"""At how many tenants a proof looks, unless it is asked for another number."""


class IsolationVerdict(StrEnum):
    """How a statement stands."""

    ISOLATED = "isolated"
    """No difference for any tenant that was looked at."""
    MIXED = "mixed"
    """Rows of some tenant depend on another's, or reach another."""
    NOT_PROVABLE = "not provable"
    """It cannot be proved: `reason` says why. Not a word about whether it mixes."""
    NO_TENANTS = "no tenants"
    """The tables that it reads hold no tenant's rows: there was nothing to look at."""
    NOTHING_READ = "reads no tenant's rows"


class TenantLeakKind(StrEnum):
    """What a difference is."""

    FOREIGN = "foreign"
    """The tenant gets these rows only because other tenants' rows are there."""
    LOST = "lost"
    """The tenant's own rows would make these, which other tenants' rows keep it from getting."""
    OTHER_TENANT = "astray"
    """The tenant's own rows make these, which are another tenant's."""
    NO_TENANT = "unowned"
    """The tenant's own rows make these, which name no tenant."""
    SHARED = "shared"
    """Several tenants lay claim to one row: which of them gets it is left to chance."""

    @property
    def description(self) -> str:
        """What people are told of such rows, behind how many they are."""
        return _LEAK_DESCRIPTIONS[self]


_LEAK_DESCRIPTIONS = {
    TenantLeakKind.FOREIGN: "that it gets only because of other tenants' rows",
    TenantLeakKind.LOST: "that other tenants' rows keep it from getting",
    TenantLeakKind.OTHER_TENANT: "that are made of its data for somebody else",
    TenantLeakKind.NO_TENANT: "that are made of its data without a tenant",
    TenantLeakKind.SHARED: "that other tenants lay claim to as well",
}


@record(frozen=True, kw_only=True, slots=True)
class TenantLeak:
    """Rows of a tenant that differ: how many, and the first of them."""

    tenant: str
    kind: TenantLeakKind
    rows: int
    first_rows: tuple[ColumnValues, ...] = ()

    @property
    def description(self) -> str:
        """`tenant 7: 12 rows that it gets only because of other tenants' rows`."""
        return f"tenant {self.tenant}: {pluralize(self.rows, 'row')} {self.kind.description}"


@record(frozen=True, kw_only=True, slots=True)
class TenantSample:
    """The tenants that were looked at, of how many, and how they were chosen."""

    tenants: tuple[str, ...]
    total: int
    method: str

    @property
    def is_complete(self) -> bool:
        """Whether it is all of them."""
        return len(self.tenants) == self.total


@record(frozen=True, kw_only=True, slots=True)
class IsolationProof:
    """Whether a statement keeps the tenants apart, by the data that there are.

    `rows` are those of the chosen tenants that were compared, `compared_columns` their columns. `proved_parts` is what
    of the statement was: a MERGE is proved action by action. `sample` is None where it did not come to choosing
    tenants.
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
        """The same, with the time that it took."""
        return replace(self, duration_ms=duration_ms)


@record(frozen=True, kw_only=True, slots=True)
class ProvedStatement:
    """A statement of a step, where it begins, the relation that it writes or defines, and its proof."""

    migration: str
    step: StepId
    span: Span
    text: str
    target: str
    proof: IsolationProof


@record(frozen=True, kw_only=True, slots=True)
class IsolationReport:
    """All statements that were proved, in the order of their migrations."""

    database: str
    environment: str
    column: str
    statements: tuple[ProvedStatement, ...]

    @property
    def duration_ms(self) -> float:
        """How long all proofs took, in milliseconds."""
        return sum(one.proof.duration_ms for one in self.statements)

    def with_verdict(self, verdict: IsolationVerdict) -> tuple[ProvedStatement, ...]:
        """Those that stand so."""
        return tuple(one for one in self.statements if one.proof.verdict is verdict)


class TenantOwnership(StrEnum):
    """How a table belongs to tenants."""

    TENANT = "tenant"
    """Each row names its tenant."""
    REGISTRY = "registry"
    """Each row is a tenant: tenant columns refer to it."""
    FOREIGN_KEY = "by foreign key"
    """Its rows do not name their tenant, but refer to rows that do."""
    SHARED = "shared"
    """No tenant's: the same for all."""
    EXEMPT = "left out"
    """The settings say that it is no tenant's."""


@record(frozen=True, kw_only=True, slots=True)
class ForeignKeyHop:
    """A foreign key on the way to the tenant: these columns of a table refer to those of another."""

    table: QualifiedName
    columns: tuple[str, ...]
    target: QualifiedName
    target_columns: tuple[str, ...]


@record(frozen=True, kw_only=True, slots=True)
class TableOwnership:
    """A table, how it belongs to tenants, and why. `column` holds the tenant at the end of `path`."""

    name: QualifiedName
    ownership: TenantOwnership
    reason: str
    column: str | None = None
    path: tuple[ForeignKeyHop, ...] = ()


@record(frozen=True, kw_only=True, slots=True)
class TenancyMap:
    """All tables of a schema. `source` is `files` or the database."""

    source: str
    column: str
    tables: tuple[TableOwnership, ...]
