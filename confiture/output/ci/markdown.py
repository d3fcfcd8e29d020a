"""Markdown for pull requests: a dry run, a run, lint findings, or the differences between schemas."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from re import findall, sub

from confiture.durations import format_duration
from confiture.errors import Diagnostic
from confiture.models.events import Outcome
from confiture.models.findings import SEVERITIES, Finding, LintReport
from confiture.models.grades import Assessment, Grade, MigrationAssessment, RiskCategory
from confiture.models.reports import RunReport
from confiture.models.saved_plans import SavedPlan, reviewed_assessment
from confiture.models.schema_diff import SchemaDiff
from confiture.models.tenancy_proofs import IsolationVerdict
from confiture.models.trace import DryRunWarning
from confiture.output.ci.markdown_limit import COMMENT_BYTES, comment_marker, limit_markdown
from confiture.output.lock_lanes import lock_lanes
from confiture.output.numbers import format_rows, severity_counts
from confiture.output.schema_changes import (
    SIGNS,
    UNDECIDED_SIGN,
    changed_lines,
    count_changes,
    footer_lines,
    legend,
)
from confiture.output.statement_cost import describe_cost, group_batches, is_notable
from confiture.output.summaries import (
    blocked_summary,
    estimate_summary,
    retry_summary,
    run_summary,
    server_messages_summary,
)
from confiture.output.terminal.saved_plan import finding_text, origin_lines, statement_lines
from confiture.output.terminal.tenancy_proofs import MOST_LEAKS, dry_run_summary, reason_text, row_text, tenants_text
from confiture.output.writer import LintSummary, Writer
from confiture.text import escape_lines, pluralize


class MarkdownWriter(Writer):
    """A writer for Markdown, for comments on pull requests."""

    def run(self, report: RunReport) -> None:
        """Write the tables of a run."""
        self._write("run", run_markdown(report))

    def diagnostics(self, diagnostics: Sequence[Diagnostic]) -> None:
        """Write the errors."""
        self._write("run", diagnostics_markdown(diagnostics))

    def assessment(self, assessment: Assessment) -> None:
        """Write the graded risks."""
        self._write("assessment", assessment_markdown(assessment))

    def saved_plan(self, plan: SavedPlan) -> None:
        """Write the target, the grades, and the statements of a saved plan."""
        self._write("plan", saved_plan_markdown(plan))

    def findings(self, summary: LintSummary) -> None:
        """Write the findings."""
        self._write("lint", findings_markdown(summary.report))

    def _write(self, document: str, text: str) -> None:
        """Write the hidden marker by which the comment is replaced, and the text within GitHub's limit."""
        marker = comment_marker(document, *self.context.marked_for)
        self.context.write(f"{marker}\n{limit_markdown(text, COMMENT_BYTES - len(marker) - 1)}")

    def schema_diff(self, diff: SchemaDiff) -> None:
        """Write the differences between two schemas."""
        self._write("diff", schema_diff_markdown(diff))


def run_markdown(report: RunReport) -> str:
    """Return the report of a run, beginning with its outcome."""
    title = "Dry run" if report.dry_run else f"Migrate {report.direction.value}"
    parts = [f"### Confiture: {title}", _table_cell(run_summary(report))]
    parts += [_table_cell(sentence) for sentence in estimate_summary(report)]
    parts += _section("Warnings", [line for warning in report.warnings for line in _warning_lines(warning)])
    parts += _section("Errors", _diagnostic_lines(report.diagnostics))
    parts += _section("Blocked sessions", [f"- {_table_cell(line)}" for line in blocked_summary(report)])
    parts += _section("Locks", _lock_table(report))
    parts += _section("Steps", _step_table(report))
    parts += _section("Statement costs", _statement_costs(report))
    parts += _section("Tenant isolation", _tenant_isolation(report))
    messages = server_messages_summary(report)
    parts += _section("PostgreSQL messages", [f"- {_table_cell(line)}" for line in messages])
    parts += _section("Notes", [f"- {_table_cell(line)}" for line in [*retry_summary(report), *report.notes]])
    parts += _section("Left behind by the dry run", [f"- {_table_cell(line)}" for line in report.leftovers])
    return "\n\n".join(parts) + "\n"


