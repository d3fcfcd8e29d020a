"""The migration status of a database as a table."""

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
    """Print the applied and pending migrations as a table, and the next step."""
    table = _migrations_table(status)
    if table.row_count:
        console.print(table)
    accuracy = prediction_accuracy(status.applied)
    if accuracy:
        print_wrapped(console, CleanText(f"{accuracy[0].upper()}{accuracy[1:]}.{_tolerance_note(status)}"))
    for note in status.notes:
        print_wrapped(console, CleanText(f"{note}.", style="yellow"))
    for migration in status.unreplayable:
        problem = migration.diagnostic
        text = f"{problem.message}. Next: {problem.hint}."
        print_wrapped(console, CleanText(text, style="yellow"))
    for unreproducible in status.unreproducible:
        print_wrapped(console, CleanText(f"{unreproducible.message}."))
    for plan in status.pending:
        for message in dict.fromkeys(diagnostic.message for diagnostic in plan.missing_variables):
            print_wrapped(console, CleanText(f"{plan.migration.label} cannot run yet: {message}."))
    for interrupted in status.interrupted:
        print_wrapped(console, CleanText(_progress_text(interrupted, is_running=status.lock_holder is not None)))
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
    has_predictions = any(row.prediction_outcome for row in status.applied)
    if has_predictions:
        table.add_column("Steps took", justify="right")
        table.add_column("Predicted", justify="right")
    for row in status.applied:
        state = "[green]applied[/green]" if row.origin is HistoryOrigin.RUN else "[green]baseline[/green]"
        when = row.applied_at.astimezone().strftime("%Y-%m-%d %H:%M:%S") if row.applied_at else ""
        label = escape_markup(f"{row.version} {row.name}")
        cells = _prediction_cells(row) if has_predictions else []
        table.add_row(label, state, when, escape_markup(row.applied_by), format_duration(row.duration_ms), *cells)
    for interrupted in status.interrupted:
        state = "midway" if status.lock_holder else "stopped midway"
        down = "down " if interrupted.row.state is MigrationState.REVERTING else ""
        table.add_row(escape_markup(_migration_label(interrupted)), f"[yellow]{down}{state}[/yellow]")
    interrupted_keys = {version_key(interrupted.row.version) for interrupted in status.interrupted}
    late_versions = {plan.version for plan in status.out_of_order}
    for plan in status.pending:
        if version_key(plan.version) not in interrupted_keys:
            state = "[red]pending, out of order[/red]" if plan.version in late_versions else "pending"
            table.add_row(escape_markup(plan.migration.label), state)
    return table


def _migration_label(interrupted: InterruptedMigration) -> str:
    return f"{interrupted.row.version} {interrupted.row.name}"


def _progress_text(interrupted: InterruptedMigration, *, is_running: bool) -> str:
    """Return the progress of an unfinished migration, and where the next run continues if this run has stopped."""
    what = "The rollback of " if interrupted.row.state is MigrationState.REVERTING else ""
    progress = (
        f"{what}{_migration_label(interrupted)} {'is' if is_running else 'stopped'} midway:"
        f" {_committed_text(interrupted)} committed"
    )
    step = interrupted.next_step
    if is_running or interrupted.segments is None:
        return f"{progress}."
    if step is None:
        return f"{progress}; nothing is left to run."
    place = f"{step.phase}: {step.label} ({step.span.path}:{step.span.line})"
    if interrupted.has_intent:
        return f"{progress}. It had started {place}; the next run first checks whether that step is done."
    return f"{progress}. The next run continues at {place}."


def _committed_text(interrupted: InterruptedMigration) -> str:
    if interrupted.segments is None:
        return pluralize(interrupted.committed_segments, "segment")
    return f"{interrupted.committed_segments} of {pluralize(interrupted.segments, 'segment')}"


def _prediction_cells(row: AppliedMigration) -> list[str]:
    """Return the duration of the steps, and a dry run's prediction colored by whether the prediction was correct."""
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
    """Return a note on how predictions without a range are judged; empty if there are none."""
    if any(row.prediction_outcome and row.prediction_outcome.low_ms is None for row in status.applied):
        return " A prediction without a range counts as correct within 15 %."
    return ""


def _summary(status: MigrationStatus, database: str, environment: str) -> str:
    applied = f"{pluralize(len(status.applied), 'migration')} applied on {database} ({environment})"
    if status.lock_holder:
        return f"{applied}, {len(status.pending)} pending. Running now: {status.lock_holder}."
    if any(interrupted.row.state is MigrationState.REVERTING for interrupted in status.interrupted):
        return f"{applied}. Next: run `confiture migrate down` to finish the interrupted rollback."
    if status.pending:
        return f"{applied}, {len(status.pending)} pending. Next: run `confiture migrate up`, first with `--dry-run`."
    return f"{applied}, none pending."
