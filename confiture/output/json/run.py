"""The JSON document of a run."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from confiture.models.events import OthersBlocked, ServerMessage
from confiture.models.plan import StepId
from confiture.models.reports import BackfillReport, MigrationReport, RunReport
from confiture.output.json.document import with_schema_version
from confiture.output.json.objects import (
    diagnostics_list,
    finding_object,
    lock_object,
    proved_statement_object,
    round_to_microseconds,
    server_message_fields,
    statement_object,
    stats_object,
    waiter_object,
    warning_object,
)


def run_document(report: RunReport) -> dict[str, Any]:
    """Describe a run: `migrate up`, `migrate down` or a dry run."""
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
            "server_messages": [_server_message_object(message) for message in report.server_messages],
            "findings": [finding_object(finding) for finding in report.findings],
            "blocked": [_blocked_object(blocked) for blocked in report.blocked],
            "backfills": [_backfill_object(backfill) for backfill in report.backfills],
            "diagnostics": diagnostics_list(report.diagnostics),
        }
        | (_dry_run_fields(report) if report.dry_run else {})
    )


def _dry_run_fields(report: RunReport) -> dict[str, Any]:
    """Return the keys that only the report of a dry run contains."""
    estimate = report.estimate
    return {
        "estimated_production_time_ms": round_to_microseconds(report.estimated_production_time_ms),
        "estimated_range_low_ms": round_to_microseconds(report.estimated_range_low_ms),
        "estimated_range_high_ms": round_to_microseconds(report.estimated_range_high_ms),
        "estimated_range_percent": estimate.level_percent if estimate else None,
        "confidence_percent": round_to_microseconds(report.confidence_percent),
        "estimate_runs": estimate.runs if estimate else 0,
        "estimate_scaled": estimate.is_scaled if estimate else False,
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


def _server_message_object(message: ServerMessage) -> dict[str, Any]:
    step = message.step
    return {"version": step.version, "phase": step.phase.value, "step": step.name} | server_message_fields(message)


def _blocked_object(event: OthersBlocked) -> dict[str, Any]:
    return {
        "version": event.version,
        "segment": event.segment,
        "over_budget": event.over_budget,
        "waiters": [waiter_object(waiter) for waiter in event.waiters],
    }
