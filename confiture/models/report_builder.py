"""Folding a run's events into its report."""

from __future__ import annotations

from confiture.models.backfill_timeline import record_progress, record_retry
from confiture.models.events import (
    BackfillProgressed,
    BatchRetried,
    DryRunFinished,
    Event,
    LintFinished,
    LockWaiting,
    MigrationFinished,
    MigrationStarted,
    Notice,
    OthersBlocked,
    Outcome,
    RunFinished,
    RunStarted,
    SegmentRetried,
    ServerMessage,
    StepFinished,
)
from confiture.models.plan import Direction, StepId
from confiture.models.records import replace
from confiture.models.reports import MigrationReport, RunReport, StepReport


class ReportBuilder:
    """A listener that keeps `report` up to date with the events so far."""

    def __init__(self) -> None:
        self.report = RunReport(direction=Direction.UP, dry_run=False, environment="", database="")

    def __call__(self, event: Event) -> None:
        """Apply one event."""
        self.report = apply_event(self.report, event)


def apply_event(report: RunReport, event: Event) -> RunReport:
    """Return the report updated with one event."""
    match event:
        case RunStarted():
            return RunReport(
                direction=event.direction,
                dry_run=event.dry_run,
                environment=event.environment,
                database=event.database,
                migrations=tuple(_pending_migration(label) for label in event.migrations),
            )
        case MigrationStarted():
            return _update_migration(report, event.version, steps=(), outcome=None)
        case StepFinished():
            step = StepReport(
                step=event.step,
                outcome=event.outcome,
                duration_ms=event.duration_ms,
                rows=event.rows,
                note=event.note,
                stats=event.stats,
            )
            before = _find_migration(report, event.step.version).steps
            return _update_migration(report, event.step.version, steps=(*before, step))
        case SegmentRetried():
            migration = _find_migration(report, event.version)
            steps = tuple(step for step in migration.steps if step.step.segment < event.segment)
            messages = tuple(one for one in report.server_messages if not _is_retried(one.step, event))
            report = replace(report, server_messages=messages)
            return _update_migration(report, event.version, steps=steps, retries=migration.retries + 1)
        case MigrationFinished():
            return _update_migration(report, event.version, outcome=event.outcome, duration_ms=event.duration_ms)
        case RunFinished():
            return _finish_run(report, event)
    return _apply_run_event(report, event)


def _apply_run_event(report: RunReport, event: Event) -> RunReport:
    """Return the report updated with an event for the whole run."""
    match event:
        case OthersBlocked():
            return replace(report, blocked=(*report.blocked, event))
        case BackfillProgressed():
            return replace(report, backfills=record_progress(report.backfills, event))
        case BatchRetried():
            return replace(report, backfills=record_retry(report.backfills, event))
        case DryRunFinished():
            return replace(
                report,
                statements=event.statements,
                warnings=event.warnings,
                leftovers=event.leftovers,
                estimate=event.estimate,
                isolation=event.isolation,
            )
        case LintFinished():
            return replace(report, findings=event.findings)
        case ServerMessage() if event not in report.server_messages:
            return replace(report, server_messages=(*report.server_messages, event))
        case Notice():
            return replace(report, notes=(*report.notes, event.text))
        case LockWaiting():
            return replace(report, notes=(*report.notes, f"waited for the migration lock, held by {event.holder}"))
    return report


def _is_retried(step: StepId, event: SegmentRetried) -> bool:
    return step.version == event.version and step.segment == event.segment


def _pending_migration(label: str) -> MigrationReport:
    version, _, name = label.partition(" ")
    return MigrationReport(version=version, name=name)


def _finish_run(report: RunReport, event: RunFinished) -> RunReport:
    """Finish the report. Migrations that started but did not finish get the outcome of the run."""
    migrations = tuple(
        replace(migration, outcome=event.outcome) if migration.steps and migration.outcome is None else migration
        for migration in report.migrations
    )
    if report.dry_run and event.outcome is not Outcome.DONE:
        migrations = tuple(
            replace(migration, outcome=Outcome.ROLLED_BACK) if migration.outcome is Outcome.STOPPED else migration
            for migration in migrations
        )
    return replace(
        report,
        migrations=migrations,
        outcome=event.outcome,
        duration_ms=event.duration_ms,
        diagnostics=event.diagnostics,
    )


def _find_migration(report: RunReport, version: str) -> MigrationReport:
    return report.migrations[_find_position(report, version)]


def _find_position(report: RunReport, version: str) -> int:
    return next(place for place, migration in enumerate(report.migrations) if migration.version == version)


def _update_migration(report: RunReport, version: str, **changes: object) -> RunReport:
    position, migrations = _find_position(report, version), report.migrations
    migration = replace(migrations[position], **changes)  # type: ignore[arg-type]
    return replace(report, migrations=(*migrations[:position], migration, *migrations[position + 1 :]))
