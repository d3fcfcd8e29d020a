"""JSON for machines. `format` and `version` name the layout; docs/json.md describes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any

from confiture.errors import Diagnostic
from confiture.models.events import OthersBlocked
from confiture.models.findings import SEVERITIES, LintReport
from confiture.models.plan import PlannedMigration, PlannedStep, Segment, StepId
from confiture.models.reports import BackfillReport, MigrationReport, RunReport
from confiture.output.json.objects import (
    diagnostics_list,
    finding_object,
    lock_object,
    proved_statement_object,
    round_to_microseconds,
    statement_object,
    stats_object,
    waiter_object,
    warning_object,
)
from confiture.output.json.step_details import step_details
from confiture.plan.checksums import segment_fingerprint
from confiture.plan.history import InterruptedMigration, MigrationStatus
from confiture.text import format_json

if TYPE_CHECKING:
    from confiture.lint.engine.rule import Rule

_LAYOUT_VERSION = 1


def run_document(report: RunReport) -> dict[str, Any]:
    """A run: `migrate up`, `migrate down`, a dry run."""
    return (
        with_schema_version("confiture.run")
        | {
            "direction": report.direction.value,
            "dry_run": report.dry_run,
            "environment": report.environment,
            "database": report.database,
            "outcome": report.outcome.value if report.outcome else "failed",
            "execution_time_ms": round(report.execution_time_ms, 3),
            "rows_affected": report.rows_affected,
            "rows_affected_sampled": bool(report.sampled_steps),
            "migrations": [_migration_object(migration, report.sampled_steps) for migration in report.migrations],
            "notes": list(report.notes),
            "findings": [finding_object(finding) for finding in report.findings],
            "blocked": [_blocked_object(blocked) for blocked in report.blocked],
            "backfills": [_backfill_object(backfill) for backfill in report.backfills],
            "diagnostics": diagnostics_list(report.diagnostics),
        }
        | (_dry_run_fields(report) if report.dry_run else {})
    )


def _blocked_object(event: OthersBlocked) -> dict[str, Any]:
    return {
        "version": event.version,
        "segment": event.segment,
        "over_budget": event.over_budget,
        "waiters": [waiter_object(waiter) for waiter in event.waiters],
    }


def _backfill_object(backfill: BackfillReport) -> dict[str, Any]:
    first, last = backfill.first, backfill.last
    return {
        "version": last.step.version,
        "phase": last.step.phase.value,
        "step": last.step.name,
        "segment": last.step.segment,
        "filled_ms": round_to_microseconds(last.elapsed_s * 1000),
        "source_rows": last.source_rows,
        "written_rows": last.written_rows,
        "batches": last.batches,
        "source_rows_before": first.source_rows,
        "written_rows_before": first.written_rows,
        "batches_before": first.batches,
        "retries": backfill.retries,
        "median_batch_rows": round_to_microseconds(backfill.median_batch_rows),
        "held_back": [
            {"reason": reason, "seconds": round(seconds, 3)} for reason, seconds in backfill.waiting_s_by_reason.items()
        ],
    }


def _dry_run_fields(report: RunReport) -> dict[str, Any]:
    """What only a dry run has."""
    found = report.estimate
    return {
        "estimated_production_time_ms": round_to_microseconds(report.estimated_production_time_ms),
        "estimated_range_low_ms": round_to_microseconds(report.estimated_range_low_ms),
        "estimated_range_high_ms": round_to_microseconds(report.estimated_range_high_ms),
        "estimated_range_percent": found.level_percent if found else None,
        "confidence_percent": round_to_microseconds(report.confidence_percent),
        "estimate_runs": found.runs if found else 0,
        "estimate_scaled": found.is_scaled if found else False,
        "locked_tables": list(report.locked_tables),
        "warnings": [warning_object(warning) for warning in report.warnings],
        "locks": [lock_object(lock) for lock in report.locks],
        "statements": [statement_object(statement) for statement in report.statements],
        "leftovers": list(report.leftovers),
        "isolation": [proved_statement_object(one) for one in report.isolation.statements]
        if report.isolation
        else None,
        "isolation_time_ms": round_to_microseconds(report.isolation.duration_ms) if report.isolation else None,
    }


def _migration_object(migration: MigrationReport, sampled_steps: Set[StepId]) -> dict[str, Any]:
    return {
        "version": migration.version,
        "name": migration.name,
        "outcome": migration.outcome.value if migration.outcome else "not reached",
        "execution_time_ms": round_to_microseconds(migration.duration_ms),
        "rows_affected": migration.rows,
        "rows_affected_sampled": any(step.step in sampled_steps for step in migration.steps),
        "retries": migration.retries,
        "steps": [
            {
                "phase": step.step.phase.value,
                "number": step.step.number,
                "part": step.step.part,
                "segment": step.step.segment,
                "name": step.step.name,
                "file": step.step.span.path,
                "line": step.step.span.line,
                "outcome": step.outcome.value,
                "execution_time_ms": round_to_microseconds(step.duration_ms),
                "rows_affected": step.rows,
                "rows_affected_sampled": step.step in sampled_steps,
                "note": step.note,
                "stats": stats_object(step.stats),
            }
            for step in migration.steps
        ],
    }


def diagnostics_document(diagnostics: Sequence[Diagnostic]) -> dict[str, Any]:
    """What is wrong, where there is no run to report: `migrate validate`, files that cannot be read."""
    return with_schema_version("confiture.diagnostics") | {"diagnostics": diagnostics_list(diagnostics)}


def lint_document(report: LintReport) -> dict[str, Any]:
    """What lint found."""
    return with_schema_version("confiture.lint") | {
        "source": report.source,
        "files": report.files,
        "statements": report.statements,
        "tables": report.tables,
        "rules": report.rules,
        "suppressed": report.suppressed,
        "known": report.known,
        "notes": list(report.notes),
        "counts": {severity: sum(one.severity == severity for one in report.findings) for severity in SEVERITIES},
        "findings": [finding_object(finding) for finding in report.findings],
    }


def rules_document(rules: Mapping[str, Rule]) -> dict[str, Any]:
    """The rules of lint."""
    return with_schema_version("confiture.rules") | {
        "rules": [
            {
                "name": rule.name,
                "aliases": list(rule.aliases),
                "group": rule.group.value,
                "severity": rule.severity,
                "optional": rule.off_by_default,
                "summary": rule.summary,
                "effect": rule.impact,
                "hint": rule.fix_hint,
                "options": {
                    name: {
                        "description": option.description,
                        "required": option.required,
                        "default": option.default,
                    }
                    for name, option in rule.options.items()
                },
            }
            for rule in sorted(rules.values(), key=lambda rule: rule.name)
        ]
    }


def status_document(status: MigrationStatus, environment: str, database: str) -> dict[str, Any]:
    """Where a database stands: `migrate status`."""
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
            {"version": plan.version, "name": plan.migration.name, "missing": diagnostics_list(plan.missing_variables)}
            for plan in status.pending
        ],
        "unfinished": _interrupted_object(status.interrupted[0]) if status.interrupted else None,
        "under_way": status.lock_holder,
        "out_of_order": [plan.version for plan in status.out_of_order],
        "drift": diagnostics_list(status.drift),
    }


def adoption_document(database: str, old: str, new: str, migrations: int) -> dict[str, Any]:
    """The new name of a history: `migrate adopt-project`."""
    return with_schema_version("confiture.adoption") | {
        "database": database,
        "old": old,
        "new": new,
        "migrations": migrations,
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


def plan_document(plan: PlannedMigration) -> dict[str, Any]:
    """The plan of one migration: `migrate show`."""
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


def dump_json(content: dict[str, Any]) -> str:
    """The document as JSON, indented, with a line end."""
    return format_json(content) + "\n"


def with_schema_version(layout: str) -> dict[str, Any]:
    """The head of a document: `layout` is its layout."""
    return {"format": layout, "version": _LAYOUT_VERSION}
