"""The files that an applied migration names, compared with the text that ran."""

from __future__ import annotations

from confiture.models.history import AppliedMigration
from confiture.models.migration import UP_PHASES, MigrationFile, Phase
from confiture.models.plan import PlannedMigration
from confiture.models.source import NamedFile
from confiture.plan.checksums import unique_labels


def changed_files(plan: PlannedMigration, row: AppliedMigration) -> tuple[NamedFile, ...]:
    """Return the files, pinned or not, whose text differs from the text that ran, without duplicates.

    White space and comments do not count. Files of `on_error` and `down` did not run with the migration, so they are
    not compared.
    """
    if row.checksum == plan.checksum:
        return ()
    applied = {(step.phase, step.label): step.checksum for step in row.steps}
    current = {(step.phase, step.label): step.checksum for step in plan.step_checksums}
    changed = [
        named
        for key, named in _files_by_step(plan.migration).items()
        if key in applied and applied[key] != current[key]
    ]
    return tuple({named.file.path: named for named in changed}.values())


def _files_by_step(migration: MigrationFile) -> dict[tuple[Phase, str], NamedFile]:
    """Return the files that the steps of the up phases name, by phase and label of the step."""
    return {
        (phase, label): step.named_file
        for phase in UP_PHASES
        for label, step in unique_labels(migration.steps(phase))
        if step.named_file is not None
    }
