"""Holds the files against the history of a database: what is pending, what drifted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from confiture.errors import Diagnostic, Span
from confiture.models.history import AppliedMigration, OtherHistory, State
from confiture.models.migration import MigrationFile
from confiture.models.plan import PlannedMigration, PlannedStep, StepChecksum
from confiture.plan.checksums import CHAIN_START, chain, labelled
from confiture.plan.ordering import version_key

_MOST_ROWS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Stopped:
    """A migration that stopped midway, on its way up or down: how many of its segments are committed.

    `segments` is None where its file no longer tells. `next_step` is the one that the next run goes on at, None where
    nothing is left to run; `begun` says that it runs outside a transaction and had begun, so that it may be done.
    """

    row: AppliedMigration
    committed: int
    segments: int | None = None
    next_step: PlannedStep | None = None
    begun: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """Where a database stands.

    `pending` are in the order in which they run, with those that `stopped` midway. `drift` says where applied
    migrations and files disagree, `out_of_order` which pending ones come before one that is applied. `under_way` names
    the run that holds the lock now, None where none does: then what is midway has stopped. `others` is what the
    database holds of projects other than `project`.
    """

    project: str

    applied: tuple[AppliedMigration, ...]
    pending: tuple[PlannedMigration, ...]
    stopped: tuple[Stopped, ...] = ()
    drift: tuple[Diagnostic, ...]
    out_of_order: tuple[PlannedMigration, ...]
    under_way: str | None = None
    others: tuple[OtherHistory, ...] = ()
    renamed: Diagnostic | None = None
    """Why a run is refused: the history that the database holds may be this project's, under another name."""

    @property
    def unfinished(self) -> AppliedMigration | None:
        """The row of the first one that stopped midway."""
        return self.stopped[0].row if self.stopped else None


def compare(planned: Sequence[PlannedMigration], history: Sequence[AppliedMigration], project: str) -> Standing:
    """Compares all migrations (in order) with the history of a project (in the order of its rows), which does not say
    how far those came that stopped midway.
    """
    rows = {version_key(row.version): row for row in history}
    finished = {key for key, row in rows.items() if row.state is State.APPLIED}
    keys = [version_key(migration.version) for migration in planned]
    last = max((position for position, key in enumerate(keys) if key in rows), default=-1)
    pending = [(position, plan) for position, plan in enumerate(planned) if keys[position] not in finished]
    changed = (*_changed(planned, rows), *_vanished(keys, history))
    foreign = _foreign(planned, history, project) if changed else None
    return Standing(
        project=project,
        applied=tuple(row for row in history if row.state is State.APPLIED),
        pending=tuple(plan for _, plan in pending),
        drift=(*_broken_chain(history), *((foreign,) if foreign else changed)),
        out_of_order=tuple(plan for position, plan in pending if position < last and keys[position] not in rows),
    )


def _foreign(
    planned: Sequence[PlannedMigration], history: Sequence[AppliedMigration], project: str
) -> Diagnostic | None:
    """What is wrong where not one row of the history is a migration of these files: it is another project's."""
    names = {version_key(plan.version): plan.migration.name for plan in planned}
    checksums = {plan.checksum for plan in planned}
    if any(names.get(version_key(row.version)) == row.name or row.checksum in checksums for row in history):
        return None
    if not any(version_key(row.version) in names for row in history):
        # their files may just be gone
        return None
    rows = ", ".join(f"{row.version} {row.name}" for row in history[:_MOST_ROWS])
    more = f", and {len(history) - _MOST_ROWS} more" if len(history) > _MOST_ROWS else ""
    return Diagnostic(
        code="other-project",
        message=f"the history of the project {project!r} in this database has none of these migrations",
        detail=(f"it has {rows}{more}",),
        hint="check the database; if projects share it, give each its own name: `project: NAME` in confiture.yaml",
    )


