"""Says in words what a comparison found."""

from __future__ import annotations

from collections.abc import Iterator

from confiture.errors import Diagnostic
from confiture.models.plan import PlannedStep
from confiture.models.reconcile_results import Difference, DifferenceKind, Differences, ReconcileResult, Values
from confiture.secrets import hide_secrets
from confiture.text import pluralize

_LONGEST_VALUE = 80


def equal_summary(result: ReconcileResult) -> str:
    """`300,009 rows equal, in 5,000 groups by tenant_id; not compared: id`."""
    groups = f", in {pluralize(result.groups, 'group')} by {result.by}" if result.by else ""
    return (
        f"{pluralize(result.rows, 'row')} equal{groups}{''.join(f'; {remark}' for remark in limitation_lines(result))}"
    )


def limitation_lines(result: ReconcileResult) -> Iterator[str]:
    """What limits the proof: columns that were left out, or compared as text."""
    if result.skipped_columns:
        yield f"not compared: {', '.join(omitted.column for omitted in result.skipped_columns)}"
    if result.columns_compared_as_text:
        yield f"compared as text: {', '.join(result.columns_compared_as_text)}"


def difference_lines(result: ReconcileResult) -> Iterator[str]:
    """Where the two sides differ: in numbers, by group, then the first rows."""
    yield f"{result.table} has {pluralize(result.rows, 'row')}, its query gives {result.expected_rows:,}"
    if result.by:
        yield (
            f"{result.differing_group_count:,} of {pluralize(result.groups, 'group')} by {result.by}"
            f" differ: {_group_names(result)}"
        )
    differences = result.differences
    if differences is not None:
        yield _difference_counts(differences)
        yield from map(format_difference, differences.rows)
        if not differences.rows:
            yield "row by row they were equal: others wrote meanwhile, or a type's hash tells equals apart"
        elif _total_differences(differences) > len(differences.rows):
            yield "..."
    if not result.key:
        yield "nothing unique is compared, so a row that changed is told as one missing and one extra"
    yield from limitation_lines(result)


def format_difference(difference: Difference) -> str:
    """`changed (tenant_id=1, id=7): total 10.00, must be 12.00`."""
    key = f"{difference.kind.value} ({_format_pairs(difference.key)})"
    if difference.kind is DifferenceKind.CHANGED:
        return f"{key}: {'; '.join(_changed_values(difference))}"
    given = difference.expected or difference.actual or {}
    rest = {name: value for name, value in given.items() if name not in difference.key}
    return f"{key}: {_format_pairs(rest)}" if rest else key


def difference_diagnostic(step: PlannedStep, result: ReconcileResult) -> Diagnostic:
    """A failed reconcile, told at its query."""
    return step.rendered.diagnostic(
        step.statements[0].offset,
        "reconcile-failed",
        f"{result.table} does not equal its defining query",
        detail=tuple(difference_lines(result)),
        hint="mend what fills the table, or the query, then run again",
    )


def shorten_value(value: str | None, compared_value: str | None = None) -> str:
    """A value as a line can show it, without secrets; of a long one the part in which it begins to differ from the
    other.
    """
    if value is None:
        return "NULL"
    text = _one_line(value)
    if text in ("", "NULL"):
        return f"'{text}'"
    if len(text) <= _LONGEST_VALUE:
        return text
    same = 0
    if compared_value is not None:
        compared = _one_line(compared_value)
        pairs = zip(text, compared, strict=False)
        same = next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(text), len(compared)))
    start = max(0, min(same - _LONGEST_VALUE // 2, len(text) - _LONGEST_VALUE))
    end = start + _LONGEST_VALUE
    return f"{'…' if start else ''}{text[start:end]}{'…' if end < len(text) else ''}"


def _one_line(value: str) -> str:
    # hidden before it is cut: what hides secrets must see them whole
    return hide_secrets(value).replace("\n", "\\n")


def _difference_counts(differences: Differences) -> str:
    parts = (
        (differences.missing, "missing"),
        (differences.extra, "extra"),
        (differences.changed, "changed"),
    )
    told = ", ".join(f"{number:,} {word}" for number, word in parts if number) or "none"
    return f"rows that differ: {'' if differences.is_exact else 'at least '}{told}"


def _total_differences(differences: Differences) -> int:
    return differences.missing + differences.extra + differences.changed


def _group_names(result: ReconcileResult) -> str:
    names = ", ".join(shorten_value(group) for group in result.differing_groups)
    return names + (", ..." if result.differing_group_count > len(result.differing_groups) else "")


def _changed_values(difference: Difference) -> Iterator[str]:
    expected, actual = difference.expected or {}, difference.actual or {}
    for name in difference.columns:
        is_, must = actual[name], expected[name]
        yield f"{name} is {shorten_value(is_, must)}, must be {shorten_value(must, is_)}"


def _format_pairs(values: Values) -> str:
    return ", ".join(f"{name}={shorten_value(value)}" for name, value in values.items())
