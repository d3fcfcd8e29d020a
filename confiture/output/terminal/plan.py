"""The plan of a migration as text."""

from __future__ import annotations

from rich.console import Console
from rich.padding import Padding
from rich.syntax import Syntax

from confiture.durations import format_duration
from confiture.models.plan import PlannedMigration, PlannedStep, Segment, TransactionMode
from confiture.output.terminal.console import escape_markup
from confiture.plan.step_kinds import find_step_kind
from confiture.text import escape_block

_HOW = {
    TransactionMode.TRANSACTIONAL: "one transaction",
    TransactionMode.OUTSIDE: "outside a transaction, after recording an intent",
    TransactionMode.BATCHED: "in batches, each committed with its progress",
}


def print_plan(console: Console, plan: PlannedMigration) -> None:
    """Print the segments and steps of a plan with the rendered SQL."""
    console.print(f"[bold]{escape_markup(plan.migration.label)}[/bold]  ({plan.direction.value})")
    if plan.migration.description:
        for line in plan.migration.description.split("\n"):
            console.print(escape_markup(line))
    for segment in plan.segments:
        _print_segment(console, segment, f"Segment {segment.number} of {len(plan.segments)}")
    for segment in plan.on_error:
        _print_segment(console, segment, "After a failure and rollback")


def _print_segment(console: Console, segment: Segment, title: str) -> None:
    console.print()
    console.print(f"[bold cyan]{title}[/bold cyan] [dim]({_HOW[segment.transaction_mode]})[/dim]")
    for setting in segment.settings:
        console.print(f"  [dim]set again:[/dim] {escape_markup(' '.join(setting.split()))}")
    for step in segment.steps:
        _print_step(console, step)


def _print_step(console: Console, step: PlannedStep) -> None:
    facts = [f"{step.span}"]
    if step.timeout_ms is not None:
        facts.append(f"timeout {format_duration(step.timeout_ms)}")
    if step.lock_timeout_ms is not None:
        facts.append(f"lock timeout {format_duration(step.lock_timeout_ms)}")
    console.print()
    console.print(
        f"  [green]{step.phase.value}[/green] {escape_markup(step.label)}  [dim]{escape_markup(', '.join(facts))}[/dim]"
    )
    if step.skip_reason:
        console.print(f"    [yellow]skipped: {escape_markup(step.skip_reason)}[/yellow]")
        return
    kind = find_step_kind(step.kind)
    if kind.shows_sql:
        _print_statements(console, step)
    description = kind.description(step)
    if description:
        console.print(f"    {escape_markup(description)}")


def _print_statements(console: Console, step: PlannedStep) -> None:
    text = escape_block(";\n".join(statement.display_text for statement in step.statements) + ";")
    if console.is_terminal:
        console.print(Padding(Syntax(text, "postgresql", background_color="default", word_wrap=True), (0, 0, 0, 4)))
    else:
        console.print("\n".join(f"    {line}" for line in text.split("\n")), markup=False, soft_wrap=True)
