"""What an output format writes: one method for each document."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from confiture.errors import Diagnostic
from confiture.output.document import Document

if TYPE_CHECKING:
    from confiture.lint.rule import Rule
    from confiture.models.backfills import BackfillState
    from confiture.models.findings import LintReport
    from confiture.models.locks import RunningSession
    from confiture.models.plan import PlannedMigration
    from confiture.models.reconcile_results import VerifyReport
    from confiture.models.reports import RunReport
    from confiture.models.settings import Severity
    from confiture.models.tenancy_proofs import IsolationReport, TenancyMap
    from confiture.plan.history import MigrationStatus


@dataclass(frozen=True, kw_only=True, slots=True)
class WriterContext:
    """Where a writer writes to, and what paths are relative to.

    `root` is the project's folder, `environ` the environment of the process. `write` cleans text and writes it to
    stdout. `write_clean` writes a document whose strings are clean: to look for secrets in it again would find them in
    its own keys and numbers.
    """

    root: Path
    environ: Mapping[str, str]
    write: Callable[[str], None]
    write_clean: Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class LintSummary:
    """What lint found and how it judges: `failing` are the severities that end the command with 1."""

    report: LintReport
    failing: Collection[Severity]
    rules: Callable[[], Mapping[str, Rule]]
    duration_ms: float


@dataclass(frozen=True, kw_only=True, slots=True)
class StatusSummary:
    """The status of the migrations on a database; `environment` and `database` are the names to print."""

    status: MigrationStatus
    environment: str
    database: str


@dataclass(frozen=True, kw_only=True, slots=True)
class AdoptionSummary:
    """A history that was renamed from `old` to `new`; `configured` is the name in confiture.yaml."""

    database: str
    old: str
    new: str
    configured: str
    migrations: int


class Writer:
    """Writes the documents of one output format. A subclass has a method for each document that the format offers."""

    def __init__(self, context: WriterContext) -> None:
        self.context = context

    def run(self, report: RunReport) -> None:
        """A run of migrations, or a dry run."""
        self._refuse(Document.RUN)

    def diagnostics(self, diagnostics: Sequence[Diagnostic]) -> None:
        """The errors that end a command."""
        self._refuse(Document.DIAGNOSTICS)

    def findings(self, summary: LintSummary) -> None:
        """What lint found."""
        self._refuse(Document.FINDINGS)

    def rules(self, rules: Mapping[str, Rule], explained: Rule | None) -> None:
        """The rules of lint, or the page of the one that is explained."""
        self._refuse(Document.RULES)

    def status(self, summary: StatusSummary) -> None:
        """Which migrations are applied and pending."""
        self._refuse(Document.STATUS)

    def plan(self, plan: PlannedMigration) -> None:
        """The plan of a migration."""
        self._refuse(Document.PLAN)

    def adoption(self, summary: AdoptionSummary) -> None:
        """A renamed history."""
        self._refuse(Document.ADOPTION)

    def tenant_map(self, tenancy: TenancyMap) -> None:
        """Which tables belong to tenants."""
        self._refuse(Document.TENANT_MAP)

    def tenant_isolation(self, report: IsolationReport) -> None:
        """Which statements keep tenants apart."""
        self._refuse(Document.TENANT_ISOLATION)

    def locks(self, sessions: Sequence[RunningSession], database: str) -> None:
        """The locks of running migrations."""
        self._refuse(Document.LOCKS)

    def backfills(self, backfills: Sequence[BackfillState], database: str) -> None:
        """The progress of batched backfills."""
        self._refuse(Document.BACKFILLS)

    def reconcile(self, verification: VerifyReport) -> None:
        """Tables compared with the queries that define them."""
        self._refuse(Document.RECONCILE)

    def verify(self, verification: VerifyReport) -> None:
        """The checks of applied migrations, run again."""
        self._refuse(Document.VERIFY)

    def _refuse(self, document: Document) -> NoReturn:
        raise NotImplementedError(f"{type(self).__name__} does not write {document.value}")
