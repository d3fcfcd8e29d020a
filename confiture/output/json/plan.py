"""The JSON document of a plan."""

from __future__ import annotations

from typing import Any

from confiture.models.plan import PlannedMigration, PlannedStep, Segment
from confiture.output.json.document import with_schema_version
from confiture.output.json.step_details import step_details
from confiture.plan.checksums import segment_fingerprint


def plan_document(plan: PlannedMigration) -> dict[str, Any]:
    """Describe the plan of one migration: `migrate show`."""
    return with_schema_version("confiture.plan") | {
        "version_of_migration": plan.version,
        "name": plan.migration.name,
        "description": plan.migration.description,
        "direction": plan.direction.value,
        "checksum": plan.checksum,
        "segments": [_segment_object(segment) for segment in plan.segments],
        "on_error": [_segment_object(segment) for segment in plan.on_error],
    }


def _segment_object(segment: Segment) -> dict[str, Any]:
    return {
        "number": segment.number,
        "isolation": segment.transaction_mode.value,
        "fingerprint": segment_fingerprint(segment.steps),
        "steps": [_step_object(step) for step in segment.steps],
    }


def _step_object(step: PlannedStep) -> dict[str, Any]:
    return {
        "phase": step.phase.value,
        "number": step.number,
        "part": step.part,
        "name": step.name,
        "file": step.rendered.source.file.path,
        "line": step.rendered.source.line,
        "skipped": step.skip_reason,
        "timeout_ms": step.timeout_ms,
        "lock_timeout_ms": step.lock_timeout_ms,
        "statements": [statement.display_text for statement in step.statements],
        **step_details(step),
    }
