"""JSON for programs: one document on stdout. docs/json.md describes each document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from confiture.errors import Diagnostic
from confiture.output.writer import (
    AdoptionSummary,
    HistorySummary,
    IdentitySummary,
    LintSummary,
    StatusSummary,
    Writer,
)

if TYPE_CHECKING:
    from confiture.lint.rule import Rule
    from confiture.models.applied_texts import AppliedTexts
    from confiture.models.backfills import BackfillState
    from confiture.models.builds import BuildReport
    from confiture.models.grades import Assessment
    from confiture.models.locks import RunningSession
    from confiture.models.pins import PinResult
    from confiture.models.plan import PlannedMigration
    from confiture.models.pull import PullResult
    from confiture.models.reconcile_results import VerifyReport
    from confiture.models.reports import RunReport
    from confiture.models.saved_plans import SavedPlan
    from confiture.models.schema_diff import SchemaDiff
    from confiture.models.tenancy_proofs import IsolationReport, TenancyMap


class JsonWriter(Writer):
    """A writer for JSON documents. The module for each document is imported on first use."""

    def run(self, report: RunReport) -> None:
        """Write `confiture.run`."""
        from confiture.output.json.run import run_document

        self._write(run_document(report))

    def diagnostics(self, diagnostics: Sequence[Diagnostic]) -> None:
        """Write `confiture.diagnostics`."""
        from confiture.output.json.lint import diagnostics_document

        self._write(diagnostics_document(diagnostics))

    def findings(self, summary: LintSummary) -> None:
        """Write `confiture.lint`."""
        from confiture.output.json.lint import lint_document

        self._write(lint_document(summary.report))

    def rules(self, rules: Mapping[str, Rule], explained: Rule | None) -> None:
        """Write `confiture.rules`: all rules, or the explained rule."""
        from confiture.output.json.lint import rules_document

        self._write(rules_document({explained.name: explained} if explained else rules))

    def status(self, summary: StatusSummary) -> None:
        """Write `confiture.status`."""
        from confiture.output.json.status import status_document

        self._write(status_document(summary.status, summary.environment, summary.database))

    def plan(self, plan: PlannedMigration) -> None:
        """Write `confiture.plan`."""
        from confiture.output.json.plan import plan_document

        self._write(plan_document(plan))

    def assessment(self, assessment: Assessment) -> None:
        """Write `confiture.assessment`."""
        from confiture.output.json.assessment import assessment_document

        self._write(assessment_document(assessment))

    def saved_plan(self, plan: SavedPlan) -> None:
        """Write `confiture.saved_plan`, as in the file."""
        self.context.write_clean(plan.to_text())

    def adoption(self, summary: AdoptionSummary) -> None:
        """Write `confiture.adoption`."""
        from confiture.output.json.status import adoption_document

        self._write(adoption_document(summary.database, summary.old, summary.new, summary.migrations))

    def pins(self, result: PinResult) -> None:
        """Write `confiture.pins`."""
        from confiture.output.json.status import pins_document

        self._write(pins_document(result))

    def applied(self, texts: AppliedTexts) -> None:
        """Write `confiture.applied`."""
        from confiture.output.json.status import applied_document

        self._write(applied_document(texts))

    def history(self, summary: HistorySummary) -> None:
        """Write `confiture.history`."""
        from confiture.output.json.history import history_document

        self._write(history_document(summary))

    def identity(self, summary: IdentitySummary) -> None:
        """Write `confiture.identity`."""
        from confiture.output.json.history import identity_document

        self._write(identity_document(summary))

    def build(self, report: BuildReport) -> None:
        """Write `confiture.build`."""
        from confiture.output.json.build import build_document

        self._write(build_document(report))

    def tenant_map(self, tenancy: TenancyMap) -> None:
        """Write `confiture.tenancy`."""
        from confiture.output.json.tenancy_map import tenancy_map_document

        self._write(tenancy_map_document(tenancy))

    def tenant_isolation(self, report: IsolationReport) -> None:
        """Write `confiture.isolation`."""
        from confiture.output.json.tenancy_proofs import isolation_document

        self._write(isolation_document(report))

    def locks(self, sessions: Sequence[RunningSession], database: str) -> None:
        """Write `confiture.locks`."""
        from confiture.output.json.locks import locks_document

        self._write(locks_document(sessions, database))

    def backfills(self, backfills: Sequence[BackfillState], database: str) -> None:
        """Write `confiture.backfills`."""
        from confiture.output.json.backfills import backfills_document

        self._write(backfills_document(backfills, database))

    def reconcile(self, verification: VerifyReport) -> None:
        """Write `confiture.reconcile`."""
        from confiture.output.json.verify import verify_document

        self._write(verify_document(verification, "confiture.reconcile"))

    def verify(self, verification: VerifyReport) -> None:
        """Write `confiture.verify`."""
        from confiture.output.json.verify import verify_document

        self._write(verify_document(verification, "confiture.verify"))

    def schema_diff(self, diff: SchemaDiff) -> None:
        """Write `confiture.diff`."""
        from confiture.output.json.schema_diff import schema_diff_document

        self._write(schema_diff_document(diff))

    def pull(self, result: PullResult) -> None:
        """Write `confiture.pull`."""
        from confiture.output.json.schema_diff import pull_document

        self._write(pull_document(result))

    def _write(self, document: dict[str, Any]) -> None:
        from confiture.output.json.document import dump_json

        self.context.write_clean(dump_json(document))
