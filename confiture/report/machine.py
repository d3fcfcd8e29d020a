"""JSON for machines. `format` and `version` name the layout; docs/json.md describes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any

from confiture.errors import Diagnostic
from confiture.models.events import Blocked
from confiture.models.findings import SEVERITIES, LintReport
from confiture.models.plan import PlannedMigration, PlannedStep, Segment, StepId
from confiture.models.reports import BackfillReport, MigrationReport, RunReport
from confiture.plan.checksums import segment_fingerprint
from confiture.plan.history import Standing, Stopped
from confiture.report.objects import (
    diagnostics_list,
    finding_object,
    lock_object,
    proved_object,
    rounded,
    statement_object,
    stats_object,
    waiter_object,
    warning_object,
)
from confiture.report.planned import particulars
from confiture.text import json_text

if TYPE_CHECKING:
    from confiture.lint.engine.rule import Rule

_VERSION = 1


def run_document(report: RunReport) -> dict[str, Any]:
    """A run: `migrate up`, `migrate down`, a dry run."""
    return (
        document("confiture.run")
        | {
            "direction": report.direction.value,
            "dry_run": report.dry_run,
            "environment": report.environment,
            "database": report.database,
            "outcome": report.outcome.value if report.outcome else "failed",
            "execution_time_ms": round(report.execution_time_ms, 3),
            "rows_affected": report.rows_affected,
            "rows_affected_sampled": bool(report.sampled_steps),
            "migrations": [_migration(migration, report.sampled_steps) for migration in report.migrations],
            "notes": list(report.notes),
            "findings": [finding_object(finding) for finding in report.findings],
            "blocked": [_blocked(blocked) for blocked in report.blocked],
            "backfills": [_backfill(backfill) for backfill in report.backfills],
            "diagnostics": diagnostics_list(report.diagnostics),
        }
        | (_measured(report) if report.dry_run else {})
    )


def _blocked(blocked: Blocked) -> dict[str, Any]:
    return {
        "version": blocked.version,
        "segment": blocked.segment,
        "over_budget": blocked.over_budget,
        "waiters": [waiter_object(waiter) for waiter in blocked.waiters],
    }


def _backfill(backfill: BackfillReport) -> dict[str, Any]:
    first, last = backfill.first, backfill.last
    return {
        "version": last.step.version,
        "phase": last.step.phase.value,
        "step": last.step.name,
        "segment": last.step.segment,
        "filled_ms": rounded(last.elapsed_s * 1000),
        "source_rows": last.source_rows,
        "written_rows": last.written_rows,
        "batches": last.batches,
        "source_rows_before": first.source_rows,
        "written_rows_before": first.written_rows,
        "batches_before": first.batches,
        "retries": backfill.retries,
        "median_batch_rows": rounded(backfill.median_batch_rows),
        "held_back": [
            {"reason": reason, "seconds": round(seconds, 3)} for reason, seconds in backfill.held_back_s.items()
        ],
    }


def _measured(report: RunReport) -> dict[str, Any]:
    """What only a dry run has."""
    found = report.estimate
    return {
        "estimated_production_time_ms": rounded(report.estimated_production_time_ms),
        "estimated_range_low_ms": rounded(report.estimated_range_low_ms),
        "estimated_range_high_ms": rounded(report.estimated_range_high_ms),
        "estimated_range_percent": found.level_percent if found else None,
        "confidence_percent": rounded(report.confidence_percent),
        "estimate_runs": found.runs if found else 0,
        "estimate_scaled": found.scaled if found else False,
        "locked_tables": list(report.locked_tables),
        "warnings": [warning_object(warning) for warning in report.warnings],
        "locks": [lock_object(lock) for lock in report.locks],
        "statements": [statement_object(statement) for statement in report.statements],
        "leftovers": list(report.leftovers),
        "isolation": [proved_object(one) for one in report.isolation.statements] if report.isolation else None,
        "isolation_time_ms": rounded(report.isolation.duration_ms) if report.isolation else None,
    }


def _migration(migration: MigrationReport, sampled: Set[StepId]) -> dict[str, Any]:
    return {
        "version": migration.version,
        "name": migration.name,
        "outcome": migration.outcome.value if migration.outcome else "not reached",
        "execution_time_ms": rounded(migration.duration_ms),
        "rows_affected": migration.rows,
        "rows_affected_sampled": any(step.step in sampled for step in migration.steps),
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
                "execution_time_ms": rounded(step.duration_ms),
                "rows_affected": step.rows,
                "rows_affected_sampled": step.step in sampled,
                "note": step.note,
                "stats": stats_object(step.stats),
            }
            for step in migration.steps
        ],
    }


def diagnostics_document(diagnostics: Sequence[Diagnostic]) -> dict[str, Any]:
    """What is wrong, where there is no run to report: `migrate validate`, files that cannot be read."""
    return document("confiture.diagnostics") | {"diagnostics": diagnostics_list(diagnostics)}


def lint_document(report: LintReport) -> dict[str, Any]:
    """What lint found."""
    return document("confiture.lint") | {
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
    return document("confiture.rules") | {
        "rules": [
            {
                "name": rule.name,
                "aliases": list(rule.aliases),
                "group": rule.group.value,
                "severity": rule.severity,
                "optional": rule.optional,
                "summary": rule.summary,
                "effect": rule.effect,
                "hint": rule.hint,
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


def status_document(standing: Standing, environment: str, database: str) -> dict[str, Any]:
    """Where a database stands: `migrate status`."""
    return document("confiture.status") | {
        "environment": environment,
        "database": database,
        "project": standing.project,
        "other_projects": [other.project for other in standing.others],
        "applied": [
            {
                "version": row.version,
                "name": row.name,
                "origin": row.origin.value,
                "applied_at": row.applied_at.isoformat() if row.applied_at else None,
                "applied_by": row.applied_by,
                "execution_time_ms": rounded(row.duration_ms),
                "checksum": row.checksum,
                "predicted_ms": rounded(row.outturn.predicted_ms) if row.outturn else None,
                "predicted_low_ms": rounded(row.outturn.low_ms) if row.outturn else None,
                "predicted_high_ms": rounded(row.outturn.high_ms) if row.outturn else None,
                "steps_took_ms": rounded(row.outturn.measured_ms) if row.outturn else None,
            }
            for row in standing.applied
        ],
        "pending": [
            {"version": plan.version, "name": plan.migration.name, "missing": diagnostics_list(plan.missing)}
            for plan in standing.pending
        ],
        "unfinished": _stopped(standing.stopped[0]) if standing.stopped else None,
        "under_way": standing.under_way,
        "out_of_order": [plan.version for plan in standing.out_of_order],
        "drift": diagnostics_list(standing.drift),
    }


def adoption_document(database: str, old: str, new: str, migrations: int) -> dict[str, Any]:
    """The new name of a history: `migrate adopt-project`."""
    return document("confiture.adoption") | {"database": database, "old": old, "new": new, "migrations": migrations}


def _stopped(stopped: Stopped) -> dict[str, Any]:
    step = stopped.next_step
    return {
        "version": stopped.row.version,
        "name": stopped.row.name,
        "state": stopped.row.state.value,
        "segments_committed": stopped.committed,
        "segments": stopped.segments,
        "next_step": {
            "phase": step.phase.value,
            "number": step.number,
            "part": step.part,
            "name": step.label,
            "file": step.span.path,
            "line": step.span.line,
            "begun": stopped.begun,
        }
        if step
        else None,
    }


def plan_document(plan: PlannedMigration) -> dict[str, Any]:
    """The plan of one migration: `migrate show`."""
    return document("confiture.plan") | {
        "version_of_migration": plan.version,
        "name": plan.migration.name,
        "description": plan.migration.description,
        "direction": plan.direction.value,
        "checksum": plan.checksum,
        "segments": [_segment(segment) for segment in plan.segments],
        "on_error": [_segment(segment) for segment in plan.on_error],
    }


def _segment(segment: Segment) -> dict[str, Any]:
    return {
        "number": segment.number,
        "isolation": segment.isolation.value,
        "fingerprint": segment_fingerprint(segment.steps),
        "steps": [_step(step) for step in segment.steps],
    }


def _step(step: PlannedStep) -> dict[str, Any]:
    return {
        "phase": step.phase.value,
        "number": step.number,
        "part": step.part,
        "name": step.name,
        "file": step.rendered.source.file.path,
        "line": step.rendered.source.line,
        "skipped": step.skipped,
        "timeout_ms": step.timeout_ms,
        "lock_timeout_ms": step.lock_timeout_ms,
        "statements": [statement.written for statement in step.statements],
        **particulars(step),
    }


def as_text(document: dict[str, Any]) -> str:
    """The document as JSON, indented, with a line end."""
    return json_text(document) + "\n"


def document(name: str) -> dict[str, Any]:
    """The head of a document: `name` is its layout."""
    return {"format": name, "version": _VERSION}
