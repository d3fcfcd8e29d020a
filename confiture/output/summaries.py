"""Sentences that several formats share: how a run ended, how sure an estimate is, who waited."""

from __future__ import annotations

from confiture.durations import format_duration_long
from confiture.models.backfills import CANCELLED
from confiture.models.events import INTERRUPTED, Outcome, ServerMessage
from confiture.models.hooks import TRANSACTION_ENDED
from confiture.models.plan import Direction
from confiture.models.reports import MigrationReport, RunReport
from confiture.models.tenancy_proofs import IsolationVerdict
from confiture.models.trace import Estimate
from confiture.text import pluralize


def run_summary(report: RunReport) -> str:
    """How a run ended, what remains, and the next step."""
    reached = [migration for migration in report.migrations if migration.outcome is not None]
    done = [migration for migration in reached if migration.outcome is Outcome.DONE]
    place = f"{report.database} ({report.environment})"
    where = f"on {place}"
    verb = "undone" if report.direction is Direction.DOWN else "applied"
    took = format_duration_long(report.duration_ms)
    if report.outcome is Outcome.DONE and not report.migrations:
        undo = report.direction is Direction.DOWN
        return f"{'Nothing to undo' if undo else 'Nothing to do: every migration is applied'} {where}."
    mixed = len(report.isolation.with_verdict(IsolationVerdict.MIXED)) if report.isolation else 0
    if report.dry_run and (report.outcome is Outcome.DONE or (mixed and len(done) == len(report.migrations))):
        written = f"{pluralize(_total_rows(done), 'row')}{' (of backfills a sample)' if report.sampled_steps else ''}"
        what = f"{pluralize(len(done), 'migration')} would be {verb}, {written}, {took}"
        told = f", but {pluralize(mixed, 'statement')} would mix tenants" if mixed else ""
        return f"Dry run {where}: {what}{told}. Rolled back: nothing changed."
    if report.dry_run and not any(migration.steps for migration in report.migrations):
        return f"Dry run {where} ended before anything ran: nothing changed."
    if any(diagnostic.code == TRANSACTION_ENDED for diagnostic in report.diagnostics):
        return f"On {place} something may be committed that nothing records. Next: look, and undo it by hand."
    if report.dry_run:
        return f"Dry run {where} failed after {took}. Rolled back: nothing changed."
    if report.outcome is Outcome.DONE:
        return f"{pluralize(len(done), 'migration')} {verb} {where}: {pluralize(_total_rows(done), 'row')}, {took}."
    failed = next((migration for migration in reached if migration.outcome is not Outcome.DONE), None)
    return _failure_summary(report, failed, len(done), verb)


def _total_rows(migrations: list[MigrationReport]) -> int:
    return sum(migration.rows for migration in migrations)


def _failure_summary(report: RunReport, failed: MigrationReport | None, done_count: int, verb: str) -> str:
    before = f"{pluralize(done_count, 'migration')} {verb}. " if done_count else ""
    command = "confiture migrate down" if report.direction is Direction.DOWN else "confiture migrate up"
    if failed is None:
        return before.strip() if done_count else "Nothing was changed."
    label = f"{failed.version} {failed.name}"
    was_interrupted = any(diagnostic.code == INTERRUPTED for diagnostic in report.diagnostics)
    mend = "" if was_interrupted else "mend the cause, then "
    if report.outcome is Outcome.STOPPED:
        return (
            f"{before}{label} stopped midway: what ran before the failed step is committed."
            f" Next: {mend}`{command}` goes on from there."
        )
    if any(diagnostic.code == CANCELLED for diagnostic in report.diagnostics):
        return f"{before}{label} was given up: the rows that it filled stay. Next: empty its table, then `{command}`."
    return f"{before}{label} was rolled back: nothing of it remains. Next: {mend}`{command}`."


def estimate_summary(report: RunReport) -> list[str]:
    """How long the real run will take, how that was obtained, and how sure it is."""
    found = report.estimate
    if found is None:
        return []
    basis = f"{pluralize(found.runs, 'dry run')} on this database"
    if found.is_scaled:
        basis += ", scaled by the row counts of another"
    sentences = [f"Estimate: {format_duration_long(found.production_ms)} ({basis})."]
    if found.low_ms is not None and found.high_ms is not None:
        reach = f"{format_duration_long(found.low_ms)} to {format_duration_long(found.high_ms)}"
        sentences.append(f"Range: {reach}{_range_meaning(found)}.")
    if found.confidence_percent is not None:
        sentences.append(f"Confidence: {found.confidence_percent:.0f} % that it is within 15 % of the estimate.")
    elif not found.is_representative:
        sentences.append(
            "Confidence: unknown, because batches, CONCURRENTLY or VACUUM take another time in a real run."
        )
    elif found.is_scaled:
        sentences.append("Confidence: unknown, because the times were scaled.")
    elif found.runs < 2:
        sentences.append("Confidence: unknown from one run; `--repeat 5` measures the spread.")
    else:
        sentences.append("Confidence: unknown.")
    return sentences


def _range_meaning(estimate: Estimate) -> str:
    """What the range of an estimate stands for."""
    if estimate.is_scaled:
        return ", linear scaling was 0.6 to 1.4 times the truth where it was measured"
    if estimate.level_percent:
        return f", meant to hold the real time {estimate.level_percent} times of 100"
    return ""


def retry_summary(report: RunReport) -> list[str]:
    """Which migrations were rolled back for a lock or a deadlock and tried again, how often."""
    return [
        f"{migration.version} {migration.name}: rolled back and tried again {pluralize(migration.retries, 'time')}."
        for migration in report.migrations
        if migration.retries
    ]


def server_messages_summary(report: RunReport) -> list[str]:
    """Describe the messages that PostgreSQL sent, each with its step."""
    return [f"{message.step.version} {server_message_text(message)}" for message in report.server_messages]


def server_message_text(message: ServerMessage) -> str:
    """Describe a message of the server with the name of its step."""
    detail = f" ({message.detail})" if message.detail else ""
    return f"{message.step.name}: {message.severity}: {message.message}{detail}"


def blocked_summary(report: RunReport) -> list[str]:
    """Who waited for us, on what, how long."""
    return [
        f"{waiter.application_name or 'a session'} ({waiter.usename}, process {waiter.pid}) waited"
        f" {format_duration_long(waiter.waited_ms)} for {waiter.target} ({waiter.mode}):"
        f" {' '.join((waiter.query or '').split())}"
        for blocked in report.blocked
        for waiter in blocked.waiters
    ]
