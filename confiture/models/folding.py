"""Folds the events of a run into its report."""

from __future__ import annotations

from confiture.models.events import (
    BackfillProgressed,
    BatchRetried,
    Blocked,
    Event,
    Linted,
    LockWaiting,
    MigrationFinished,
    MigrationStarted,
    Noted,
    Outcome,
    Rehearsed,
    RunFinished,
    RunStarted,
    SegmentRetried,
    StepFinished,
)
from confiture.models.plan import Direction
from confiture.models.reports import MigrationReport, RunReport, StepReport
from confiture.models.stretches import progressed, retried
from confiture.models.values import replace


class Folding:
    """A listener whose `report` is always that of the events so far."""

    def __init__(self) -> None:
        self.report = RunReport(direction=Direction.UP, dry_run=False, environment="", database="")

    def __call__(self, event: Event) -> None:
        """Takes in one event."""
        self.report = fold(self.report, event)


def fold(report: RunReport, event: Event) -> RunReport:
    """The report after one more event."""
    match event:
        case RunStarted():
            return RunReport(
                direction=event.direction,
                dry_run=event.dry_run,
                environment=event.environment,
                database=event.database,
                migrations=tuple(_unreached(label) for label in event.migrations),
            )
        case MigrationStarted():
            return _update(report, event.version, steps=(), outcome=None)
        case StepFinished():
            step = StepReport(
                step=event.step,
                outcome=event.outcome,
                duration_ms=event.duration_ms,
                rows=event.rows,
                note=event.note,
                stats=event.stats,
            )
            before = _find(report, event.step.version).steps
            return _update(report, event.step.version, steps=(*before, step))
        case SegmentRetried():
            migration = _find(report, event.version)
            kept = tuple(step for step in migration.steps if step.step.segment < event.segment)
            return _update(report, event.version, steps=kept, retries=migration.retries + 1)
        case MigrationFinished():
            return _update(report, event.version, outcome=event.outcome, duration_ms=event.duration_ms)
        case RunFinished():
            return _finished(report, event)
    return _with_remark(report, event)


def _with_remark(report: RunReport, event: Event) -> RunReport:
    """The report after an event that belongs to the run as a whole."""
    match event:
        case Blocked():
            return replace(report, blocked=(*report.blocked, event))
        case BackfillProgressed():
            return replace(report, backfills=progressed(report.backfills, event))
        case BatchRetried():
            return replace(report, backfills=retried(report.backfills, event))
        case Rehearsed():
            return replace(
                report,
                statements=event.statements,
                warnings=event.warnings,
                leftovers=event.leftovers,
                estimate=event.estimate,
                isolation=event.isolation,
            )
        case Linted():
            return replace(report, findings=event.findings)
        case Noted():
            return replace(report, notes=(*report.notes, event.text))
        case LockWaiting():
            return replace(report, notes=(*report.notes, f"waited for the lock, held by {event.holder}"))
    return report


def _unreached(label: str) -> MigrationReport:
    version, _, name = label.partition(" ")
    return MigrationReport(version=version, name=name)


def _finished(report: RunReport, event: RunFinished) -> RunReport:
    """What was begun and did not end has the run's own outcome."""
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


def _find(report: RunReport, version: str) -> MigrationReport:
    return report.migrations[_place(report, version)]


def _place(report: RunReport, version: str) -> int:
    return next(place for place, migration in enumerate(report.migrations) if migration.version == version)


def _update(report: RunReport, version: str, **changes: object) -> RunReport:
    place, migrations = _place(report, version), report.migrations
    changed = replace(migrations[place], **changes)  # type: ignore[arg-type]
    return replace(report, migrations=(*migrations[:place], changed, *migrations[place + 1 :]))
