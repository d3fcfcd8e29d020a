"""Comparison of the migration files with a database's history, to find pending migrations and drift."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from confiture.errors import Diagnostic, Span
from confiture.models.history import NOT_REPLAYABLE, AppliedMigration, MigrationState, OtherHistory
from confiture.models.migration import UP_PHASES
from confiture.models.plan import InputKind, MigrationInput, PlannedMigration, PlannedStep
from confiture.models.settings import Settings
from confiture.plan.applied_files import changed_files, has_drift, has_pin_drift, moved_files
from confiture.plan.checksums import CHAIN_START, chain_checksum, unique_labels
from confiture.plan.migration_order import VersionKey, version_key
from confiture.text import list_some


@dataclass(frozen=True, kw_only=True, slots=True)
class InterruptedMigration:
    """A migration that stopped midway during `up` or `down`, with the number of committed segments.

    `segments` is None if the file no longer matches the committed segments. `next_step` is the step at which the next
    run continues; None if no step is left. `has_intent` is whether this step runs outside a transaction and had
    started, so that it may be complete.
    """

    row: AppliedMigration
    committed_segments: int
    segments: int | None = None
    next_step: PlannedStep | None = None
    has_intent: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class UnreplayableMigration:
    """An applied migration that cannot be replayed: files that it ran are not pinned, and have changed or are missing.

    `files` are paths for output, and `pin_command` restores them.
    """

    version: str
    name: str
    files: tuple[str, ...]
    pin_command: str

    @property
    def diagnostic(self) -> Diagnostic:
        """The problem with its remedy."""
        change = f"{list_some(self.files)} {'differs' if len(self.files) == 1 else 'differ'} from what ran"
        return Diagnostic(
            code=NOT_REPLAYABLE,
            message=f"{self.version} {self.name} can no longer be replayed: {change}",
            hint=f"restore the text that ran: `{self.pin_command}`",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class UnreproducibleMigration:
    """An applied migration that a replay would run with other variables, hooks or modules; `inputs` are these."""

    version: str
    name: str
    inputs: tuple[MigrationInput, ...]

    @property
    def message(self) -> str:
        """A sentence without a period."""
        names = list_some([f"{one.kind} {one.name}" for one in self.inputs])
        return f"{self.version} {self.name} is not reproducible: the {names} changed since it was applied"


def pin_command(versions: Sequence[str], settings: Settings) -> str:
    """Return the command that pins these versions with the texts of the database that the settings choose."""
    only = f" {versions[0]}" if len(versions) == 1 else ""
    return f"confiture migrate pin{only}{settings.database_options}"


@dataclass(frozen=True, kw_only=True, slots=True)
class MigrationStatus:
    """The migration status of a database.

    `pending` migrations are in execution order and include `interrupted` migrations. `drift` lists differences between
    applied migrations and files; `out_of_order` lists pending migrations older than an applied one. `lock_holder` is
    the run that holds the migration lock; if it is None, unfinished migrations have stopped. `other_histories` are the
    histories of projects other than `project` in the database. `unreplayable` are applied migrations whose schema files
    have changed, and that are not pinned. `unreproducible` are applied migrations whose other inputs have changed.
    """

    project: str

    applied: tuple[AppliedMigration, ...]
    pending: tuple[PlannedMigration, ...]
    interrupted: tuple[InterruptedMigration, ...] = ()
    drift: tuple[Diagnostic, ...]
    out_of_order: tuple[PlannedMigration, ...]
    unreplayable: tuple[UnreplayableMigration, ...] = ()
    unreproducible: tuple[UnreproducibleMigration, ...] = ()
    lock_holder: str | None = None
    other_histories: tuple[OtherHistory, ...] = ()
    notes: tuple[str, ...] = ()
    """Sentences about the files, such as a file that is not read."""
    project_mismatch: Diagnostic | None = None
    """The reason to refuse a run because the database may contain this project's history under another name."""

    @property
    def first_interrupted(self) -> AppliedMigration | None:
        """The row of the first interrupted migration."""
        return self.interrupted[0].row if self.interrupted else None


def compare_history(
    planned: Sequence[PlannedMigration], history: Sequence[AppliedMigration], settings: Settings
) -> MigrationStatus:
    """Compare all migrations (in execution order) with their project's history (in row order).

    The result does not include the progress of interrupted migrations.
    """
    rows = {version_key(row.version): row for row in history}
    finished = {key for key, row in rows.items() if row.state is MigrationState.APPLIED}
    keys = [version_key(migration.version) for migration in planned]
    last = max((position for position, key in enumerate(keys) if key in rows), default=-1)
    pending = [(position, plan) for position, plan in enumerate(planned) if keys[position] not in finished]
    changed = (*_changed_migrations(planned, rows, settings), *_missing_migrations(keys, history))
    foreign = _foreign_history(planned, history, settings.project) if changed else None
    return MigrationStatus(
        project=settings.project,
        applied=tuple(row for row in history if row.state is MigrationState.APPLIED),
        pending=tuple(plan for _, plan in pending),
        drift=(*_find_broken_chain(history), *((foreign,) if foreign else changed)),
        out_of_order=tuple(plan for position, plan in pending if position < last and keys[position] not in rows),
        unreplayable=tuple(_find_unreplayable(planned, rows, settings)),
    )


