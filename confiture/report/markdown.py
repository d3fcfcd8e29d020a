"""Markdown, for pull requests: a dry run, a run, or what lint found, in a few tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from re import findall, sub

from confiture.errors import Diagnostic
from confiture.models.events import Outcome
from confiture.models.findings import Finding, LintReport
from confiture.models.isolation import Standing
from confiture.models.reports import RunReport
from confiture.models.trace import RunWarning
from confiture.models.words import count, duration
from confiture.report.isolation import MOST_LEAKS, reason_of, rehearsed_sentences, row_text, tenants_of
from confiture.report.sentences import blocked_sentences, estimate_sentences, retry_sentences, run_sentence
from confiture.report.timeline import lanes
from confiture.report.words import counted, rows
from confiture.report.work import folded, is_notable, work_of
from confiture.report.writer import LintSummary, Writer
from confiture.text import visible_lines


class MarkdownWriter(Writer):
    """Writes Markdown, for comments on merge requests."""

    def run(self, report: RunReport) -> None:
        """The tables of a run."""
        self.context.write(run_markdown(report))

    def diagnostics(self, diagnostics: Sequence[Diagnostic]) -> None:
        """The errors."""
        self.context.write(diagnostics_markdown(diagnostics))

    def findings(self, summary: LintSummary) -> None:
        """The findings."""
        self.context.write(findings_markdown(summary.report))


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
    parts += _section("Tenants", _tenants(report))
    parts += _section("Notes", [f"- {_cell(line)}" for line in [*retry_sentences(report), *report.notes]])
    parts += _section("Left behind by the dry run", [f"- {_cell(line)}" for line in report.leftovers])
    return "\n\n".join(parts) + "\n"


def diagnostics_markdown(diagnostics: Sequence[Diagnostic]) -> str:
    """What is wrong where nothing ran."""
    lines = "\n".join(_diagnostics(diagnostics)) or "All valid."
    return f"### Confiture\n\n{lines}\n"


def findings_markdown(report: LintReport) -> str:
    """What lint found: a table for each file, what each rule means, and what to write instead."""
    parts = ["### Confiture: lint", _cell(f"{counted(report.findings)} in {count(report.files, 'file')}.")]
    for path, here in groupby(report.findings, key=lambda finding: finding.span.path if finding.span else ""):
        lines = ["| line | severity | rule | what |", "|---:|---|---|---|"]
        for finding in here:
            line = finding.span.line if finding.span else ""
            lines.append(f"| {line} | {finding.severity} | {_code(finding.rule)} | {_cell(finding.message)} |")
        parts += _section(_cell(path or report.source), lines)
    parts += _section("Why", _meanings(report.findings))
    parts += _section("Instead", _remedies(report.findings))
    parts += _section("Notes", [f"- {_cell(note)}" for note in report.notes])
    return "\n\n".join(parts) + "\n"


def _meanings(findings: Iterable[Finding]) -> list[str]:
    """What happens and what to do, once for all findings of a rule that are alike in that; else with their places."""
    places: dict[str, dict[tuple[str, str], list[str]]] = {}
    for finding in findings:
        alike = places.setdefault(finding.rule, {}).setdefault((finding.effect or finding.message, finding.hint), [])
        alike += [_code(str(finding.span))] if finding.span else []
    lines = []
    for rule in sorted(places):
        for (effect, hint), where in places[rule].items():
            here = f" ({', '.join(dict.fromkeys(where))})" if len(places[rule]) > 1 and where else ""
            lines.append(f"- {_code(rule)}{here}: {_cell(effect)}" + (f" Next: {_cell(hint)}." if hint else ""))
    return lines


def _remedies(findings: Iterable[Finding]) -> list[str]:
    """The SQL to paste, once for all findings that it mends."""
    mended: dict[str, list[str]] = {}
    for finding in findings:
        if finding.remedy:
            place = f"{_code(str(finding.span))} " if finding.span else ""
            mended.setdefault(finding.remedy, []).append(f"{place}{_code(finding.rule)}")
    return [
        line for remedy, whose in mended.items() for line in (f"- {', '.join(dict.fromkeys(whose))}", *_sql(remedy))
    ]


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return [f"#### {title}", "\n".join(lines)] if lines else []


def _diagnostics(diagnostics: Iterable[Diagnostic]) -> list[str]:
    lines = []
    for diagnostic in diagnostics:
        place = f"{_code(str(diagnostic.span))} " if diagnostic.span else ""
        lines.append(f"- {place}**{_cell(diagnostic.message)}**")
        lines += [f"  - {_cell(detail.strip())}" for detail in diagnostic.detail]
        if diagnostic.hint:
            lines.append(f"  - next: {_cell(diagnostic.hint)}")
    return lines


def _warning(warning: RunWarning) -> list[str]:
    place = f"{_code(str(warning.span))} " if warning.span else ""
    rule = f" {_code(warning.rule)}" if warning.rule else ""
    lines = [f"- {place}**{_cell(warning.message)}**{rule}", f"  - next: {_cell(warning.hint)}"]
    return lines + (_sql(warning.remedy) if warning.remedy else [])


def _sql(text: str) -> list[str]:
    """SQL in a fence that is longer than any in it, as part of a list's item."""
    lines = visible_lines(text.strip())
    fence = _fence(text, 3)
    return [f"    {line}".rstrip() for line in ("", f"{fence}sql", *lines, fence, "")]


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
            note = f" ({_cell(step.remark)})" if step.remark else ""
            lines.append(
                f"| {_cell(migration.version)} | {step.step.phase.value} | {_cell(step.step.name)}{note}"
                f" | {rows(step.rows)} | {duration(step.duration_ms)} | {result} |"
            )
    return lines if len(lines) > 2 else []


