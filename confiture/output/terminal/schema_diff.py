"""The differences between two schemas as text."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console

from confiture.models.schema_changes import ChangeAction, FactChange, SchemaChange
from confiture.models.schema_diff import SchemaDiff
from confiture.output.schema_changes import (
    SIGNS,
    UNDECIDED_SIGN,
    changed_lines,
    count_changes,
    footer_lines,
    legend,
)
from confiture.output.terminal.console import CleanText, print_wrapped

_STYLES = {ChangeAction.CREATE: "green", ChangeAction.DROP: "red", ChangeAction.ALTER: "yellow"}


def print_schema_diff(console: Console, diff: SchemaDiff) -> None:
    """Print a line for each object that differs, with its file and line, and the facts that differ."""
    print_wrapped(console, CleanText(count_changes(diff)))
    changes = diff.comparison.changes
    if not diff.comparison.is_equal:
        print_wrapped(console, CleanText(f"  {legend(diff)}", style="dim"))
        console.print()
    for change in changes:
        line = CleanText(f"{SIGNS[change.action]} {change.name}", style=_STYLES[change.action])
        if change.location:
            line.append(f"  {change.location}", style="cyan")
        console.print(line, soft_wrap=True)
        for text, style in _fact_lines(change):
            console.print(CleanText(f"    {text}", style=style), soft_wrap=True)
    for one in diff.comparison.undecided:
        console.print(CleanText(f"{UNDECIDED_SIGN} {one.name}", style="magenta"), soft_wrap=True)
        console.print(CleanText(f"    {one.reason}"), soft_wrap=True)
    footer = [*footer_lines(diff)]
    if footer:
        console.print()
    for text in footer:
        print_wrapped(console, CleanText(text))


def _fact_lines(change: SchemaChange) -> Iterator[tuple[str, str]]:
    for fact in change.facts:
        yield from _one_fact(fact)


def _one_fact(fact: FactChange) -> Iterator[tuple[str, str]]:
    lines = [*changed_lines(fact)]
    if len(lines) == 1:
        yield f"{fact.fact}: {lines[0]}", ""
        return
    yield f"{fact.fact}:", ""
    for line in lines:
        yield f"  {line}", {"-": "red", "+": "green"}.get(line[:1], "dim")
