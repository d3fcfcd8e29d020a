"""The output format `text`: tables on stdout, errors on stderr."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from confiture.errors import Diagnostic
from confiture.output.terminal.console import print_diagnostics, stderr_console, stdout_console
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


class TextWriter(Writer):
    """A writer for tables and sentences on a terminal. The module for each document is imported on first use."""

    def run(self, report: RunReport) -> None:
        """Write the tables of a run. `diagnostics` then writes the errors to stderr."""
        from confiture.output.terminal.run import print_run

        print_run(stdout_console(), report)

    def diagnostics(self, diagnostics: Sequence[Diagnostic]) -> None:
        """Write the errors to stderr."""
        print_diagnostics(stderr_console(), diagnostics)

    def findings(self, summary: LintSummary) -> None:
        """Write the findings and a summary."""
        from confiture.output.terminal.findings import print_findings

        print_findings(stdout_console(), summary.report, summary.duration_ms)

    def rules(self, rules: Mapping[str, Rule], explained: Rule | None) -> None:
        """Write a table of all rules, or the page of the explained rule."""
        from confiture.output.terminal.findings import print_rule_page, print_rules

        if explained is None:
            print_rules(stdout_console(), rules)
            return
        from confiture.lint.rule_docs import render_page

        print_rule_page(stdout_console(), render_page(explained))

    def status(self, summary: StatusSummary) -> None:
        """Write a table of migrations and the next step. Write drift to stderr."""
        from confiture.output.terminal.status import print_status

        print_status(stdout_console(), summary.status, summary.database, summary.environment)
        if summary.status.drift:
            self.diagnostics(summary.status.drift)

    def plan(self, plan: PlannedMigration) -> None:
        """Write the segments and steps with their SQL."""
        from confiture.output.terminal.plan import print_plan

        print_plan(stdout_console(), plan)

    def assessment(self, assessment: Assessment) -> None:
        """Write the overview and the reasons of the grades."""
        from confiture.output.terminal.assessment import print_assessment

        print_assessment(stdout_console(), assessment)

    def saved_plan(self, plan: SavedPlan) -> None:
        """Write the target, the grades, and the statements."""
        from confiture.output.terminal.saved_plan import print_saved_plan

        print_saved_plan(stdout_console(), plan)

    def adoption(self, summary: AdoptionSummary) -> None:
        """Write the result of the renaming and the next step."""
        from confiture.text import pluralize

        number = pluralize(summary.migrations, "migration")
        self.context.write(f"Renamed the history of {summary.old} ({number}) to {summary.new}.\n")
        if summary.configured != summary.new:
            self.context.write(
                f"Next: change `project: {summary.configured}` to `project: {summary.new}` in confiture.yaml.\n"
            )

    def pins(self, result: PinResult) -> None:
        """Write a line for each pin. Write the files that could not be pinned to stderr."""
        for one in result.written:
            self.context.write(f"{one.pin}: pinned from {one.source}\n")
        if result.problems:
            self.diagnostics(result.problems)
        elif not result.written:
            self.context.write("Nothing to do: everything is pinned.\n")

    def applied(self, texts: AppliedTexts) -> None:
        """Write the migration's file, then each file that its steps name."""
        from confiture.output.terminal.applied_texts import format_applied_texts

        self.context.write(format_applied_texts(texts))

    def history(self, summary: HistorySummary) -> None:
        """Write a line for each event."""
        from confiture.output.terminal.history import print_history

        print_history(stdout_console(), summary)

    def identity(self, summary: IdentitySummary) -> None:
        """Write a row for each project."""
        from confiture.output.terminal.identity import print_identity

        print_identity(stdout_console(), summary)

    def build(self, report: BuildReport) -> None:
        """Write what was built, and notes."""
        from confiture.output.terminal.build import summary_lines

        self.context.write("".join(f"{line}\n" for line in summary_lines(report)))

    def tenant_map(self, tenancy: TenancyMap) -> None:
        """Write a row for each table."""
        from confiture.output.terminal.tenancy_map import print_tenancy_map

        print_tenancy_map(stdout_console(), tenancy)

    def tenant_isolation(self, report: IsolationReport) -> None:
        """Write the rows that mix tenants, and a row for each statement."""
        from confiture.output.terminal.tenancy_proofs import print_isolation

        print_isolation(stdout_console(), report)

    def locks(self, sessions: Sequence[RunningSession], database: str) -> None:
        """Write the locks of each session."""
        from confiture.output.terminal.locks import locks_table

        stdout_console().print(locks_table(sessions, database))

    def backfills(self, backfills: Sequence[BackfillState], database: str) -> None:
        """Write a row for each backfill."""
        from confiture.output.terminal.backfills import backfills_table

        stdout_console().print(backfills_table(backfills, database))

    def reconcile(self, verification: VerifyReport) -> None:
        """Write a sentence for each equal table, and the details of differences."""
        from confiture.output.terminal.reconcile_results import print_reconcile_results

        print_reconcile_results(stdout_console(), verification)

    def verify(self, verification: VerifyReport) -> None:
        """Write a row for each check."""
        from confiture.output.terminal.reconcile_results import print_verify_report

        print_verify_report(stdout_console(), verification)

    def schema_diff(self, diff: SchemaDiff) -> None:
        """Write a line for each object that differs."""
        from confiture.output.terminal.schema_diff import print_schema_diff

        print_schema_diff(stdout_console(), diff)

    def pull(self, result: PullResult) -> None:
        """Write the number of files and what they do not contain."""
        from confiture.text import pluralize

        self.context.write(
            f"Wrote {pluralize(len(result.files), 'file')} below {result.folder} from {result.database}.\n"
        )
        for note in result.notes:
            self.context.write(f"note: {note}\n")
