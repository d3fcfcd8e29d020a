"""Annotations for GitHub Actions: each mistake at its file and line."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from confiture.errors import Diagnostic, Span
from confiture.models.findings import Finding
from confiture.models.reports import RunReport
from confiture.models.trace import RunWarning
from confiture.report.writer import LintSummary, Writer
from confiture.text import visible, visible_lines

_LEVELS = {"error": "error", "warning": "warning", "info": "notice"}


class GitHubWriter(Writer):
    """Writes workflow commands. A run's tables come first, for people who read the log."""

    def run(self, report: RunReport) -> None:
        """The tables, then what lint found, what the dry run warns of, and the errors."""
        from confiture.report.runs import print_run
        from confiture.report.terminal import data_console

        print_run(data_console(), report)
        root, environ = self.context.root, self.context.environ
        self.context.write_commands(
            finding_commands(report.findings, root, environ)
            + warning_commands(report.warnings, root, environ)
            + error_commands(report.diagnostics, root, environ)
        )

    def diagnostics(self, diagnostics: Sequence[Diagnostic]) -> None:
        """The errors."""
        self.context.write_commands(error_commands(diagnostics, self.context.root, self.context.environ))

    def findings(self, summary: LintSummary) -> None:
        """The findings."""
        self.context.write_commands(finding_commands(summary.report.findings, self.context.root, self.context.environ))


def error_commands(diagnostics: Sequence[Diagnostic], root: Path, environ: Mapping[str, str]) -> str:
    """One `::error` command a line. GitHub wants paths relative to the repository, so they are taken from there."""
    workspace = Path(environ.get("GITHUB_WORKSPACE") or Path.cwd())
    return "".join(_annotation(diagnostic, root, workspace) + "\n" for diagnostic in diagnostics)


def warning_commands(warnings: Sequence[RunWarning], root: Path, environ: Mapping[str, str]) -> str:
    """One `::warning` command a line, for what a dry run warns of."""
    workspace = Path(environ.get("GITHUB_WORKSPACE") or Path.cwd())
    return "".join(_warning(warning, root, workspace) + "\n" for warning in warnings)


def finding_commands(findings: Sequence[Finding], root: Path, environ: Mapping[str, str]) -> str:
    """One command a line, for what lint found: `::error`, `::warning` or `::notice`."""
    workspace = Path(environ.get("GITHUB_WORKSPACE") or Path.cwd())
    return "".join(
        _command(_LEVELS[finding.severity], finding.rule, finding.span, told_lines(finding), root, workspace) + "\n"
        for finding in findings
    )


def told_lines(finding: Finding) -> list[str]:
    """A finding in lines of plain text: what is wrong, what happens, what to do, what to write."""
    lines = [finding.message, finding.effect, f"next: {finding.hint}" if finding.hint else "", finding.remedy or ""]
    return [line for line in lines if line]


def _warning(warning: RunWarning, root: Path, workspace: Path) -> str:
    lines = [warning.message, f"next: {warning.hint}", *([warning.remedy] if warning.remedy else [])]
    return _command("warning", warning.rule or warning.code, warning.span, lines, root, workspace)


def _annotation(diagnostic: Diagnostic, root: Path, workspace: Path) -> str:
    lines = [diagnostic.message, *diagnostic.detail]
    if diagnostic.hint:
        lines.append(f"next: {diagnostic.hint}")
    return _command("error", diagnostic.code, diagnostic.span, lines, root, workspace)


def _command(level: str, code: str, span: Span | None, lines: Sequence[str], root: Path, workspace: Path) -> str:
    properties = {"title": f"confiture: {code}"}
    if span:
        properties = _place(span, root, workspace) | properties
    listed = ",".join(f"{name}={_escaped_property(visible(value))}" for name, value in properties.items())
    told = [shown for line in lines for shown in visible_lines(line)]
    return f"::{level} {listed}::{_escaped(chr(10).join(told))}"


def _place(span: Span, root: Path, workspace: Path) -> dict[str, str]:
    path = os.path.relpath(root / span.path, workspace)
    return {"file": Path(path).as_posix(), "line": str(span.line), "col": str(span.column)}


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escaped_property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")
