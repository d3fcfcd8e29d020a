"""Formatting for counts, rows, and bytes, shared by all human-readable formats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from confiture.models.findings import SEVERITIES, Finding
from confiture.models.settings import Severity
from confiture.text import pluralize

_SEVERITY_NOUNS: Mapping[Severity, str] = {"error": "error", "warning": "warning", "info": "note"}


def severity_counts(findings: Sequence[Finding]) -> str:
    """Return `2 errors and 1 warning`, or `Nothing found`."""
    counts = [(severity, sum(finding.severity == severity for finding in findings)) for severity in SEVERITIES]
    parts = [pluralize(number, _SEVERITY_NOUNS[severity]) for severity, number in counts if number]
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts) or "Nothing found"


def format_rows(number: int | None) -> str:
    """Return a number of rows with thousands separators; empty for None."""
    return "" if number is None else f"{number:,}"
