"""Match the plan of an interrupted migration to the part that an earlier run committed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from confiture.core.db.history_store import HistoryStore
from confiture.errors import Diagnostic, Drift
from confiture.models.history import AppliedMigration, JournalEntry, MigrationState, SegmentState
from confiture.models.plan import Direction, PlannedMigration, PlannedStep, Segment, TransactionMode
from confiture.models.settings import Settings
from confiture.plan.checksums import segment_fingerprint
from confiture.plan.history import pin_command
from confiture.plan.migration_order import VersionKey, version_key
from confiture.plan.session_state import add_session_state


@dataclass(frozen=True, kw_only=True, slots=True)
class ResumePoint:
    """A migration that an earlier run left incomplete: the attempt, and what was committed or about to be committed."""

    attempt: str
    journal: Mapping[int, JournalEntry]

    @property
    def committed_segments(self) -> int:
        """The number of committed segments. These are always the first ones."""
        return sum(entry.state is SegmentState.DONE for entry in self.journal.values())

    @property
    def has_intent(self) -> bool:
        """Whether a statement outside a transaction was started with an unknown outcome."""
        return any(entry.state is SegmentState.INTENT for entry in self.journal.values())


def find_interrupted(
    store: HistoryStore, history: Sequence[AppliedMigration], direction: Direction
) -> Mapping[VersionKey, ResumePoint]:
    """Return the migrations that earlier runs in this direction left incomplete, by version, with their journals."""
    state = MigrationState.RUNNING if direction is Direction.UP else MigrationState.REVERTING
    return {
        version_key(row.version): ResumePoint(attempt=row.attempt, journal=store.read_journal(row.attempt))
        for row in history
        if row.state is state
    }


def match_plan_to_journal(plan: PlannedMigration, resume_point: ResumePoint, settings: Settings) -> PlannedMigration:
    """Return the plan, split at the commits, because later steps, and so the segments, may have changed since then.

    Raise Drift if the plan has changed in a part that was committed or about to run.
    """
    segments = list(plan.segments)
    for number in sorted(resume_point.journal):
        entry = resume_point.journal[number]
        if number > len(segments):
            raise Drift(_drift_diagnostic(plan, number, entry, settings))
        segment = segments[number - 1]
        if segment_fingerprint(segment.steps) == entry.fingerprint:
            continue
        cut = next(
            (both for both in _split_segment(segment) if segment_fingerprint(both[0].steps) == entry.fingerprint), None
        )
        if cut is None:
            raise Drift(_drift_diagnostic(plan, number, entry, settings))
        segments[number - 1 : number] = cut
        segments = [replace(segment, number=position) for position, segment in enumerate(segments, start=1)]
    return replace(plan, segments=add_session_state(segments))


def _split_segment(segment: Segment) -> Iterator[tuple[Segment, Segment]]:
    """Yield the segment split in two at each statement."""
    if segment.transaction_mode is TransactionMode.OUTSIDE:
        return
    for position, step in enumerate(segment.steps):
        before, after = segment.steps[:position], segment.steps[position + 1 :]
        if before:
            yield _with_steps(segment, before), _with_steps(segment, (step, *after))
        for count in range(1, len(step.statements)):
            first = replace(step, statements=step.statements[:count])
            second = replace(step, statements=step.statements[count:])
            yield _with_steps(segment, (*before, first)), _with_steps(segment, (second, *after))


def _with_steps(segment: Segment, steps: Sequence[PlannedStep]) -> Segment:
    return replace(segment, steps=tuple(steps))


def _drift_diagnostic(plan: PlannedMigration, number: int, entry: JournalEntry, settings: Settings) -> Diagnostic:
    is_there = number <= len(plan.segments)
    step = plan.segments[number - 1].steps[0] if is_there else None
    outcome = "is committed" if entry.state is SegmentState.DONE else "was started and may be complete"
    start = f", starting at {step.label!r}," if step else ""
    return plan.migration.file.diagnostic(
        step.span if step else plan.migration.span,
        "drift",
        f"{plan.migration.label} was interrupted, and the part that had already run has changed since then",
        detail=(f"segment {number}{start} {outcome}",),
        hint="restore that part and its variables; change only what comes after it"
        if plan.migration.is_pinned
        else f"restore its files: `{pin_command([plan.version], settings)}`; change only what comes after that part",
    )
