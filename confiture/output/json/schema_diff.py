"""The differences between two schemas, and the result of `confiture pull`, as JSON."""

from __future__ import annotations

from typing import Any

from confiture.models.pull import PullResult
from confiture.models.schema_changes import FactChange, SchemaChange
from confiture.models.schema_diff import SchemaDiff
from confiture.output.json.document import with_schema_version


def schema_diff_document(diff: SchemaDiff) -> dict[str, Any]:
    """Return the document for `confiture diff --format json`."""
    comparison = diff.comparison
    return with_schema_version("confiture.diff") | {
        "environment": diff.environment,
        "before": diff.before,
        "after": diff.after,
        "equal": comparison.is_equal,
        "changes": [_change_object(change) for change in comparison.changes],
        "written_differently": [_change_object(change) for change in comparison.spelling_changes],
        "undecided": [
            {"kind": one.kind, "identity": one.identity, "reason": one.reason} for one in comparison.undecided
        ],
        "ignored": comparison.ignored,
        "notes": list(comparison.notes),
    }


def pull_document(result: PullResult) -> dict[str, Any]:
    """Return the document for `confiture pull --format json`."""
    return with_schema_version("confiture.pull") | {
        "database": result.database,
        "folder": result.folder,
        "files": list(result.files),
        "notes": list(result.notes),
    }


def _change_object(change: SchemaChange) -> dict[str, Any]:
    return {
        "action": change.action.value,
        "kind": change.kind,
        "identity": change.identity,
        "parent": change.parent or None,
        "file": change.location.path if change.location else None,
        "line": change.location.line if change.location else None,
        "facts": [_fact_object(fact) for fact in change.facts],
    }


def _fact_object(fact: FactChange) -> dict[str, Any]:
    return {
        "fact": fact.fact,
        "before": fact.before if fact.is_shown else None,
        "after": fact.after if fact.is_shown else None,
        "shown": fact.is_shown,
    }
