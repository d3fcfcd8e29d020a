"""The results of `confiture reconcile` and `confiture verify` as JSON."""

from __future__ import annotations

from typing import Any

from confiture.models.reconcile_results import VerifyReport, VerifyResult
from confiture.output.json.document import with_schema_version
from confiture.output.json.objects import diagnostics_list, reconcile_result_object


def verify_document(report: VerifyReport, layout: str) -> dict[str, Any]:
    """The document as JSON; `layout` is `confiture.verify` or `confiture.reconcile`."""
    return with_schema_version(layout) | {
        "environment": report.environment,
        "database": report.database,
        "steps": [_step_object(step) for step in report.steps],
        "notes": list(report.notes),
    }


def _step_object(step: VerifyResult) -> dict[str, Any]:
    return {
        "migration": step.step.version or None,
        "phase": step.step.phase.value if step.migration else None,
        "number": step.step.number if step.migration else None,
        "name": step.step.name,
        "file": step.step.span.path,
        "line": step.step.span.line,
        "verdict": step.verdict.value,
        "execution_time_ms": round(step.duration_ms, 3),
        "note": step.note,
        "reconciled": reconcile_result_object(step.reconcile_result) if step.reconcile_result else None,
        "diagnostics": diagnostics_list((step.diagnostic,) if step.diagnostic else ()),
    }
