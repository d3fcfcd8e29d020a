"""The result of `confiture build` as JSON."""

from __future__ import annotations

from typing import Any

from confiture.models.builds import BuildReport
from confiture.output.json.document import with_schema_version


def build_document(report: BuildReport) -> dict[str, Any]:
    """Return the document `confiture.build`."""
    return with_schema_version("confiture.build") | {
        "action": report.action.value,
        "environment": report.environment,
        "target": report.target,
        "unchanged": report.is_unchanged,
        "files": report.files,
        "statements": report.statements,
        "content_hash": report.content_hash,
        "read_time_ms": round(report.read_ms, 3),
        "execution_time_ms": round(report.run_ms, 3),
        "notes": list(report.notes),
    }
