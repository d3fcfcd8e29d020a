"""Findings of lint for people at a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from confiture.lint.engine.rule import Group, Rule
from confiture.models.findings import SEVERITIES, Finding, LintReport
from confiture.models.words import count, duration
from confiture.report.colours import SEVERITY
from confiture.report.terminal import Text, excerpt_lines, print_text
from confiture.report.words import counted


def print_findings(console: Console, report: LintReport, duration_ms: float) -> None:
    """Each finding below its file, then a line that sums up. What is the same for all of a rule is told once."""
    told: set[tuple[str, str]] = set()
    width = console.width
    for path, findings in groupby(report.findings, key=lambda finding: finding.span.path if finding.span else ""):
        lines = [_Line(Text(path or report.source, style="bold underline"))]
        for finding in findings:
            lines += _lines(finding, told, width)
        _print_lines(console, [*lines, _Line(Text())])
    _print_lines(console, [_Line(Text(f"note: {note}"), is_prose=True) for note in report.notes])
    print_text(console, _summary(report, duration_ms))


class _Line(NamedTuple):
    """A line of output. Prose is wrapped at a terminal, anything else never is."""

    text: Text
    is_prose: bool = False


def _print_lines(console: Console, lines: Sequence[_Line]) -> None:
    if not console.is_terminal and console.color_system is None:
        # thousands of findings go to a file at once: styling them would take longer than finding them
        console.file.write("".join(f"{line.text.plain}\n" for line in lines))
        return
    for line in lines:
        console.print(line.text, soft_wrap=not (line.is_prose and console.is_terminal))


def _lines(finding: Finding, told: set[tuple[str, str]], width: int) -> Iterator[_Line]:
    head = Text(f"{finding.severity}[{finding.rule}]", style=SEVERITY[finding.severity])
    yield _Line(head.append(f": {finding.message}", style="default not bold"), is_prose=True)
    if finding.span:
        run_by = f" (migration {finding.migration})" if finding.migration else ""
        yield _Line(Text(f"  --> {finding.span}", style="cyan").append(run_by, style="dim default"))
        yield from map(_Line, excerpt_lines(width, finding.span, finding.excerpt))
    for text, label, colour in ((finding.effect, "", "default"), (finding.hint, "next: ", "green")):
        if text and (finding.rule, text) not in told:
            told.add((finding.rule, text))
            yield _Line(Text(f"  {label}", style=colour).append(text, style="default"), is_prose=True)
    for number, line in enumerate(finding.remedy.strip().split("\n") if finding.remedy else ()):
        label = "  instead: " if number == 0 else " " * len("  instead: ")
        yield _Line(Text(label, style="green").append(line, style="default"))


def _summary(report: LintReport, duration_ms: float) -> Text:
    """`2 errors and 1 warning in 40 files (310 statements, 35 tables) by 60 rules; 0.4 s`."""
    worst = next((one for one in SEVERITIES if any(found.severity == one for found in report.findings)), None)
    text = Text(counted(report.findings), style=SEVERITY[worst] if worst else "green")
    tables = count(report.tables, "table")
    read = f"{count(report.files, 'file')} ({count(report.statements, 'statement')}, {tables})"
    if report.source != "files":
        read = f"{report.source} ({tables}) and {count(report.files, 'file')}"
    parts = [f" in {read} by {count(report.rules, 'rule')}"]
    parts += [f"{report.suppressed} ignored by comments"] if report.suppressed else []
    parts += [f"{report.known} known to the baseline"] if report.known else []
    return text.append("; ".join([*parts, duration(duration_ms)]), style="default not bold")


def print_rules(console: Console, rules: Mapping[str, Rule]) -> None:
    """All rules by group: name, severity, what they find."""
    for group in Group:
        here = sorted((rule for rule in rules.values() if rule.group is group), key=lambda rule: rule.name)
        if not here:
            continue
        table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for rule in here:
            severity = "optional" if rule.optional else rule.severity
            style = "dim" if rule.optional else SEVERITY[rule.severity]
            table.add_row(Text(rule.name), Text(severity, style=style), Text(rule.summary))
        console.print(Text(group.value, style="bold"))
        console.print(table)
        console.print()


def print_page(console: Console, page: str) -> None:
    """A page of Markdown: as it is, or set for a terminal."""
    if not console.is_terminal:
        for line in page.rstrip("\n").split("\n"):
            console.print(Text(line), soft_wrap=True)
        return
    from rich.markdown import Markdown

    console.print(Markdown(page, code_theme="ansi_light"))
