"""Text for people: tables on stdout, errors on stderr."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from confiture.errors import Diagnostic
from confiture.report.terminal import data_console, print_diagnostics, talk_console
from confiture.report.writer import AdoptionSummary, LintSummary, StatusSummary, Writer

if TYPE_CHECKING:
    from confiture.lint.rule import Rule
    from confiture.models.backfills import BackfillState
    from confiture.models.isolation import IsolationReport, TenancyMap
    from confiture.models.locks import RunningSession
    from confiture.models.plan import PlannedMigration
    from confiture.models.reconciling import Verification
    from confiture.models.reports import RunReport


class TextWriter(Writer):
    """Writes tables and sentences for a terminal. Each part is imported when it is needed."""

    def run(self, report: RunReport) -> None:
        """The tables of a run. The errors follow on stderr, by `diagnostics`."""
        from confiture.report.runs import print_run

        print_run(data_console(), report)

    def diagnostics(self, diagnostics: Sequence[Diagnostic]) -> None:
        """The errors, on stderr."""
        print_diagnostics(talk_console(), diagnostics)

    def findings(self, summary: LintSummary) -> None:
        """The findings, and a sentence that sums up."""
        from confiture.report.findings import print_findings

        print_findings(data_console(), summary.report, summary.duration_ms)

    def rules(self, rules: Mapping[str, Rule], explained: Rule | None) -> None:
        """A table of all rules, or the page of one."""
        from confiture.report.findings import print_page, print_rules

        if explained is None:
            print_rules(data_console(), rules)
            return
        from confiture.lint.rule_docs import page

        print_page(data_console(), page(explained))

    def status(self, summary: StatusSummary) -> None:
        """A table of migrations, the next step, and on stderr the files that changed."""
        from confiture.report.standing import print_status

        print_status(data_console(), summary.status, summary.database, summary.environment)
        if summary.status.drift:
            self.diagnostics(summary.status.drift)

    def plan(self, plan: PlannedMigration) -> None:
        """The segments and steps, with their SQL."""
        from confiture.report.plans import print_plan

        print_plan(data_console(), plan)

    def adoption(self, summary: AdoptionSummary) -> None:
        """What was renamed, and what is left to do."""
        from confiture.models.words import count

        number = count(summary.migrations, "migration")
        self.context.write(f"The history of {summary.old}, with {number}, is now that of {summary.new}.\n")
        if summary.configured != summary.new:
            self.context.write(
                f"Next: write `project: {summary.new}` in confiture.yaml. It says {summary.configured} now.\n"
            )

    def tenant_map(self, tenancy: TenancyMap) -> None:
        """A row for each table."""
        from confiture.report.tenancy import print_map

        print_map(data_console(), tenancy)

    def tenant_isolation(self, report: IsolationReport) -> None:
        """The rows that mix tenants, and a row for each statement."""
        from confiture.report.isolation import print_isolation

        print_isolation(data_console(), report)

    def locks(self, sessions: Sequence[RunningSession], database: str) -> None:
        """The locks of each session."""
        from confiture.report.locks import locks_view

        data_console().print(locks_view(sessions, database))

    def backfills(self, backfills: Sequence[BackfillState], database: str) -> None:
        """A row for each backfill."""
        from confiture.report.backfills import backfills_view

        data_console().print(backfills_view(backfills, database))

    def reconcile(self, verification: Verification) -> None:
        """What is equal in a sentence each, what differs in full."""
        from confiture.report.reconciling import print_reconciled

        print_reconciled(data_console(), verification)

    def verify(self, verification: Verification) -> None:
        """A row for each check."""
        from confiture.report.reconciling import print_verification

        print_verification(data_console(), verification)