def find_unreproducible(
    planned: Sequence[PlannedMigration], history: Sequence[AppliedMigration]
) -> tuple[UnreproducibleMigration, ...]:
    """Return the applied migrations whose variables, hooks or modules have changed.

    A variable that has no value here is not compared, because not every environment has every variable.
    """
    plans = {version_key(plan.version): plan for plan in planned}
    result = []
    for row in history:
        plan = plans.get(version_key(row.version)) if row.inputs else None
        if plan is None or row.state is not MigrationState.APPLIED:
            continue
        current = {(one.kind, one.name): one.digest for one in plan.inputs()}
        changed = tuple(
            one
            for one in row.inputs
            if current.get((one.kind, one.name), one.digest if one.kind is InputKind.VARIABLE else None) != one.digest
        )
        if changed:
            result.append(UnreproducibleMigration(version=row.version, name=row.name, inputs=changed))
    return tuple(result)


def _find_unreplayable(
    planned: Sequence[PlannedMigration], rows: Mapping[VersionKey, AppliedMigration], settings: Settings
) -> Iterator[UnreplayableMigration]:
    for plan in planned:
        row = rows.get(version_key(plan.version))
        files = moved_files(plan, row) if row is not None and row.state is MigrationState.APPLIED else ()
        if files:
            paths = tuple(named.file.path for named in files)
            yield UnreplayableMigration(
                version=plan.version,
                name=plan.migration.name,
                files=paths,
                pin_command=pin_command([plan.version], settings),
            )


def _foreign_history(
    planned: Sequence[PlannedMigration], history: Sequence[AppliedMigration], project: str
) -> Diagnostic | None:
    """Return a diagnostic if no row in the history matches these files, so that it seems to be another project's."""
    names = {version_key(plan.version): plan.migration.name for plan in planned}
    checksums = {plan.checksum for plan in planned}
    if any(names.get(version_key(row.version)) == row.name or row.checksum in checksums for row in history):
        return None
    if not any(version_key(row.version) in names for row in history):
        # the files may have been deleted
        return None
    rows = list_some([f"{row.version} {row.name}" for row in history])
    return Diagnostic(
        code="other-project",
        message=f"the history of the project {project!r} in this database contains none of these migrations",
        detail=(f"it contains {rows}",),
        hint="check the database; if projects share it, set `project: NAME` in each confiture.yaml",
    )


def find_project_mismatch(
    project: str, is_named: bool, planned: Sequence[PlannedMigration], other_histories: Sequence[OtherHistory]
) -> Diagnostic | None:
    """Return a diagnostic if this project has no history, but another history may be this project's under another name.

    This is the case if more than half of the rows in another history are migrations in this project (by version and
    checksum), and always if the settings do not set the project name.
    """
    if not other_histories:
        return None
    own = {(version_key(plan.version), plan.checksum) for plan in planned}

    def shared_rows(other: OtherHistory) -> int:
        return sum((version_key(version), checksum) in own for version, checksum in other.rows)

    closest = max(other_histories, key=lambda other: shared_rows(other) / len(other.rows))
    if is_named and shared_rows(closest) * 2 <= len(closest.rows):
        return None
    return _project_mismatch(project, is_named, other_histories, closest, shared_rows(closest))


def _project_mismatch(
    project: str, is_named: bool, other_histories: Sequence[OtherHistory], closest: OtherHistory, shared_migrations: int
) -> Diagnostic:
    names = ", ".join(repr(other.project) for other in other_histories)
    adopt = f"`confiture migrate adopt-project {closest.project} {project}`"
    if shared_migrations and is_named:
        hint = f"if the project was renamed, run {adopt}; otherwise check `project:` in confiture.yaml"
    elif shared_migrations:
        hint = f"set `project: {closest.project}` in confiture.yaml, or rename the history: {adopt}"
    else:
        hint = "set the project's name in confiture.yaml: `project: NAME`"
    detail = (
        f"{shared_migrations} of the {len(closest.rows)} migrations in the history of {closest.project!r}"
        " are migrations in this project",
    )
    return Diagnostic(
        code="other-project",
        message=f"the database contains no history of the project {project!r}, only of {names}",
        detail=detail if shared_migrations else (),
        hint=hint,
    )


def _changed_migrations(
    planned: Sequence[PlannedMigration], rows: Mapping[VersionKey, AppliedMigration], settings: Settings
) -> list[Diagnostic]:
    diagnostics = []
    for plan in planned:
        row = rows.get(version_key(plan.version))
        if row and row.state is MigrationState.APPLIED and has_drift(plan, row):
            diagnostics.append(replaced_migration(plan, row, planned) or _drift_diagnostic(plan, row, settings))
    return diagnostics


