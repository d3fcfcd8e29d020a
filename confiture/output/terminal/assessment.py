"""Graded risks as text: one table on a wide terminal, one block per migration on a narrow one."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from confiture.durations import format_duration
from confiture.models.grades import Assessment, Grade, GradeSource, MigrationAssessment, RiskCategory
from confiture.output.terminal.console import CleanText, escape_markup, print_wrapped
from confiture.text import pluralize

WIDE = 160
"""From this number of columns on, the overview is one table."""
_STYLES = {Grade.HIGH: "bold red", Grade.UNKNOWN: "magenta", Grade.MEDIUM: "yellow", Grade.LOW: "green"}


def print_assessment(console: Console, assessment: Assessment) -> None:
    """Print the overview, then the reason of each grade other than `none`, worst first."""
    if not assessment.migrations:
        print_wrapped(console, CleanText(f"Nothing to assess: no migration is pending on {assessment.database}."))
        return
    print_overview(console, assessment)
    console.print()
    for migration in assessment.migrations:
        print_wrapped(console, CleanText(_label(migration), style="bold"))
        for line in reason_lines(migration):
            console.print(Padding(line, (0, 0, 0, 2), expand=False))
    for note in assessment.notes:
        print_wrapped(console, CleanText(f"{note}."))
    print_wrapped(console, CleanText(_summary(assessment)))


def print_overview(console: Console, assessment: Assessment) -> None:
    """Print each migration with its effect, its grades, its estimate, and whether it has a `down`."""
    if console.width >= WIDE:
        console.print(_wide_table(assessment))
        return
    for migration in assessment.migrations:
        print_wrapped(console, CleanText(_label(migration), style="bold"))
        for line in _block_lines(migration):
            console.print(Padding(line, (0, 0, 0, 2), expand=False))


def reason_lines(migration: MigrationAssessment, *, all_grades: bool = False) -> Iterator[CleanText]:
    """Yield a line for each grade with its reason and source, worst first; grades `none` only with `all_grades`."""
    for one in sorted(migration.grades, key=lambda one: -one.grade.rank):
        if all_grades or one.grade is not Grade.NONE:
            line = CleanText(f"{one.grade.value:8}", style=_STYLES.get(one.grade, ""))
            source = "" if one.source is GradeSource.UNKNOWN else f" [{one.source.value}]"
            line.append(f"{one.category.value}: {one.reason}{source}", style="")
            yield line


def estimate_text(migration: MigrationAssessment) -> str:
    """Return the estimated duration, or `unknown`."""
    prediction = migration.prediction
    if prediction is None:
        return "unknown"
    if prediction.low_ms is None or prediction.high_ms is None:
        return format_duration(prediction.predicted_ms)
    return f"{format_duration(prediction.low_ms)} to {format_duration(prediction.high_ms)}"


def down_text(migration: MigrationAssessment) -> str:
    """Return whether the migration can be reverted."""
    return "unknown" if migration.has_down is None else "yes" if migration.has_down else "no"


def _label(migration: MigrationAssessment) -> str:
    late = " (out of order)" if migration.out_of_order else ""
    return f"{migration.version} {migration.name}{late}"


def _block_lines(migration: MigrationAssessment) -> Iterator[CleanText]:
    yield CleanText(migration.effect)
    for grade in sorted({one.grade for one in migration.grades}, key=lambda grade: -grade.rank):
        categories = ", ".join(one.category.value for one in migration.grades if one.grade is grade)
        line = CleanText(f"{grade.value}: ", style=_STYLES.get(grade, ""))
        yield line.append(categories, style="")
    yield CleanText(f"estimate: {estimate_text(migration)}; down: {down_text(migration)}")


def _wide_table(assessment: Assessment) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("Migration", overflow="fold")
    table.add_column("Effect", overflow="fold")
    for category in RiskCategory:
        table.add_column(category.value.capitalize(), overflow="fold")
    table.add_column("Estimate")
    table.add_column("Down")
    for migration in assessment.migrations:
        grades = [_styled(migration.grade(category).grade) for category in RiskCategory]
        table.add_row(
            escape_markup(_label(migration)),
            escape_markup(migration.effect),
            *grades,
            estimate_text(migration),
            down_text(migration),
        )
    return table


def _styled(grade: Grade) -> str:
    style = _STYLES.get(grade)
    return f"[{style}]{grade.value}[/{style}]" if style else grade.value


def _summary(assessment: Assessment) -> str:
    counted = pluralize(len(assessment.migrations), "migration")
    worst = assessment.worst.value
    text = f"{counted} pending on {assessment.database} ({assessment.environment}); the worst grade is {worst}."
    if any(one.prediction is None for one in assessment.migrations):
        text += " Next: measure with `confiture migrate assess --dry-run`."
    return text
