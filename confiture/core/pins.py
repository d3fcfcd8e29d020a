"""Pin migrations: copy the files that they run to their own folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confiture.core.db.connection import READ_LOCK_TIMEOUT_MS, ConnectionTarget, connect_for_query, set_lock_timeout
from confiture.core.status import read_history
from confiture.errors import Diagnostic, DiagnosticCollector, InputError
from confiture.files.access import display_path
from confiture.files.migration import NO_STEPS
from confiture.files.pins import read_current, write_pin
from confiture.files.source_files import decode_source_file
from confiture.models.history import AppliedMigration
from confiture.models.pins import PinResult, WrittenPin
from confiture.models.plan import PlannedMigration
from confiture.models.settings import Settings
from confiture.models.source import NamedFile
from confiture.plan.applied_files import changed_files
from confiture.plan.migration_order import find_version, version_key
from confiture.plan.project import PlannedProject, read_project


@dataclass(frozen=True, kw_only=True, slots=True)
class PinOptions:
    """The version to pin; None for every migration that is not pinned.

    With `replace`, existing pins of the version are replaced, which is possible only while the version is pending.
    """

    version: str | None = None
    replace: bool = False


def pin_migrations(
    settings: Settings, overrides: Mapping[str, Any], database: ConnectionTarget | None, options: PinOptions
) -> PinResult:
    """Copy the unrendered text of each file that a migration names to the migration's own folder.

    The text of an applied migration must be the text that ran. Without a `database`, nothing is applied, or the caller
    does not want to compare. Errors in other files do not prevent pins; the result contains them.

    Raise InputError for an unknown version, or if `replace` is not possible; DatabaseUnavailable if the history cannot
    be read.
    """
    errors = DiagnosticCollector()
    project = read_project(settings, overrides, errors)
    # a new migration has no steps, and so no files
    problems = [error for error in errors if error.code != NO_STEPS]
    plans = project.ups
    if options.version is not None:
        plans = (_find_plan(project, options.version, problems),)
    rows = _read_rows(project, database) if database is not None else {}
    if options.replace:
        _require_pending(plans, rows)
    written: list[WrittenPin] = []
    for plan in plans:
        row = rows.get(version_key(plan.version))
        changed = {named.file.path for named in changed_files(plan, row)} if row is not None else set()
        for named in plan.migration.named_files:
            if named.is_pinned and not (options.replace and named.current is not None):
                continue
            try:
                if named.file.path in changed:
                    raise InputError(_changed_file(plan, named))
                written.append(_write(plan, named, settings, replace=options.replace))
            except InputError as error:
                problems += error.diagnostics
    return PinResult(written=tuple(written), problems=tuple(problems))


def _find_plan(project: PlannedProject, version: str, problems: Sequence[Diagnostic]) -> PlannedMigration:
    try:
        return project.ups[find_version(version, project.migrations)]
    except InputError as error:
        # the file with this version may be unreadable
        raise InputError(*problems or error.diagnostics) from error


def _read_rows(project: PlannedProject, database: ConnectionTarget) -> dict[object, AppliedMigration]:
    with connect_for_query(database, "pin", "the history cannot be read") as connection:
        set_lock_timeout(connection, READ_LOCK_TIMEOUT_MS)
        return {version_key(row.version): row for row in read_history(connection, project.settings.history)}


def _require_pending(plans: Sequence[PlannedMigration], rows: dict[object, AppliedMigration]) -> None:
    for plan in plans:
        if version_key(plan.version) in rows:
            raise InputError(
                plan.migration.file.diagnostic(
                    plan.migration.span,
                    "not-pending",
                    f"{plan.migration.label} is not pending, so its pins are the text that ran",
                    hint="make the change in a new migration",
                )
            )


def _write(plan: PlannedMigration, named: NamedFile, settings: Settings, *, replace: bool) -> WrittenPin:
    """Copy a file to its pin, byte by byte."""
    if named.pin is None or named.folder is None or named.current is None:
        raise InputError(_cannot_be_pinned(plan, named))
    root = settings.root
    source = display_path(named.current, root)
    content = read_current(named.current, root, settings.schemas)
    text = decode_source_file(source, content).text
    if text != named.file.text and not named.is_pinned:
        hint = "run the command again"
        raise InputError(Diagnostic(code="changed-file", message=f"{source} was changed just now", hint=hint))
    write_pin(named.pin, named.folder, root, content, replace=replace and named.is_pinned)
    return WrittenPin(version=plan.version, name=plan.migration.name, pin=display_path(named.pin, root), source=source)


def _changed_file(plan: PlannedMigration, named: NamedFile) -> Diagnostic:
    return Diagnostic(
        code="unknown-text",
        message=f"{named.file.path} has changed since {plan.migration.label} ran it",
        hint="restore the text that ran, pin the migration, then make the change again",
    )


def _cannot_be_pinned(plan: PlannedMigration, named: NamedFile) -> Diagnostic:
    return Diagnostic(
        code="reserved-name",
        message=f"{plan.migration.label} cannot pin {named.file.path}: pins use the folder name `_project` themselves",
        hint="rename the folder `_project`",
    )