def replaced_migration(
    plan: PlannedMigration, row: AppliedMigration, planned: Sequence[PlannedMigration]
) -> Diagnostic | None:
    """Describe an applied migration if the files contain another migration with its version; otherwise return None.

    A migration counts as another one if its name differs and at most half of the applied steps are the same.
    """
    same = {step.checksum for step in row.steps} & {step.checksum for step in plan.step_checksums}
    if row.name == plan.migration.name or len(same) * 2 > len(row.steps):
        return None
    moved = next((other for other in planned if other.checksum == row.checksum), None)
    return plan.migration.file.diagnostic(
        plan.migration.span,
        "other-migration",
        f"{row.version} {row.name} is applied here, but {plan.migration.label} now has the same version",
        detail=(f"its steps are now in {moved.migration.file.path}",) if moved else (),
        hint="change the version of one of the two migrations; to roll back the applied one, use files without"
        f" {plan.migration.label}",
    )


def changed_steps(plan: PlannedMigration, row: AppliedMigration) -> tuple[str, ...]:
    """Return a sentence for each step that differs between an applied migration and its file; empty if none does.

    A schema file that has changed does not count, unless it is pinned.
    """
    if not has_drift(plan, row):
        return ()
    changes, _ = _describe_differences(plan, row)
    return tuple(changes) or ("the migration's vars or the order of its steps changed",)


def _drift_diagnostic(plan: PlannedMigration, row: AppliedMigration, settings: Settings) -> Diagnostic:
    _, span = _describe_differences(plan, row)
    file, hint = plan.migration.file, "restore the file and make the change in a new migration"
    if has_pin_drift(plan, row):
        pins = [named.file for named in changed_files(plan, row) if named.is_pinned]
        file, span = pins[0], Span(path=pins[0].path, line=1)
        paths = " ".join(shlex.quote(pin.path) for pin in pins)
        hint = f"restore the text that ran: `rm {paths} && {pin_command([row.version], settings)}`"
    elif row.texts is not None:
        hint = f"{hint}; `confiture migrate show {row.version} --applied{settings.database_options}` prints what ran"
    return file.diagnostic(
        span,
        "drift",
        f"{plan.migration.label} has changed since it was applied",
        detail=changed_steps(plan, row),
        hint=hint,
    )


def _describe_differences(plan: PlannedMigration, row: AppliedMigration) -> tuple[list[str], Span]:
    migration, moved = plan.migration, {named.file.path for named in moved_files(plan, row)}
    is_moved = {
        (phase, label)
        for phase in UP_PHASES
        for label, step in unique_labels(migration.steps(phase))
        if step.named_file is not None and step.named_file.file.path in moved
    }
    before = {(step.phase, step.label): step.checksum for step in row.steps}
    after = {(step.phase, step.label): step.checksum for step in plan.step_checksums}
    changed = [key for key in after if key in before and before[key] != after[key] and key not in is_moved]
    added = [key for key in after if key not in before]
    removed = [key for key in before if key not in after]
    lines = [f"{phase}: changed: {label}" for phase, label in changed]
    lines += [f"{phase}: added: {label}" for phase, label in added]
    lines += [f"{phase}: removed: {label}" for phase, label in removed]
    span = next(
        (
            step.span
            for phase, label in (*changed, *added)
            for name, step in unique_labels(migration.steps(phase))
            if name == label
        ),
        Span(path=migration.file.path, line=1),
    )
    return lines, span


def _missing_migrations(
    keys: Sequence[tuple[tuple[int, int, str], ...]], history: Sequence[AppliedMigration]
) -> list[Diagnostic]:
    return [
        Diagnostic(
            code="drift",
            message=f"{row.version} {row.name} is applied, but its file is missing",
            hint="restore the file, or check out the branch that contains it",
        )
        for row in history
        if version_key(row.version) not in keys
    ]


def _find_broken_chain(history: Sequence[AppliedMigration]) -> list[Diagnostic]:
    previous = CHAIN_START
    for row in history:
        if row.state is not MigrationState.APPLIED:
            continue
        if row.chain != chain_checksum(previous, row.version, row.checksum):
            return [
                Diagnostic(
                    code="drift",
                    message=f"the history was edited: the checksum chain breaks at {row.version} {row.name}",
                    hint="compare confiture.migrations with a backup",
                )
            ]
        previous = row.chain
    return []


def prediction_accuracy(history: Sequence[AppliedMigration]) -> str | None:
    """Return a sentence about the accuracy of dry-run predictions; None if there are no predictions."""
    outcomes = [row.prediction_outcome for row in history if row.prediction_outcome]
    if not outcomes:
        return None
    correct = sum(outcome.was_within_range for outcome in outcomes)
    return f"prediction accuracy: {correct} of {len(outcomes)} predictions were correct"
