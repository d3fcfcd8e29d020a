"""Where a database stands, for people."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from confiture.durations import format_duration
from confiture.models.history import AppliedMigration, HistoryOrigin, MigrationState
from confiture.output.terminal.console import CleanText, escape_markup, print_wrapped
from confiture.plan.history import InterruptedMigration, MigrationStatus, prediction_accuracy
from confiture.plan.migration_order import version_key
from confiture.text import pluralize


def print_status(console: Console, status: MigrationStatus, database: str, environment: str) -> None:
    """Applied and pending migrations as a table, and the next step."""
    table = _migrations_table(status)
    if table.row_count:
        console.print(table)
    record = prediction_accuracy(status.applied)
    if record:
        print_wrapped(console, CleanText(f"{record[0].upper()}{record[1:]}.{_tolerance_note(status)}"))
    for note in status.notes:
        print_wrapped(console, CleanText(f"{note}.", style="yellow"))
    for plan in status.pending:
        for message in dict.fromkeys(one.message for one in plan.missing_variables):
            print_wrapped(console, CleanText(f"{plan.migration.label} cannot run yet: {message}."))
    for stopped in status.interrupted:
        print_wrapped(console, CleanText(_progress_text(stopped, is_running=status.lock_holder is not None)))
    if status.project_mismatch is not None:
        problem = status.project_mismatch
        text = f"{problem.message[0].upper()}{problem.message[1:]}. Next: {problem.hint}."
        print_wrapped(console, CleanText(text, style="yellow"))
        return
    print_wrapped(console, CleanText(_summary(status, database, environment)))


def _migrations_table(status: MigrationStatus) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("Migration", overflow="fold")
    table.add_column("State")
    table.add_column("Applied at")
    table.add_column("By", overflow="fold")
    table.add_column("Took", justify="right")
    predicted = any(row.prediction_outcome for row in status.applied)
    if predicted:
        table.add_column("Steps took", justify="right")
        table.add_column("Predicted", justify="right")
    for row in status.applied:
        state = "[green]applied[/green]" if row.origin is HistoryOrigin.RUN else "[green]baseline[/green]"
        when = row.applied_at.astimezone().strftime("%Y-%m-%d %H:%M:%S") if row.applied_at else ""
        label = escape_markup(f"{row.version} {row.name}")
        outturn = _prediction_cells(row) if predicted else []
        table.add_row(label, state, when, escape_markup(row.applied_by), format_duration(row.duration_ms), *outturn)
    for stopped in status.interrupted:
        state = "midway" if status.lock_holder else "stopped midway"
        down = "down " if stopped.row.state is MigrationState.REVERTING else ""
        table.add_row(escape_markup(_migration_label(stopped)), f"[yellow]{down}{state}[/yellow]")
    midway = {version_key(stopped.row.version) for stopped in status.interrupted}
    late = {plan.version for plan in status.out_of_order}
    for plan in status.pending:
        if version_key(plan.version) not in midway:
            state = "[red]pending, out of order[/red]" if plan.version in late else "pending"
            table.add_row(escape_markup(plan.migration.label), state)
    return table


def _migration_label(interrupted: InterruptedMigration) -> str:
    return f"{interrupted.row.version} {interrupted.row.name}"


def _progress_text(interrupted: InterruptedMigration, *, is_running: bool) -> str:
    """How far a migration came that is midway, and where the next run goes on if this one has stopped."""
    what = "The down of " if interrupted.row.state is MigrationState.REVERTING else ""
    told = (
        f"{what}{_migration_label(interrupted)} {'is' if is_running else 'stopped'} midway:"
        f" {_committed_text(interrupted)} committed"
    )
    step = interrupted.next_step
    if is_running or interrupted.segments is None:
        return f"{told}."
    if step is None:
        return f"{told}, nothing is left to run."
    place = f"{step.phase}: {step.label} ({step.span.path}:{step.span.line})"
    if interrupted.has_intent:
        return f"{told}. It had begun {place}, and looks first whether that is done."
    return f"{told}. It goes on at {place}."


def _committed_text(interrupted: InterruptedMigration) -> str:
    if interrupted.segments is None:
        return pluralize(interrupted.committed_segments, "segment")
    return f"{interrupted.committed_segments} of {pluralize(interrupted.segments, 'segment')}"


def _prediction_cells(row: AppliedMigration) -> list[str]:
    """What the steps took, and what a dry run had predicted; struck by color where it did not hold."""
    if row.prediction_outcome is None:
        return ["", ""]
    predicted = format_duration(row.prediction_outcome.predicted_ms)
    if row.prediction_outcome.low_ms is not None:
        predicted = (
            f"{format_duration(row.prediction_outcome.low_ms)} to {format_duration(row.prediction_outcome.high_ms)}"
        )
    color = "green" if row.prediction_outcome.was_within_range else "yellow"
    return [format_duration(row.prediction_outcome.measured_ms), f"[{color}]{predicted}[/{color}]"]


def _tolerance_note(status: MigrationStatus) -> str:
    """By what a prediction without a range is judged, where there is one."""
    if any(row.prediction_outcome and row.prediction_outcome.low_ms is None for row in status.applied):
        return " A prediction without a range counts as held within 15 % of it."
    return ""


def _summary(status: MigrationStatus, database: str, environment: str) -> str:
    done = f"{pluralize(len(status.applied), 'migration')} applied on {database} ({environment})"
    if status.lock_holder:
        return f"{done}, {len(status.pending)} pending. Under way now: {status.lock_holder}."
    if any(stopped.row.state is MigrationState.REVERTING for stopped in status.interrupted):
        return f"{done}. Next: `confiture migrate down` finishes the one that stopped midway."
    if status.pending:
        return f"{done}, {len(status.pending)} pending. Next: `confiture migrate up`, or `--dry-run` first."
    return f"{done}, none pending."