def _tenants(report: RunReport) -> list[str]:
    """Whether tenants stay apart: a line for each statement that was proved, and what mixes them, row by row."""
    found = report.isolation
    if found is None or not found.statements:
        return []
    lines = ["| migration | step | writes | tenants | rows | result |", "|---|---|---|---:|---:|---|"]
    for one in found.statements:
        reason = reason_of(one)
        result = one.proof.standing.value + (f": {reason}" if reason else "")
        lines.append(
            f"| {_cell(one.step.version)} | {_cell(one.step.name)} | {_cell(one.target)} | {tenants_of(one.proof)}"
            f" | {rows(one.proof.rows) if one.proof.sample else ''} | {_cell(result)} |"
        )
    lines.append("")
    for one in found.of(Standing.MIXED):
        leaks = one.proof.leaks
        for leak in leaks[:MOST_LEAKS]:
            lines.append(f"- {_cell(f'{one.target}: {leak.sentence}')}")
            lines += [f"  - {_cell(row_text(values))}" for values in leak.shown]
        if len(leaks) > MOST_LEAKS:
            lines.append(
                f"- {_cell(one.target)}: {count(len(leaks) - MOST_LEAKS, 'more difference')}; the JSON has them all"
            )
    return [*lines, "", *(_cell(line) for line in rehearsed_sentences(found))]


def _work(report: RunReport) -> list[str]:
    """Scans, rewrites, WAL: a line for each statement, and for each backfill, that does more than little."""
    found = [work for work in folded(report.statements) if is_notable(work.statement)]
    return [f"- {_cell(work.label)}: {_cell(work_of(work.statement))}" for work in found]


def _cell(text: str) -> str:
    """Text that neither ends a table's cell nor turns into markup, an entity or a mention."""
    shown = " ".join(" ".join(visible_lines(text)).split())
    # an escape in shown text is one of ours, or the text's own: its backslash stays one
    escaped = "".join(f"\\{character}" if character in r"\`*_[]<>|#~" else character for character in shown)
    return sub(r"(?<![\w@])@(?=\w)", "@&#8203;", escaped.replace("&", "&amp;"))


def _code(text: str) -> str:
    """Text as code, in a fence that is longer than any in it."""
    shown = " ".join(visible_lines(text)).replace("|", "\\|")
    if "`" not in shown:
        return f"`{shown}`"
    fence = _fence(shown, 1)
    return f"{fence} {shown} {fence}"


def _fence(text: str, shortest: int) -> str:
    return "`" * max([shortest, *(len(run) + 1 for run in findall("`+", text))])
