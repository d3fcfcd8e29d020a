"""Sentences about the differences between two schemas, shared by text and Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import unified_diff

from confiture.models.schema_changes import ChangeAction, FactChange
from confiture.models.schema_diff import SchemaDiff
from confiture.text import pluralize

SIGNS = {ChangeAction.CREATE: "+", ChangeAction.DROP: "-", ChangeAction.ALTER: "~"}
UNDECIDED_SIGN = "?"
_CONTEXT_LINES = 2
_LONGEST_PAIR = 80


def count_changes(diff: SchemaDiff) -> str:
    """Return the first sentence: both schemas and the number of differences."""
    number = len(diff.comparison.changes)
    result = pluralize(number, "difference") if number else "no differences"
    if undecided := len(diff.comparison.undecided):
        result = f"{pluralize(number, 'difference')}, {pluralize(undecided, 'object')} that cannot be compared"
    return f"{diff.before} compared with {diff.after}: {result}"


def legend(diff: SchemaDiff) -> str:
    """Return the meaning of the signs."""
    undecided = f"; {UNDECIDED_SIGN} cannot be compared" if diff.comparison.undecided else ""
    return (
        f"+ only in {diff.after}; - only in {diff.before}; ~ different, from {diff.before} to {diff.after}{undecided}"
    )


def changed_lines(fact: FactChange) -> Iterator[str]:
    """Yield the values of a fact: one line for short values, otherwise the lines that differ, with their context."""
    if not fact.is_shown:
        yield "different; the values are not shown because they can be passwords"
        return
    before, after = fact.before, fact.after
    if before is None or after is None or "\n" not in before + after:
        old, new = (value if value is not None else "none" for value in (before, after))
        if "\n" not in old + new and len(old) + len(new) <= _LONGEST_PAIR:
            yield f"{old} → {new}"
            return
        yield from (f"- {line}" for line in (before or "").splitlines())
        yield from (f"+ {line}" for line in (after or "").splitlines())
        return
    lines = unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=_CONTEXT_LINES)
    for line in lines:
        if not line.startswith(("---", "+++", "@@")):
            yield f"{line[:1]} {line[1:]}"


def footer_lines(diff: SchemaDiff) -> Iterator[str]:
    """Yield what the differences do not include."""
    comparison = diff.comparison
    if comparison.spelling_changes:
        names = ", ".join(change.name for change in comparison.spelling_changes)
        yield f"{pluralize(len(comparison.spelling_changes), 'object')} written differently, but equal: {names}"
    if comparison.ignored:
        yield f"{pluralize(comparison.ignored, 'difference')} ignored by settings"
    yield from (f"note: {note}" for note in comparison.notes)