def diagnostics_markdown(diagnostics: Sequence[Diagnostic]) -> str:
    """Return errors that occurred outside a run; `All valid.` if there are none."""
    lines = "\n".join(_diagnostic_lines(diagnostics)) or "All valid."
    return f"### Confiture\n\n{lines}\n"


def findings_markdown(report: LintReport) -> str:
    """Return the findings: a table for each file, the effect of each rule, and the SQL to use instead."""
    parts = [
        "### Confiture: lint",
        _table_cell(f"{severity_counts(report.findings)} in {pluralize(report.files, 'file')}."),
    ]
    findings = sort_worst_first(report.findings)
    for path, here in groupby(findings, key=lambda finding: finding.span.path if finding.span else ""):
        lines = ["| line | severity | rule | finding |", "|---:|---|---|---|"]
        for finding in here:
            line = finding.span.line if finding.span else ""
            lines.append(
                f"| {line} | {finding.severity} | {_code_span(finding.rule)} | {_table_cell(finding.message)} |"
            )
        parts += _section(_table_cell(path or report.source), lines)
    parts += _section("Why", _rule_explanations(report.findings))
    parts += _section("Instead", _remedies(report.findings))
    parts += _section("Notes", [f"- {_table_cell(note)}" for note in report.notes])
    return "\n\n".join(parts) + "\n"


def assessment_markdown(assessment: Assessment) -> str:
    """Return the grades: a table with a row for each migration, worst first, then the reasons."""
    migrations = sorted(assessment.migrations, key=lambda one: -one.worst.rank)
    if not migrations:
        return f"### Confiture: assessment\n\nNo migration is pending on {_table_cell(assessment.database)}.\n"
    head = ["migration", *(category.value for category in RiskCategory), "effect"]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for migration in migrations:
        grades = (_grade_text(migration.grade(category).grade) for category in RiskCategory)
        label = _table_cell(f"{migration.version} {migration.name}")
        lines.append(f"| {label} | {' | '.join(grades)} | {_table_cell(migration.effect)} |")
    where = _table_cell(f"{assessment.database} ({assessment.environment})")
    number = pluralize(len(migrations), "migration")
    parts = ["### Confiture: assessment", f"{number} pending on {where}; the worst grade is {assessment.worst.value}."]
    parts += _section("Grades", lines)
    parts += _section("Reasons", [line for migration in migrations for line in _reason_lines(migration)])
    parts += _section("Notes", [f"- {_table_cell(note)}" for note in assessment.notes])
    return "\n\n".join(parts) + "\n"


def saved_plan_markdown(plan: SavedPlan) -> str:
    """Return the origin of a saved plan, its grades, and its statements."""
    parts = ["### Confiture: saved plan", *(_table_cell(line) for line in origin_lines(plan))]
    parts.append(assessment_markdown(reviewed_assessment(plan)).partition("\n\n")[2].strip())
    for migration in plan.content["migrations"]:
        text = "\n".join(statement_lines(migration))
        fence = _choose_fence(text, 3)
        parts += [f"#### {_table_cell(migration['version'] + ' ' + migration['name'])}", f"{fence}\n{text}\n{fence}"]
    parts += _section("Lint", [f"- {_table_cell(finding_text(one))}" for one in plan.content["review"]["findings"]])
    return "\n\n".join(parts) + "\n"


def _grade_text(grade: Grade) -> str:
    return f"**{grade.value}**" if grade in (Grade.HIGH, Grade.UNKNOWN) else grade.value


def _reason_lines(migration: MigrationAssessment) -> list[str]:
    lines = [f"- {_table_cell(f'{migration.version} {migration.name}')}"]
    for one in sorted(migration.grades, key=lambda one: -one.grade.rank):
        if one.grade is not Grade.NONE:
            reason = _table_cell(f"{one.category.value}: {one.reason}")
            lines.append(f"  - {_grade_text(one.grade)}: {reason} ({one.source.value})")
    return lines


