"""Says in words what a comparison found."""

from __future__ import annotations

from collections.abc import Iterator

from confiture.errors import Diagnostic
from confiture.models.plan import PlannedStep
from confiture.models.reconciling import Difference, DifferenceKind, Differences, Reconciled, Values
from confiture.models.words import count
from confiture.secrets import hide_secrets

_LONGEST_VALUE = 80


def equal_sentence(found: Reconciled) -> str:
    """`300,009 rows equal, in 5,000 groups by tenant_id; not compared: id`."""
    groups = f", in {count(found.groups, 'group')} by {found.by}" if found.by else ""
    return f"{count(found.rows, 'row')} equal{groups}{''.join(f'; {remark}' for remark in remarks(found))}"


def remarks(found: Reconciled) -> Iterator[str]:
    """What limits the proof: columns that were left out, or compared as text."""
    if found.omitted:
        yield f"not compared: {', '.join(omitted.column for omitted in found.omitted)}"
    if found.as_text:
        yield f"compared as text: {', '.join(found.as_text)}"


def difference_lines(found: Reconciled) -> Iterator[str]:
    """Where the two sides differ: in numbers, by group, then the first rows."""
    yield f"{found.table} has {count(found.rows, 'row')}, its query gives {found.expected_rows:,}"
    if found.by:
        yield f"{found.differing:,} of {count(found.groups, 'group')} by {found.by} differ: {_groups(found)}"
    differences = found.differences
    if differences is not None:
        yield _counts(differences)
        yield from map(difference_line, differences.rows)
        if not differences.rows:
            yield "row by row they were equal: others wrote meanwhile, or a type's hash tells equals apart"
        elif _total(differences) > len(differences.rows):
            yield "..."
    if not found.key:
        yield "nothing unique is compared, so a row that changed is told as one missing and one extra"
    yield from remarks(found)


def difference_line(difference: Difference) -> str:
    """`changed (tenant_id=1, id=7): total 10.00, must be 12.00`."""
    key = f"{difference.kind.value} ({_pairs(difference.key)})"
    if difference.kind is DifferenceKind.CHANGED:
        return f"{key}: {'; '.join(_changes(difference))}"
    given = difference.expected or difference.actual or {}
    rest = {name: value for name, value in given.items() if name not in difference.key}
    return f"{key}: {_pairs(rest)}" if rest else key


def difference_diagnostic(step: PlannedStep, found: Reconciled) -> Diagnostic:
    """A failed reconcile, told at its query."""
    return step.rendered.diagnostic(
        step.statements[0].offset,
        "reconcile-failed",
        f"{found.table} does not equal its defining query",
        detail=tuple(difference_lines(found)),
        hint="mend what fills the table, or the query, then run again",
    )


def shortened(one: str | None, other: str | None = None) -> str:
    """A value as a line can show it, without secrets; of a long one the part in which it begins to differ from the
    other.
    """
    if one is None:
        return "NULL"
    text = _one_line(one)
    if text in ("", "NULL"):
        return f"'{text}'"
    if len(text) <= _LONGEST_VALUE:
        return text
    same = 0
    if other is not None:
        compared = _one_line(other)
        pairs = zip(text, compared, strict=False)
        same = next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(text), len(compared)))
    start = max(0, min(same - _LONGEST_VALUE // 2, len(text) - _LONGEST_VALUE))
    end = start + _LONGEST_VALUE
    return f"{'…' if start else ''}{text[start:end]}{'…' if end < len(text) else ''}"


def _one_line(value: str) -> str:
    # hidden before it is cut: what hides secrets must see them whole
    return hide_secrets(value).replace("\n", "\\n")


def _counts(differences: Differences) -> str:
    parts = (
        (differences.missing, "missing"),
        (differences.extra, "extra"),
        (differences.changed, "changed"),
    )
    told = ", ".join(f"{number:,} {word}" for number, word in parts if number) or "none"
    return f"rows that differ: {'' if differences.is_exact else 'at least '}{told}"


def _total(differences: Differences) -> int:
    return differences.missing + differences.extra + differences.changed


def _groups(found: Reconciled) -> str:
    names = ", ".join(shortened(group) for group in found.differing_groups)
    return names + (", ..." if found.differing > len(found.differing_groups) else "")


def _changes(difference: Difference) -> Iterator[str]:
    expected, actual = difference.expected or {}, difference.actual or {}
    for name in difference.columns:
        is_, must = actual[name], expected[name]
        yield f"{name} is {shortened(is_, must)}, must be {shortened(must, is_)}"


def _pairs(values: Values) -> str:
    return ", ".join(f"{name}={shortened(value)}" for name, value in values.items())
