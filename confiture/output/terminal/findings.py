"""Lint findings on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from confiture.durations import format_duration
from confiture.lint.engine.rule import Group, Rule
from confiture.models.findings import SEVERITIES, Finding, LintReport
from confiture.output.colors import SEVERITY_STYLES
from confiture.output.numbers import severity_counts
from confiture.output.terminal.console import CleanText, excerpt_lines, print_wrapped
from confiture.text import pluralize


def print_findings(console: Console, report: LintReport, duration_ms: float) -> None:
    """Print the findings by file, then a summary. An effect or hint that a rule repeats is printed once."""
    printed_hints: set[tuple[str, str]] = set()
    width = console.width
    for path, findings in groupby(report.findings, key=lambda finding: finding.span.path if finding.span else ""):
        lines = [_OutputLine(CleanText(path or report.source, style="bold underline"))]
        for finding in findings:
            lines += _finding_lines(finding, printed_hints, width)
        _print_lines(console, [*lines, _OutputLine(CleanText())])
    _print_lines(console, [_OutputLine(CleanText(f"note: {note}"), is_prose=True) for note in report.notes])
    print_wrapped(console, _summary(report, duration_ms))


class _OutputLine(NamedTuple):
    """A line of output. Only prose is wrapped, and only on a terminal."""

    text: CleanText
    is_prose: bool = False


def _print_lines(console: Console, lines: Sequence[_OutputLine]) -> None:
    if not console.is_terminal and console.color_system is None:
        # write findings to a file all at once: styling thousands of findings takes longer than linting
        console.file.write("".join(f"{line.text.plain}\n" for line in lines))
        return
    for line in lines:
        console.print(line.text, soft_wrap=not (line.is_prose and console.is_terminal))


def _finding_lines(finding: Finding, printed_hints: set[tuple[str, str]], width: int) -> Iterator[_OutputLine]:
    head = CleanText(f"{finding.severity}[{finding.rule}]", style=SEVERITY_STYLES[finding.severity])
    yield _OutputLine(head.append(f": {finding.message}", style="default not bold"), is_prose=True)
    if finding.span:
        run_by = f" (migration {finding.migration})" if finding.migration else ""
        yield _OutputLine(CleanText(f"  --> {finding.span}", style="cyan").append(run_by, style="dim default"))
        yield from map(_OutputLine, excerpt_lines(width, finding.span, finding.excerpt))
    for text, label, color in ((finding.effect, "", "default"), (finding.hint, "next: ", "green")):
        if text and (finding.rule, text) not in printed_hints:
            printed_hints.add((finding.rule, text))
            yield _OutputLine(CleanText(f"  {label}", style=color).append(text, style="default"), is_prose=True)
    for number, line in enumerate(finding.remedy.strip().split("\n") if finding.remedy else ()):
        label = "  instead: " if number == 0 else " " * len("  instead: ")
        yield _OutputLine(CleanText(label, style="green").append(line, style="default"))


def _summary(report: LintReport, duration_ms: float) -> CleanText:
    """Return `2 errors and 1 warning in 40 files (310 statements, 35 tables) by 60 rules; 0.4 s`."""
    severities = {finding.severity for finding in report.findings}
    worst = next((severity for severity in SEVERITIES if severity in severities), None)
    text = CleanText(severity_counts(report.findings), style=SEVERITY_STYLES[worst] if worst else "green")
    tables = pluralize(report.tables, "table")
    read = f"{pluralize(report.files, 'file')} ({pluralize(report.statements, 'statement')}, {tables})"
    if report.source != "files":
        read = f"{report.source} ({tables}) and {pluralize(report.files, 'file')}"
    parts = [f" in {read} by {pluralize(report.rules, 'rule')}"]
    parts += [f"{report.suppressed} ignored by comments"] if report.suppressed else []
    parts += [f"{report.known} in the baseline"] if report.known else []
    return text.append("; ".join([*parts, format_duration(duration_ms)]), style="default not bold")


def print_rules(console: Console, rules: Mapping[str, Rule]) -> None:
    """Print all rules by group: name, severity, summary."""
    for group in Group:
        members = sorted((rule for rule in rules.values() if rule.group is group), key=lambda rule: rule.name)
        if not members:
            continue
        table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for rule in members:
            severity = "optional" if rule.off_by_default else rule.severity
            style = "dim" if rule.off_by_default else SEVERITY_STYLES[rule.severity]
            table.add_row(CleanText(rule.name), CleanText(severity, style=style), CleanText(rule.summary))
        console.print(CleanText(group.value, style="bold"))
        console.print(table)
        console.print()


def print_rule_page(console: Console, page: str) -> None:
    """Print a Markdown page; on a terminal, render it."""
    if not console.is_terminal:
        for line in page.rstrip("\n").split("\n"):
            console.print(CleanText(line), soft_wrap=True)
        return
    from rich.markdown import Markdown

    console.print(Markdown(page, code_theme="ansi_light"))