def schema_diff_markdown(diff: SchemaDiff) -> str:
    """Return the differences between two schemas: a list item for each object."""
    parts = ["### Confiture: diff", _table_cell(f"{count_changes(diff)}.")]
    if not diff.comparison.is_equal:
        parts.append(_table_cell(f"{legend(diff)}."))
    lines: list[str] = []
    for change in diff.comparison.changes:
        location = f" {_code_span(str(change.location))}" if change.location else ""
        lines.append(f"- {_code_span(f'{SIGNS[change.action]} {change.name}')}{location}")
        for fact in change.facts:
            values = [*changed_lines(fact)]
            if len(values) == 1:
                lines.append(f"  - {_table_cell(fact.fact)}: {_code_span(values[0])}")
            else:
                lines.append(f"  - {_table_cell(fact.fact)}:")
                lines += (f"    - {_code_span(value)}" for value in values)
    lines += (
        f"- {_code_span(f'{UNDECIDED_SIGN} {one.name}')}: {_table_cell(one.reason)}"
        for one in diff.comparison.undecided
    )
    parts += ["\n".join(lines)] if lines else []
    parts += _section("Notes", [f"- {_table_cell(line)}" for line in footer_lines(diff)])
    return "\n\n".join(parts) + "\n"


def sort_worst_first(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings by file: files of migrations first, then the worst file first; in a file, the worst first."""

    def path(finding: Finding) -> str:
        return finding.span.path if finding.span else ""

    def rank(finding: Finding) -> int:
        return SEVERITIES.index(finding.severity)

    ranks: dict[str, tuple[bool, int]] = {}
    for finding in findings:
        key = (finding.migration is None, rank(finding))
        ranks[path(finding)] = min(ranks.get(path(finding), key), key)
    return sorted(findings, key=lambda one: (ranks[path(one)], path(one), rank(one)))


def _rule_explanations(findings: Iterable[Finding]) -> list[str]:
    """Return a rule's effect and hint once if all its findings share them, otherwise with the locations."""
    places: dict[str, dict[tuple[str, str], list[str]]] = {}
    for finding in findings:
        spans = places.setdefault(finding.rule, {}).setdefault((finding.effect or finding.message, finding.hint), [])
        spans += [_code_span(str(finding.span))] if finding.span else []
    lines = []
    for rule in sorted(places):
        for (effect, hint), where in places[rule].items():
            here = f" ({', '.join(dict.fromkeys(where))})" if len(places[rule]) > 1 and where else ""
            lines.append(
                f"- {_code_span(rule)}{here}: {_table_cell(effect)}" + (f" Next: {_table_cell(hint)}." if hint else "")
            )
    return lines


def _remedies(findings: Iterable[Finding]) -> list[str]:
    """Return the SQL to use instead; each remedy once, with all findings that it fixes."""
    labels_by_remedy: dict[str, list[str]] = {}
    for finding in findings:
        if finding.remedy:
            place = f"{_code_span(str(finding.span))} " if finding.span else ""
            labels_by_remedy.setdefault(finding.remedy, []).append(f"{place}{_code_span(finding.rule)}")
    return [
        line
        for remedy, labels in labels_by_remedy.items()
        for line in (f"- {', '.join(dict.fromkeys(labels))}", *_sql_block(remedy))
    ]


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return [f"#### {title}", "\n".join(lines)] if lines else []


def _diagnostic_lines(diagnostics: Iterable[Diagnostic]) -> list[str]:
    lines = []
    for diagnostic in diagnostics:
        place = f"{_code_span(str(diagnostic.span))} " if diagnostic.span else ""
        lines.append(f"- {place}**{_table_cell(diagnostic.message)}**")
        lines += [f"  - {_table_cell(detail.strip())}" for detail in diagnostic.detail]
        if diagnostic.hint:
            lines.append(f"  - next: {_table_cell(diagnostic.hint)}")
    return lines


def _warning_lines(warning: DryRunWarning) -> list[str]:
    place = f"{_code_span(str(warning.span))} " if warning.span else ""
    rule = f" {_code_span(warning.rule)}" if warning.rule else ""
    lines = [f"- {place}**{_table_cell(warning.message)}**{rule}", f"  - next: {_table_cell(warning.hint)}"]
    return lines + (_sql_block(warning.remedy) if warning.remedy else [])


def _sql_block(text: str) -> list[str]:
    """Return SQL as part of a list item, in a fence longer than any fence in the SQL."""
    lines = escape_lines(text.strip())
    fence = _choose_fence(text, 3)
    return [f"    {line}".rstrip() for line in ("", f"{fence}sql", *lines, fence, "")]


def _lock_table(report: RunReport) -> list[str]:
    lanes = lock_lanes(report.locks)
    if not lanes:
        return []
    lines = ["| relation | strongest lock | reads blocked for | writes blocked for |", "|---|---|---:|---:|"]
    for lane in lanes:
        times = f"{format_duration(lane.no_reads_ms)} | {format_duration(lane.no_writes_ms)}"
        lines.append(f"| {_table_cell(lane.relation)} | {lane.worst_lock.effective_mode.sql} | {times} |")
    return lines


def _step_table(report: RunReport) -> list[str]:
    lines = ["| migration | phase | step | rows | time | result |", "|---|---|---|---:|---:|---|"]
    for migration in report.migrations:
        for step in migration.steps:
            result = "ok" if step.outcome is Outcome.DONE else step.outcome.value
            note = f" ({_table_cell(step.note_and_stats)})" if step.note_and_stats else ""
            lines.append(
                f"| {_table_cell(migration.version)} | {step.step.phase.value} | {_table_cell(step.step.name)}{note}"
                f" | {format_rows(step.rows)} | {format_duration(step.duration_ms)} | {result} |"
            )
    return lines if len(lines) > 2 else []


def _tenant_isolation(report: RunReport) -> list[str]:
    """Return a table row for each proved statement, then the rows that mix tenants."""
    isolation = report.isolation
    if isolation is None or not isolation.statements:
        return []
    lines = ["| migration | step | writes | tenants | rows | result |", "|---|---|---|---:|---:|---|"]
    for statement in isolation.statements:
        reason = reason_text(statement)
        result = statement.proof.verdict.value + (f": {reason}" if reason else "")
        lines.append(
            f"| {_table_cell(statement.step.version)} | {_table_cell(statement.step.name)} |"
            f" {_table_cell(statement.target)} | {tenants_text(statement.proof)}"
            f" | {format_rows(statement.proof.rows) if statement.proof.sample else ''} | {_table_cell(result)} |"
        )
    lines.append("")
    for statement in isolation.with_verdict(IsolationVerdict.MIXED):
        leaks = statement.proof.leaks
        for leak in leaks[:MOST_LEAKS]:
            lines.append(f"- {_table_cell(f'{statement.target}: {leak.description}')}")
            lines += [f"  - {_table_cell(row_text(values))}" for values in leak.first_rows]
        if len(leaks) > MOST_LEAKS:
            lines.append(
                f"- {_table_cell(statement.target)}: {pluralize(len(leaks) - MOST_LEAKS, 'more difference')};"
                " the JSON report lists all"
            )
    return [*lines, "", *(_table_cell(line) for line in dry_run_summary(isolation))]


def _statement_costs(report: RunReport) -> list[str]:
    """Return a line for each statement or backfill with notable scans, rewrites or WAL."""
    costs = [cost for cost in group_batches(report.statements) if is_notable(cost.statement)]
    return [f"- {_table_cell(cost.label)}: {_table_cell(describe_cost(cost.statement))}" for cost in costs]


def _table_cell(text: str) -> str:
    """Escape text so that it cannot end a table cell or become markup, an entity, or a mention."""
    visible = " ".join(" ".join(escape_lines(text)).split())
    # a backslash is part of Confiture's own escapes or of the text, so keep it visible
    escaped = "".join(f"\\{character}" if character in r"\`*_[]<>|#~" else character for character in visible)
    return sub(r"(?<![\w@])@(?=\w)", "@&#8203;", escaped.replace("&", "&amp;"))


def _code_span(text: str) -> str:
    """Return text as code, in a fence longer than any fence in the text."""
    visible = " ".join(escape_lines(text)).replace("|", "\\|")
    if "`" not in visible:
        return f"`{visible}`"
    fence = _choose_fence(visible, 1)
    return f"{fence} {visible} {fence}"


def _choose_fence(text: str, min_length: int) -> str:
    return "`" * max([min_length, *(len(run) + 1 for run in findall("`+", text))])