def renamed_project(
    project: str, is_named: bool, planned: Sequence[PlannedMigration], others: Sequence[OtherHistory]
) -> Diagnostic | None:
    """What is wrong where a database without a history of this project holds those of others: it may be one of them
    under a new name. None where it is not.

    It may be where more than half of another's rows are migrations of this project (by version and checksum), and
    wherever the settings do not name this one.
    """
    if not others:
        return None
    own = {(version_key(plan.version), plan.checksum) for plan in planned}

    def same(other: OtherHistory) -> int:
        return sum((version_key(version), checksum) in own for version, checksum in other.rows)

    best = max(others, key=lambda other: same(other) / len(other.rows))
    if is_named and same(best) * 2 <= len(best.rows):
        return None
    return _other_project(project, is_named, others, best, same(best))


def _other_project(
    project: str, is_named: bool, others: Sequence[OtherHistory], best: OtherHistory, same: int
) -> Diagnostic:
    names = ", ".join(repr(other.project) for other in others)
    adopt = f"`confiture migrate adopt-project {best.project} {project}`"
    if same and is_named:
        hint = f"if the project was renamed, run {adopt}; if not, check `project:` in confiture.yaml"
    elif same:
        hint = f"write `project: {best.project}` in confiture.yaml, or rename the history: {adopt}"
    else:
        hint = "name this project in confiture.yaml: `project: NAME`"
    detail = (f"{same} of the {len(best.rows)} migrations of {best.project!r} are migrations of this project",)
    return Diagnostic(
        code="other-project",
        message=f"the database holds no history of the project {project!r}, but of {names}",
        detail=detail if same else (),
        hint=hint,
    )


def _changed(
    planned: Sequence[PlannedMigration], rows: dict[tuple[tuple[int, int, str], ...], AppliedMigration]
) -> list[Diagnostic]:
    found = []
    for plan in planned:
        row = rows.get(version_key(plan.version))
        if row and row.state is State.APPLIED and row.checksum != plan.checksum:
            found.append(_drift(plan, row))
    return found


def _drift(plan: PlannedMigration, row: AppliedMigration) -> Diagnostic:
    changes, span = _differences(plan.migration, plan.step_checksums, row.steps)
    return plan.migration.file.diagnostic(
        span,
        "drift",
        f"{plan.migration.label} was applied and changed since",
        detail=tuple(changes) or ("its vars or the order of its steps changed",),
        hint="put the file back as it was, and make the change in a new migration",
    )


def _differences(
    migration: MigrationFile, now: Sequence[StepChecksum], then: Sequence[StepChecksum]
) -> tuple[list[str], Span]:
    before = {(step.phase, step.label): step.checksum for step in then}
    after = {(step.phase, step.label): step.checksum for step in now}
    changed = [key for key in after if key in before and before[key] != after[key]]
    added = [key for key in after if key not in before]
    removed = [key for key in before if key not in after]
    told = [f"{phase}: changed: {label}" for phase, label in changed]
    told += [f"{phase}: added: {label}" for phase, label in added]
    told += [f"{phase}: removed: {label}" for phase, label in removed]
    place = next(
        (
            step.span
            for phase, label in (*changed, *added)
            for name, step in labelled(migration.steps(phase))
            if name == label
        ),
        Span(path=migration.file.path, line=1),
    )
    return told, place


def _vanished(
    keys: Sequence[tuple[tuple[int, int, str], ...]], history: Sequence[AppliedMigration]
) -> list[Diagnostic]:
    return [
        Diagnostic(
            code="drift",
            message=f"{row.version} {row.name} was applied, but its file is gone",
            hint="bring the file back, or run where it is: another branch may have applied it",
        )
        for row in history
        if version_key(row.version) not in keys
    ]


def _broken_chain(history: Sequence[AppliedMigration]) -> list[Diagnostic]:
    previous = CHAIN_START
    for row in history:
        if row.state is not State.APPLIED:
            continue
        if row.chain != chain(previous, row.version, row.checksum):
            return [
                Diagnostic(
                    code="drift",
                    message=f"the history was edited: the chain of checksums breaks at {row.version} {row.name}",
                    hint="compare confiture.migrations with a backup",
                )
            ]
        previous = row.chain
    return []


def track_record(history: Sequence[AppliedMigration]) -> str | None:
    """How well dry runs predicted what then ran, in a sentence; None where nothing was predicted yet."""
    outturns = [row.outturn for row in history if row.outturn]
    if not outturns:
        return None
    held = sum(outturn.held for outturn in outturns)
    return f"track record: {held} of {len(outturns)} predictions held when the migration ran"
