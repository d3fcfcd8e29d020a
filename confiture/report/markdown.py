"""Markdown, for pull requests: a dry run, a run, or what lint found, in a few tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from re import findall

from confiture.errors import Diagnostic
from confiture.models.events import Outcome
from confiture.models.findings import Finding, LintReport
from confiture.models.reports import RunReport
from confiture.models.trace import RunWarning
from confiture.report.sentences import blocked_sentences, estimate_sentences, retry_sentences, run_sentence
from confiture.report.timeline import lanes
from confiture.report.words import count, counted, duration, rows
from confiture.report.work import folded, work_of


def run_markdown(report: RunReport) -> str:
    """The report of a run, headed by how it ended."""
    title = "Dry run" if report.dry_run else f"Migrate {report.direction.value}"
    parts = [f"### Confiture: {title}", _cell(run_sentence(report))]
    parts += [_cell(sentence) for sentence in estimate_sentences(report)]
    parts += _section("Warnings", [line for warning in report.warnings for line in _warning(warning)])
    parts += _section("Errors", _diagnostics(report.diagnostics))
    parts += _section("Waited for us", [f"- {_cell(line)}" for line in blocked_sentences(report)])
    parts += _section("Locks", _locks(report))
    parts += _section("Steps", _steps(report))
    parts += _section("Work", _work(report))
    parts += _section("Notes", [f"- {_cell(line)}" for line in [*retry_sentences(report), *report.notes]])
    parts += _section("Left behind by the dry run", [f"- {_cell(line)}" for line in report.leftovers])
    return "\n\n".join(parts) + "\n"


def diagnostics_markdown(diagnostics: Sequence[Diagnostic]) -> str:
    """What is wrong where nothing ran."""
    lines = "\n".join(_diagnostics(diagnostics)) or "All valid."
    return f"### Confiture\n\n{lines}\n"


def findings_markdown(report: LintReport) -> str:
    """What lint found: a table for each file, and what each rule means."""
    parts = ["### Confiture: lint", _cell(f"{counted(report.findings)} in {count(report.files, 'file')}.")]
    for path, here in groupby(report.findings, key=lambda finding: finding.span.path if finding.span else ""):
        lines = ["| line | severity | rule | what |", "|---:|---|---|---|"]
        for finding in here:
            line = finding.span.line if finding.span else ""
            lines.append(f"| {line} | {finding.severity} | `{finding.rule}` | {_cell(finding.message)} |")
        parts += _section(_cell(path or report.source), lines)
    meant = {finding.rule: finding for finding in report.findings}
    parts += _section("Why", [_meaning(meant[rule]) for rule in sorted(meant)])
    return "\n\n".join(parts) + "\n"


def _meaning(finding: Finding) -> str:
    hint = f" Next: {_cell(finding.hint)}." if finding.hint else ""
    return f"- `{finding.rule}`: {_cell(finding.effect or finding.message)}{hint}"


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return [f"#### {title}", "\n".join(lines)] if lines else []


def _diagnostics(diagnostics: Iterable[Diagnostic]) -> list[str]:
    lines = []
    for diagnostic in diagnostics:
        place = f"`{diagnostic.span}` " if diagnostic.span else ""
        lines.append(f"- {place}**{_cell(diagnostic.message)}**")
        lines += [f"  - {_cell(detail.strip())}" for detail in diagnostic.detail]
        if diagnostic.hint:
            lines.append(f"  - next: {_cell(diagnostic.hint)}")
    return lines


def _warning(warning: RunWarning) -> list[str]:
    place = f"`{warning.span}` " if warning.span else ""
    rule = f" `{warning.rule}`" if warning.rule else ""
    lines = [f"- {place}**{_cell(warning.message)}**{rule}", f"  - next: {_cell(warning.hint)}"]
    if warning.remedy:
        fence = "`" * max([3, *(len(run) + 1 for run in findall("`+", warning.remedy))])
        lines += [
            f"    {line}".rstrip() for line in ("", f"{fence}sql", *warning.remedy.strip().split("\n"), fence, "")
        ]
    return lines


def _locks(report: RunReport) -> list[str]:
    found = lanes(report.locks)
    if not found:
        return []
    lines = ["| relation | strongest lock | no reads for | no writes for |", "|---|---|---:|---:|"]
    for lane in found:
        times = f"{duration(lane.no_reads_ms)} | {duration(lane.no_writes_ms)}"
        lines.append(f"| {_cell(lane.relation)} | {lane.worst.felt.sql} | {times} |")
    return lines


def _steps(report: RunReport) -> list[str]:
    lines = ["| migration | phase | step | rows | time | result |", "|---|---|---|---:|---:|---|"]
    for migration in report.migrations:
        for step in migration.steps:
            result = "ok" if step.outcome is Outcome.DONE else step.outcome.value
            note = f" ({_cell(step.note)})" if step.note else ""
            lines.append(
                f"| {_cell(migration.version)} | {step.step.phase.value} | {_cell(step.step.name)}{note}"
                f" | {rows(step.rows)} | {duration(step.duration_ms)} | {result} |"
            )
    return lines if len(lines) > 2 else []


def _work(report: RunReport) -> list[str]:
    """Scans, rewrites, WAL: a line for each statement, and for each backfill, that has any."""
    worked = [(work.label, work_of(work.statement)) for work in folded(report.statements)]
    return [f"- {_cell(label)}: {_cell(work)}" for label, work in worked if work]


def _cell(text: str) -> str:
    """Text that neither ends a table's cell nor turns into markup."""
    escaped = "".join(f"\\{character}" if character in r"\`*_[]<>|#" else character for character in text)
    return " ".join(escaped.split())
