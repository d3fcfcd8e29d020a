"""The JSON documents for the history: the migration status, the renaming of a project, pins, and applied texts."""

from __future__ import annotations

from typing import Any

from confiture.models.applied_texts import AppliedText, AppliedTexts
from confiture.models.pins import PinResult
from confiture.output.json.document import with_schema_version
from confiture.output.json.objects import diagnostics_list, round_to_microseconds
from confiture.plan.history import InterruptedMigration, MigrationStatus


def status_document(status: MigrationStatus, environment: str, database: str) -> dict[str, Any]:
    """Describe the migration status of a database: `migrate status`."""
    return with_schema_version("confiture.status") | {
        "environment": environment,
        "database": database,
        "project": status.project,
        "other_projects": [other.project for other in status.other_histories],
        "applied": [
            {
                "version": row.version,
                "name": row.name,
                "origin": row.origin.value,
                "applied_at": row.applied_at.isoformat() if row.applied_at else None,
                "applied_by": row.applied_by,
                "execution_time_ms": round_to_microseconds(row.duration_ms),
                "checksum": row.checksum,
                "predicted_ms": round_to_microseconds(row.prediction_outcome.predicted_ms)
                if row.prediction_outcome
                else None,
                "predicted_low_ms": round_to_microseconds(row.prediction_outcome.low_ms)
                if row.prediction_outcome
                else None,
                "predicted_high_ms": round_to_microseconds(row.prediction_outcome.high_ms)
                if row.prediction_outcome
                else None,
                "steps_took_ms": round_to_microseconds(row.prediction_outcome.measured_ms)
                if row.prediction_outcome
                else None,
            }
            for row in status.applied
        ],
        "pending": [
            {
                "version": plan.version,
                "name": plan.migration.name,
                "missing": diagnostics_list(plan.missing_variables),
                "pinned": plan.migration.is_pinned,
            }
            for plan in status.pending
        ],
        "unfinished": _interrupted_object(status.interrupted[0]) if status.interrupted else None,
        "under_way": status.lock_holder,
        "out_of_order": [plan.version for plan in status.out_of_order],
        "drift": diagnostics_list(status.drift),
        "unreplayable": [
            {
                "version": migration.version,
                "name": migration.name,
                "files": list(migration.files),
                "command": migration.pin_command,
            }
            for migration in status.unreplayable
        ],
        "unreproducible": [
            {
                "version": migration.version,
                "name": migration.name,
                "changed": [{"kind": one.kind.value, "name": one.name} for one in migration.inputs],
            }
            for migration in status.unreproducible
        ],
        "notes": list(status.notes),
    }


def _interrupted_object(interrupted: InterruptedMigration) -> dict[str, Any]:
    step = interrupted.next_step
    return {
        "version": interrupted.row.version,
        "name": interrupted.row.name,
        "state": interrupted.row.state.value,
        "segments_committed": interrupted.committed_segments,
        "segments": interrupted.segments,
        "next_step": {
            "phase": step.phase.value,
            "number": step.number,
            "part": step.part,
            "name": step.label,
            "file": step.span.path,
            "line": step.span.line,
            "begun": interrupted.has_intent,
        }
        if step
        else None,
    }


def adoption_document(database: str, old: str, new: str, migrations: int) -> dict[str, Any]:
    """Describe the renaming of a project in the history: `migrate adopt-project`."""
    return with_schema_version("confiture.adoption") | {
        "database": database,
        "old": old,
        "new": new,
        "migrations": migrations,
    }


def pins_document(result: PinResult) -> dict[str, Any]:
    """Describe the pins that were written: `migrate pin`."""
    return with_schema_version("confiture.pins") | {
        "written": [
            {"version": one.version, "name": one.name, "pin": one.pin, "source": one.source} for one in result.written
        ],
        "problems": diagnostics_list(result.problems),
    }


def applied_document(texts: AppliedTexts) -> dict[str, Any]:
    """Describe the texts that an applied migration ran: `migrate show --applied`."""
    row = texts.row
    return with_schema_version("confiture.applied") | {
        "version_of_migration": row.version,
        "name": row.name,
        "state": row.state.value,
        "origin": row.origin.value,
        "applied_at": row.applied_at.isoformat() if row.applied_at else None,
        "applied_by": row.applied_by,
        "checksum": row.checksum,
        "problem": texts.problem,
        "file": _text_object(texts.own) if texts.own is not None else None,
        "named_files": [_text_object(one) for one in texts.files],
        "steps": [{"phase": one.phase.value, "name": one.label, "checksum": one.checksum} for one in row.steps],
    }


def _text_object(text: AppliedText) -> dict[str, Any]:
    return {"path": text.name, "text": text.text, "problem": text.problem}
