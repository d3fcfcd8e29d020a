"""The interface for output formats, with one method for each document."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from confiture.errors import Diagnostic
from confiture.output.document import Document

if TYPE_CHECKING:
    from confiture.lint.rule import Rule
    from confiture.models.applied_texts import AppliedTexts
    from confiture.models.backfills import BackfillState
    from confiture.models.builds import BuildReport
    from confiture.models.findings import LintReport
    from confiture.models.grades import Assessment
    from confiture.models.history_events import HistoryEvent
    from confiture.models.identity import DatabaseIdentity, NameResolution
    from confiture.models.locks import RunningSession
    from confiture.models.pins import PinResult
    from confiture.models.plan import PlannedMigration
    from confiture.models.pull import PullResult
    from confiture.models.reconcile_results import VerifyReport
    from confiture.models.reports import RunReport
    from confiture.models.saved_plans import SavedPlan
    from confiture.models.schema_diff import SchemaDiff
    from confiture.models.settings import Severity
    from confiture.models.tenancy_proofs import IsolationReport, TenancyMap
    from confiture.plan.history import MigrationStatus


@dataclass(frozen=True, kw_only=True, slots=True)
class WriterContext:
    """A writer's output functions, and the folder that printed paths are relative to.

    `root` is the project's folder; `environ` is the process environment. `write` escapes text, hides secrets, and
    writes to stdout. `write_clean` writes a document in which all strings are already clean, because a second search
    for secrets could match keys and numbers.
    """

    root: Path
    environ: Mapping[str, str]
    write: Callable[[str], None]
    write_clean: Callable[[str], None]
    marked_for: tuple[str, str] = ("", "")
    """The project and the environment in the marker of a comment; empty if the command uses no settings."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LintSummary:
    """The lint findings; `failing` lists the severities at which the command exits with 1."""

    report: LintReport
    failing: Collection[Severity]
    rules: Callable[[], Mapping[str, Rule]]
    duration_ms: float


@dataclass(frozen=True, kw_only=True, slots=True)
class StatusSummary:
    """The migration status of a database; `environment` and `database` are the names to print."""

    status: MigrationStatus
    environment: str
    database: str


@dataclass(frozen=True, kw_only=True, slots=True)
class AdoptionSummary:
    """The renaming of a project's history from `old` to `new`; `configured` is the name in confiture.yaml."""

    database: str
    old: str
    new: str
    configured: str
    migrations: int


@dataclass(frozen=True, kw_only=True, slots=True)
class HistorySummary:
    """Events of a project's history, newest first; `environment` and `database` are the names to print."""

    events: Sequence[HistoryEvent]
    environment: str
    database: str
    project: str


@dataclass(frozen=True, kw_only=True, slots=True)
class IdentitySummary:
    """The identities in a database, and how the session resolves names. The settings choose the other names."""

    identities: Sequence[DatabaseIdentity]
    resolution: NameResolution
    environment: str
    project: str
    database: str


class Writer:
    """A writer for one output format. A subclass implements a method for each document that the format supports."""

    def __init__(self, context: WriterContext) -> None:
        self.context = context

    def run(self, report: RunReport) -> None:
        """Write the report of a run or a dry run."""
        self._refuse(Document.RUN)

    def diagnostics(self, diagnostics: Sequence[Diagnostic]) -> None:
        """Write the errors that end a command."""
        self._refuse(Document.DIAGNOSTICS)

    def findings(self, summary: LintSummary) -> None:
        """Write the lint findings."""
        self._refuse(Document.FINDINGS)

    def rules(self, rules: Mapping[str, Rule], explained: Rule | None) -> None:
        """Write the lint rules, or the page of the explained rule."""
        self._refuse(Document.RULES)

    def status(self, summary: StatusSummary) -> None:
        """Write the applied and pending migrations."""
        self._refuse(Document.STATUS)

    def plan(self, plan: PlannedMigration) -> None:
        """Write the plan of a migration."""
        self._refuse(Document.PLAN)

    def assessment(self, assessment: Assessment) -> None:
        """Write the graded risks of pending migrations."""
        self._refuse(Document.ASSESSMENT)

    def saved_plan(self, plan: SavedPlan) -> None:
        """Write a saved plan."""
        self._refuse(Document.SAVED_PLAN)

    def adoption(self, summary: AdoptionSummary) -> None:
        """Write the result of renaming a project's history."""
        self._refuse(Document.ADOPTION)

    def pins(self, result: PinResult) -> None:
        """Write the pins that were written."""
        self._refuse(Document.PINS)

    def applied(self, texts: AppliedTexts) -> None:
        """Write the texts that an applied migration ran."""
        self._refuse(Document.APPLIED)

    def history(self, summary: HistorySummary) -> None:
        """Write the events of a history."""
        self._refuse(Document.HISTORY)

    def identity(self, summary: IdentitySummary) -> None:
        """Write the identities in a database."""
        self._refuse(Document.IDENTITY)

    def tenant_map(self, tenancy: TenancyMap) -> None:
        """Write the tables and their tenant ownership."""
        self._refuse(Document.TENANT_MAP)

    def tenant_isolation(self, report: IsolationReport) -> None:
        """Write the results of tenant isolation proofs."""
        self._refuse(Document.TENANT_ISOLATION)

    def locks(self, sessions: Sequence[RunningSession], database: str) -> None:
        """Write the locks of running migrations."""
        self._refuse(Document.LOCKS)

    def backfills(self, backfills: Sequence[BackfillState], database: str) -> None:
        """Write the progress of batched backfills."""
        self._refuse(Document.BACKFILLS)

    def reconcile(self, verification: VerifyReport) -> None:
        """Write the comparison of tables with their defining queries."""
        self._refuse(Document.RECONCILE)

    def verify(self, verification: VerifyReport) -> None:
        """Write the results of checks repeated for applied migrations."""
        self._refuse(Document.VERIFY)

    def schema_diff(self, diff: SchemaDiff) -> None:
        """Write the differences between two schemas."""
        self._refuse(Document.SCHEMA_DIFF)

    def pull(self, result: PullResult) -> None:
        """Write the names of the files that were written."""
        self._refuse(Document.PULL)

    def build(self, report: BuildReport) -> None:
        """Write the result of building the schema files."""
        self._refuse(Document.BUILD)

    def _refuse(self, document: Document) -> NoReturn:
        raise NotImplementedError(f"{type(self).__name__} does not support {document.value}")
