"""The files that an applied migration names, compared with the text that ran."""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import replace

from confiture.models.history import AppliedMigration
from confiture.models.migration import UP_PHASES, MigrationFile, Phase, StepWithSql
from confiture.models.plan import PlannedMigration
from confiture.models.source import NamedFile
from confiture.plan.checksums import migration_checksum, step_checksum, unique_labels


def changed_files(plan: PlannedMigration, row: AppliedMigration) -> tuple[NamedFile, ...]:
    """Return the files, pinned or not, whose text differs from the text that ran, without duplicates.

    White space and comments do not count. Files of `on_error` and `down` did not run with the migration, so they are
    not compared.
    """
    if row.checksum == plan.checksum:
        return ()
    applied = _applied_checksums(row)
    current = {(step.phase, step.label): step.checksum for step in plan.step_checksums}
    changed = [
        named for key, _, named in _file_steps(plan.migration) if key in applied and applied[key] != current[key]
    ]
    return tuple({named.file.path: named for named in changed}.values())


def moved_files(plan: PlannedMigration, row: AppliedMigration) -> tuple[NamedFile, ...]:
    """Return the files that are not pinned and have changed since, or are missing. The migration cannot be replayed."""
    return tuple(named for named in changed_files(plan, row) if not named.is_pinned)


def has_drift(plan: PlannedMigration, row: AppliedMigration) -> bool:
    """Whether the migration's own file or a pin differs from what ran. A changed schema file does not count."""
    unpinned = {key for key, _, named in _file_steps(plan.migration) if not named.is_pinned}
    return row.checksum != plan.checksum and not _is_equal_without(plan, row, unpinned)


def has_pin_drift(plan: PlannedMigration, row: AppliedMigration) -> bool:
    """Whether pins are all that differs from what ran, apart from schema files that have changed."""
    named = {key for key, _, _ in _file_steps(plan.migration)}
    return has_drift(plan, row) and _is_equal_without(plan, row, named)


def _is_equal_without(plan: PlannedMigration, row: AppliedMigration, left_out: Set[tuple[Phase, str]]) -> bool:
    """Whether a migration is what ran, whatever the files of some steps contain."""
    applied = _applied_checksums(row)
    steps = [
        replace(step, checksum=applied.get((step.phase, step.label), step.checksum))
        if (step.phase, step.label) in left_out
        else step
        for step in plan.step_checksums
    ]
    return migration_checksum(plan.migration, steps) == row.checksum


def is_applied_text(plan: PlannedMigration, row: AppliedMigration, named: NamedFile, text: str) -> bool:
    """Whether a text of a file has the checksum that was recorded for each step that ran the file."""
    applied = _applied_checksums(row)
    return all(
        applied.get(key) == step_checksum(replace(step, sql=replace(step.sql, text=text)))
        for key, step, other in _file_steps(plan.migration)
        if other.file.path == named.file.path
    )


def _applied_checksums(row: AppliedMigration) -> dict[tuple[Phase, str], str]:
    return {(step.phase, step.label): step.checksum for step in row.steps}


def _file_steps(migration: MigrationFile) -> Iterator[tuple[tuple[Phase, str], StepWithSql, NamedFile]]:
    """Yield the steps of the up phases that name a file, with their phase, label and file."""
    for phase in UP_PHASES:
        for label, step in unique_labels(migration.steps(phase)):
            if step.named_file is not None and isinstance(step, StepWithSql):
                yield (phase, label), step, step.named_file
