"""Messages about comparing a table with its defining query."""

from __future__ import annotations

from collections.abc import Iterator

from confiture.errors import Diagnostic
from confiture.models.plan import PlannedStep
from confiture.models.reconcile_results import Difference, DifferenceKind, Differences, ReconcileResult, Values
from confiture.redaction import row_value
from confiture.secrets import hide_secrets
from confiture.text import pluralize

_LONGEST_VALUE = 80


def equal_summary(result: ReconcileResult) -> str:
    """Return `300,009 rows equal, in 5,000 groups by tenant_id; not compared: id`."""
    groups = f", in {pluralize(result.groups, 'group')} by {result.by}" if result.by else ""
    return (
        f"{pluralize(result.rows, 'row')} equal{groups}{''.join(f'; {remark}' for remark in limitation_lines(result))}"
    )


def limitation_lines(result: ReconcileResult) -> Iterator[str]:
    """Yield the limitations of the comparison: columns that were skipped or compared as text."""
    if result.skipped_columns:
        yield f"not compared: {', '.join(skipped.column for skipped in result.skipped_columns)}"
    if result.columns_compared_as_text:
        yield f"compared as text: {', '.join(result.columns_compared_as_text)}"


def difference_lines(result: ReconcileResult) -> Iterator[str]:
    """Yield the differences: counts, groups, then the first rows."""
    yield f"{result.table} contains {pluralize(result.rows, 'row')}; its query returns {result.expected_rows:,}"
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
            yield "a row-by-row comparison found no difference: another session wrote, or equal values hash differently"
        elif _total_differences(differences) > len(differences.rows):
            yield "..."
    if not result.key:
        yield "without a unique key, a changed row is reported as one missing and one extra row"
    yield from limitation_lines(result)


def format_difference(difference: Difference) -> str:
    """Return `changed (tenant_id=1, id=7): total is 10.00, must be 12.00`."""
    key = f"{difference.kind.value} ({_format_pairs(difference.key)})"
    if difference.kind is DifferenceKind.CHANGED:
        return f"{key}: {'; '.join(_changed_values(difference))}"
    row = difference.expected or difference.actual or {}
    rest = {name: value for name, value in row.items() if name not in difference.key}
    return f"{key}: {_format_pairs(rest)}" if rest else key


def difference_diagnostic(step: PlannedStep, result: ReconcileResult) -> Diagnostic:
    """Return the diagnostic for a failed reconcile, located at the query."""
    return step.rendered.diagnostic(
        step.statements[0].offset,
        "reconcile-failed",
        f"{result.table} does not equal its defining query",
        detail=tuple(difference_lines(result)),
        hint="fix the query or the code that fills the table, then run again",
    )


def shorten_value(value: str | None, compared_value: str | None = None) -> str:
    """Return a value on one line without secrets; for a long value, return the part around the first difference."""
    if value is None:
        return "NULL"
    text = _one_line(row_value(value) or "")
    if text in ("", "NULL"):
        return f"'{text}'"
    if len(text) <= _LONGEST_VALUE:
        return text
    prefix_length = 0
    if compared_value is not None:
        compared = _one_line(row_value(compared_value) or "")
        pairs = zip(text, compared, strict=False)
        prefix_length = next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(text), len(compared)))
    start = max(0, min(prefix_length - _LONGEST_VALUE // 2, len(text) - _LONGEST_VALUE))
    end = start + _LONGEST_VALUE
    return f"{'…' if start else ''}{text[start:end]}{'…' if end < len(text) else ''}"


def _one_line(value: str) -> str:
    # hide secrets before shortening, because only whole secrets are recognized
    return hide_secrets(value).replace("\n", "\\n")


def _difference_counts(differences: Differences) -> str:
    parts = (
        (differences.missing, "missing"),
        (differences.extra, "extra"),
        (differences.changed, "changed"),
    )
    counts = ", ".join(f"{number:,} {word}" for number, word in parts if number) or "none"
    return f"rows that differ: {'' if differences.is_exact else 'at least '}{counts}"


def _total_differences(differences: Differences) -> int:
    return differences.missing + differences.extra + differences.changed


def _group_names(result: ReconcileResult) -> str:
    names = ", ".join(shorten_value(group) for group in result.differing_groups)
    return names + (", ..." if result.differing_group_count > len(result.differing_groups) else "")


def _changed_values(difference: Difference) -> Iterator[str]:
    expected, actual = difference.expected or {}, difference.actual or {}
    for name in difference.columns:
        value, expected_value = actual[name], expected[name]
        yield (f"{name} is {shorten_value(value, expected_value)}, must be {shorten_value(expected_value, value)}")


def _format_pairs(values: Values) -> str:
    return ", ".join(f"{name}={shorten_value(value)}" for name, value in values.items())
