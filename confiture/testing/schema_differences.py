"""The differences between two schemas as lines for a failed test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import ndiff
from fnmatch import fnmatchcase

from confiture.core.schema_facts.comparison import ComparisonOptions, compare_schemas
from confiture.models.schema_changes import ChangeAction, FactChange, SchemaChange
from confiture.models.schema_facts import SchemaFacts

_WORDS = {ChangeAction.CREATE: "unexpected", ChangeAction.DROP: "missing", ChangeAction.ALTER: "different"}
# A down that sets NOT NULL again cannot restore the name that the constraint had before the table was renamed.
_OPTIONS = ComparisonOptions(owners=True, extension_versions=True, not_null_names=False)


def format_differences(expected: SchemaFacts, actual: SchemaFacts, ignore: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the differences from the expected schema as lines. `ignore` contains glob patterns for objects."""
    lines: list[str] = []
    changes = compare_schemas(expected, actual, _OPTIONS).changes
    for action, word in _WORDS.items():
        for change in changes:
            if change.action is action and not _is_ignored(change, expected, actual, ignore):
                lines.append(f"{word}: {change.name}")
                lines += (line for fact in change.facts for line in _fact_lines(fact))
    return tuple(lines)


def _is_ignored(change: SchemaChange, expected: SchemaFacts, actual: SchemaFacts, ignore: Sequence[str]) -> bool:
    """Whether a pattern matches the object, or an object that it is a part of."""
    name, parent = change.name, change.parent
    while name:
        if any(fnmatchcase(name, glob) for glob in ignore):
            return True
        item = actual.objects.get(parent) or expected.objects.get(parent)
        name, parent = parent, item.parent if item else ""
    return False


def _fact_lines(change: FactChange) -> Iterator[str]:
    before, after = change.before or "none", change.after or "none"
    if not change.is_shown:
        yield f"  {change.fact}: different; they are not shown"
    elif "\n" in before + after:
        yield f"  {change.fact}, expected (-) and actual (+):"
        lines = ndiff(before.strip().splitlines(), after.strip().splitlines())
        yield from (f"    {line}" for line in lines if not line.startswith("?"))
    else:
        yield f"  {change.fact}: {after}, not {before}"
