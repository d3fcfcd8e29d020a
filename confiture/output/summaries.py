"""Sentences shared by several formats: a run's outcome, estimate, retries, and blocked sessions."""

from __future__ import annotations

from confiture.durations import format_duration_long
from confiture.models.backfills import CANCELLED, PROGRESS_LOST
from confiture.models.events import INTERRUPTED, Outcome, ServerMessage
from confiture.models.history import HISTORY_LOST
from confiture.models.hooks import TRANSACTION_ENDED
from confiture.models.plan import Direction
from confiture.models.reports import MigrationReport, RunReport
from confiture.models.tenancy_proofs import IsolationVerdict
from confiture.models.trace import Estimate
from confiture.text import pluralize

_LOST = frozenset({HISTORY_LOST, PROGRESS_LOST})
"""The codes of failures after which the same command cannot continue."""


def run_summary(report: RunReport) -> str:
    """Return a summary of a run: the outcome, the resulting state, and the next step."""
    reached = [migration for migration in report.migrations if migration.outcome is not None]
    done = [migration for migration in reached if migration.outcome is Outcome.DONE]
    place = f"{report.database} ({report.environment})"
    where = f"on {place}"
    verb = "reverted" if report.direction is Direction.DOWN else "applied"
    took = format_duration_long(report.duration_ms)
    if report.outcome is Outcome.DONE and not report.migrations:
        is_down = report.direction is Direction.DOWN
        return f"{'Nothing to revert' if is_down else 'Nothing to do: every migration is applied'} {where}."
    mixed = len(report.isolation.with_verdict(IsolationVerdict.MIXED)) if report.isolation else 0
    if report.dry_run and (report.outcome is Outcome.DONE or (mixed and len(done) == len(report.migrations))):
        written = f"{pluralize(_total_rows(done), 'row')}{' (backfills: a sample)' if report.sampled_steps else ''}"
        what = f"{pluralize(len(done), 'migration')} would be {verb}, {written}, {took}"
        warning = f", but {pluralize(mixed, 'statement')} would mix tenants" if mixed else ""
        return f"Dry run {where}: {what}{warning}. Rolled back: nothing changed."
    if report.dry_run and not any(migration.steps for migration in report.migrations):
        return f"Dry run {where} ended before anything ran. Nothing changed."
    if any(diagnostic.code == TRANSACTION_ENDED for diagnostic in report.diagnostics):
        return (
            f"Some changes on {place} may have been committed without being recorded."
            " Next: inspect the database and revert them by hand."
        )
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
    fix = "" if was_interrupted else "fix the cause, then "
    if report.outcome is Outcome.STOPPED:
        kept = f"{before}{label} stopped midway: everything that it had committed is kept."
        if any(diagnostic.code in _LOST for diagnostic in report.diagnostics):
            return f"{kept} Next: follow the hint of the error."
        return f"{kept} Next: {fix}run `{command}` to continue from there."
    if any(diagnostic.code == CANCELLED for diagnostic in report.diagnostics):
        return f"{before}{label} was cancelled; filled rows are kept. Next: empty the target, then run `{command}`."
    return f"{before}{label} was rolled back and left no changes. Next: {fix}run `{command}`."


def estimate_summary(report: RunReport) -> list[str]:
    """Return the estimated duration of the real run, with its basis, range, and confidence."""
    estimate = report.estimate
    if estimate is None:
        return []
    basis = f"{pluralize(estimate.runs, 'dry run')} on this database"
    if estimate.is_scaled:
        basis += ", scaled by the row counts in another"
    sentences = [f"Estimate: {format_duration_long(estimate.production_ms)} ({basis})."]
    if estimate.low_ms is not None and estimate.high_ms is not None:
        low_to_high = f"{format_duration_long(estimate.low_ms)} to {format_duration_long(estimate.high_ms)}"
        sentences.append(f"Range: {low_to_high}{_range_meaning(estimate)}.")
    if estimate.confidence_percent is not None:
        percent = f"{estimate.confidence_percent:.0f} %"
        sentences.append(f"Confidence: {percent} that the real duration is within 15 % of the estimate.")
    elif not estimate.is_representative:
        sentences.append(
            "Confidence: unknown, because the duration of batches, CONCURRENTLY, or VACUUM differs in a real run."
        )
    elif estimate.is_scaled:
        sentences.append("Confidence: unknown, because the times were scaled.")
    elif estimate.runs < 2:
        sentences.append("Confidence: unknown after only one run; `--repeat 5` measures the spread.")
    else:
        sentences.append("Confidence: unknown.")
    return sentences


def _range_meaning(estimate: Estimate) -> str:
    """Return the meaning of an estimate's range, to be appended to a sentence."""
    if estimate.is_scaled:
        return "; in measurements, linear scaling predicted 0.6 to 1.4 times the real duration"
    if estimate.level_percent:
        return f", intended to contain the real duration in {estimate.level_percent} of 100 runs"
    return ""


def retry_summary(report: RunReport) -> list[str]:
    """Return the number of retries of each migration after a lock timeout or a deadlock."""
    return [
        f"{migration.version} {migration.name}: rolled back and retried {pluralize(migration.retries, 'time')}."
        for migration in report.migrations
        if migration.retries
    ]


def server_messages_summary(report: RunReport) -> list[str]:
    """Describe the messages that PostgreSQL sent, each with its step."""
    return [f"{message.step.version} {server_message_text(message)}" for message in report.server_messages]


def server_message_text(message: ServerMessage) -> str:
    """Describe a server message with the name of its step."""
    detail = f" ({message.detail})" if message.detail else ""
    return f"{message.step.name}: {message.severity}: {message.message}{detail}"


def blocked_summary(report: RunReport) -> list[str]:
    """Return the sessions that waited for locks of this run, with the lock and the time."""
    return [
        f"{waiter.application_name or 'a session'} ({waiter.usename}, process {waiter.pid}) waited"
        f" {format_duration_long(waiter.waited_ms)} for {waiter.target} ({waiter.mode}):"
        f" {' '.join((waiter.query or '').split())}"
        for blocked in report.blocked
        for waiter in blocked.waiters
    ]
