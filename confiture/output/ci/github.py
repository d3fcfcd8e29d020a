"""Annotations for GitHub Actions: each problem at its file and line."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from confiture.errors import Diagnostic, Span
from confiture.models.findings import Finding
from confiture.models.reports import RunReport
from confiture.models.trace import DryRunWarning
from confiture.output.ci.markdown_limit import SUMMARY_BYTES, limit_markdown
from confiture.output.writer import LintSummary, Writer
from confiture.text import escape_block, escape_line, escape_lines

_LEVELS = {"error": "error", "warning": "warning", "info": "notice"}


class GitHubWriter(Writer):
    """A writer for workflow commands. It prints a run's tables first, for people who read the log."""

    def run(self, report: RunReport) -> None:
        """Write the tables, the lint findings, the dry-run warnings, and the errors."""
        from confiture.output.terminal.console import stdout_console
        from confiture.output.terminal.run import print_run

        print_run(stdout_console(), report)
        root, environ = self.context.root, self.context.environ
        self.context.write_clean(
            finding_commands(report.findings, root, environ)
            + warning_commands(report.warnings, root, environ)
            + error_commands(report.diagnostics, root, environ)
        )
        from confiture.output.ci.markdown import run_markdown

        self._append_summary(run_markdown(report))

    def diagnostics(self, diagnostics: Sequence[Diagnostic]) -> None:
        """Write the errors."""
        self.context.write_clean(error_commands(diagnostics, self.context.root, self.context.environ))

    def findings(self, summary: LintSummary) -> None:
        """Write the findings."""
        self.context.write_clean(finding_commands(summary.report.findings, self.context.root, self.context.environ))
        from confiture.output.ci.markdown import findings_markdown

        self._append_summary(findings_markdown(summary.report))

    def _append_summary(self, text: str) -> None:
        """Append Markdown to the job summary, within GitHub's limit for a step. A failure does not fail the command."""
        name = self.context.environ.get("GITHUB_STEP_SUMMARY")
        if not name:
            return
        path = Path(name)
        try:
            used = path.stat().st_size if path.exists() else 0
            if used < SUMMARY_BYTES:
                with path.open("a", encoding="utf-8") as file:
                    file.write(escape_block(limit_markdown(text, SUMMARY_BYTES - used)))
        except OSError as error:
            self.context.write_clean(f"::warning::the job summary cannot be written: {escape_line(str(error))}\n")


def error_commands(diagnostics: Sequence[Diagnostic], root: Path, environ: Mapping[str, str]) -> str:
    """Return one `::error` command per line, with paths relative to the repository, as GitHub requires."""
    workspace = Path(environ.get("GITHUB_WORKSPACE") or Path.cwd())
    return "".join(_diagnostic_command(diagnostic, root, workspace) + "\n" for diagnostic in diagnostics)


def warning_commands(warnings: Sequence[DryRunWarning], root: Path, environ: Mapping[str, str]) -> str:
    """Return one `::warning` command per line for dry-run warnings."""
    workspace = Path(environ.get("GITHUB_WORKSPACE") or Path.cwd())
    return "".join(_warning_command(warning, root, workspace) + "\n" for warning in warnings)


def finding_commands(findings: Sequence[Finding], root: Path, environ: Mapping[str, str]) -> str:
    """Return one command per line for lint findings: `::error`, `::warning` or `::notice`."""
    workspace = Path(environ.get("GITHUB_WORKSPACE") or Path.cwd())
    return "".join(
        _format_command(_LEVELS[finding.severity], finding.rule, finding.span, finding_lines(finding), root, workspace)
        + "\n"
        for finding in findings
    )


def finding_lines(finding: Finding) -> list[str]:
    """Return a finding as lines of plain text: the message, effect, hint, and remedy."""
    lines = [finding.message, finding.effect, f"next: {finding.hint}" if finding.hint else "", finding.remedy or ""]
    return [line for line in lines if line]


def _warning_command(warning: DryRunWarning, root: Path, workspace: Path) -> str:
    lines = [warning.message, f"next: {warning.hint}", *([warning.remedy] if warning.remedy else [])]
    return _format_command("warning", warning.rule or warning.code, warning.span, lines, root, workspace)


def _diagnostic_command(diagnostic: Diagnostic, root: Path, workspace: Path) -> str:
    lines = [diagnostic.message, *diagnostic.detail]
    if diagnostic.hint:
        lines.append(f"next: {diagnostic.hint}")
    return _format_command("error", diagnostic.code, diagnostic.span, lines, root, workspace)


def _format_command(level: str, code: str, span: Span | None, lines: Sequence[str], root: Path, workspace: Path) -> str:
    properties = {"title": f"confiture: {code}"}
    if span:
        properties = _location_properties(span, root, workspace) | properties
    listed = ",".join(f"{name}={_escape_property(escape_line(value))}" for name, value in properties.items())
    message_lines = [escaped for line in lines for escaped in escape_lines(line)]
    return f"::{level} {listed}::{_escape_data(chr(10).join(message_lines))}"


def _location_properties(span: Span, root: Path, workspace: Path) -> dict[str, str]:
    path = os.path.relpath(root / span.path, workspace)
    return {"file": Path(path).as_posix(), "line": str(span.line), "col": str(span.column)}


def _escape_data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escape_property(text: str) -> str:
    return _escape_data(text).replace(":", "%3A").replace(",", "%2C")
