"""Pin migrations: copy the files that they run, or the texts that they ran, to their own folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confiture.core.applied_texts import LOST, NOT_STORED
from confiture.core.db.connection import (
    READ_LOCK_TIMEOUT_MS,
    Connection,
    ConnectionTarget,
    connect_for_query,
    set_lock_timeout,
)
from confiture.core.db.history_store import HistoryStore
from confiture.core.db.identity_store import check_identity
from confiture.core.db.stored_texts import read_texts
from confiture.core.run.resume import find_interrupted, match_plan_to_journal
from confiture.errors import Diagnostic, DiagnosticCollector, Drift, InputError
from confiture.files.access import display_path
from confiture.files.migration import NO_STEPS
from confiture.files.pins import PROJECT_FOLDER, read_current, write_pin
from confiture.files.source_files import decode_source_file
from confiture.lint.git import GitRepository
from confiture.models.history import AppliedMigration
from confiture.models.migration import UP_PHASES
from confiture.models.pins import PinResult, WrittenPin
from confiture.models.plan import Direction, PlannedMigration
from confiture.models.settings import Settings
from confiture.models.source import NamedFile
from confiture.plan.applied_files import changed_files, is_applied_text
from confiture.plan.history import pin_command
from confiture.plan.migration_order import VersionKey, find_version, version_key
from confiture.plan.project import PlannedProject, read_project
from confiture.plan.texts import hash_text

HISTORY = "the history"
"""The source of a pin whose text comes from the history."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PinOptions:
    """The version to pin; None for every migration that is not pinned.

    With `replace`, existing pins of the version are replaced, which is possible only while the version is pending.
    `revision` is the git revision whose files to pin; None for the files as they are.
    """

    version: str | None = None
    replace: bool = False
    revision: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _PinContent:
    """The content of a pin: its path below the migration's folder, and where the content is from."""

    pin_name: str
    content: bytes
    source: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Revision:
    """A git revision of the project."""

    name: str
    repository: GitRepository

    @classmethod
    def find(cls, root: Path, name: str) -> _Revision:
        """Return a revision. Raise InputError if git does not find it."""
        repository = GitRepository(root, "--from")
        repository.run("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", revision=name)
        return cls(name=name, repository=repository)

    def read(self, path: str) -> str:
        """Return the text of a file, as Confiture reads files; empty if there is no such file."""
        text = self.repository.run("show", f"{self.name}:./{path}", may_fail=True)
        return text.removeprefix("\ufeff").replace("\r\n", "\n")


@dataclass(frozen=True, kw_only=True, slots=True)
class _RecordedTexts:
    """The content of the history: rows by version, texts by hash, and the interrupted versions that can be resumed."""

    rows: Mapping[VersionKey, AppliedMigration] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    resumable: frozenset[VersionKey] = frozenset()

    def applied_row(self, plan: PlannedMigration) -> AppliedMigration | None:
        """Return the row of a migration whose text may not change; None if it is pending or can still be changed."""
        key = version_key(plan.version)
        return None if key in self.resumable else self.rows.get(key)


def pin_migrations(
    settings: Settings, overrides: Mapping[str, Any], database: ConnectionTarget | None, options: PinOptions
) -> PinResult:
    """Copy the unrendered text of each file that a migration names to the migration's own folder.

    The text of an applied migration must be the text that ran. If its file has changed or is missing, the text comes
    from the history, or from a git revision if the options name one. Without a `database`, nothing is applied, or the
    caller does not want to compare. Errors in other files do not prevent pins; the result contains them.

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
    recorded = _read_recorded(project, plans, database) if database is not None else _RecordedTexts()
    if options.replace:
        _require_pending(plans, recorded)
    revision = _Revision.find(settings.root, options.revision) if options.revision is not None else None
    written: list[WrittenPin] = []
    for plan in plans:
        for named in plan.migration.named_files:
            if named.is_pinned and not (options.replace and named.current is not None):
                continue
            try:
                content = (
                    _choose_content(plan, named, recorded, settings)
                    if revision is None
                    else _revision_content(plan, named, recorded, settings, revision)
                )
                written.append(_write(plan, named, content, settings.root, replace=named.is_pinned))
            except InputError as error:
                problems += error.diagnostics
    return PinResult(written=tuple(written), problems=tuple(problems))


def _find_plan(project: PlannedProject, version: str, problems: Sequence[Diagnostic]) -> PlannedMigration:
    try:
        return project.ups[find_version(version, project.migrations)]
    except InputError as error:
        # the file with this version may be unreadable
        raise InputError(*problems or error.diagnostics) from error


def _read_recorded(
    project: PlannedProject, plans: Sequence[PlannedMigration], database: ConnectionTarget
) -> _RecordedTexts:
    with connect_for_query(database, "pin", "the history cannot be read") as connection:
        set_lock_timeout(connection, READ_LOCK_TIMEOUT_MS)
        check_identity(connection, project.settings)
        store = HistoryStore(connection, project.settings.history)
        history = store.read_history() if store.is_installed(only_reads=True) else ()
        rows = {version_key(row.version): row for row in history}
        needed = {version_key(plan.version) for plan in plans if not plan.migration.is_pinned}
        return _RecordedTexts(
            rows=rows,
            texts=_read_texts(connection, [rows[key] for key in needed if key in rows]),
            resumable=_find_resumable(store, plans, history, project.settings),
        )


def _read_texts(connection: Connection, rows: Sequence[AppliedMigration]) -> Mapping[str, str]:
    return read_texts(connection, {text for row in rows if row.texts is not None for text in row.texts.files.values()})


def _find_resumable(
    store: HistoryStore,
    plans: Sequence[PlannedMigration],
    history: Sequence[AppliedMigration],
    settings: Settings,
) -> frozenset[VersionKey]:
    """Return the interrupted versions whose files still contain the committed part, so that the rest may change."""
    interrupted = find_interrupted(store, history, Direction.UP)
    resumable = set()
    for plan in plans:
        key = version_key(plan.version)
        if key in interrupted and not plan.missing_variables:
            try:
                match_plan_to_journal(plan, interrupted[key], settings)
            except Drift:
                continue
            resumable.add(key)
    return frozenset(resumable)


def _require_pending(plans: Sequence[PlannedMigration], recorded: _RecordedTexts) -> None:
    for plan in plans:
        if version_key(plan.version) in recorded.rows:
            raise InputError(
                plan.migration.file.diagnostic(
                    plan.migration.span,
                    "not-pending",
                    f"{plan.migration.label} is not pending, so its pins are the text that ran",
                    hint="make the change in a new migration",
                )
            )


def _choose_content(
    plan: PlannedMigration, named: NamedFile, recorded: _RecordedTexts, settings: Settings
) -> _PinContent:
    """Return the file's content, or the text that ran if the file differs. Raise InputError if that is unknown."""
    if named.folder is None or named.pin_name is None:
        raise InputError(_cannot_be_pinned(plan, named))
    row = recorded.applied_row(plan)
    if row is None:
        return _current_content(named, settings)
    stored = _find_stored(named, row)
    is_same = named.missing is None and named.file.path not in {one.file.path for one in changed_files(plan, row)}
    if is_same and (stored is None or _is_in_up(plan, named) or stored[1] == hash_text(named.file.text)):
        return _current_content(named, settings)
    text = recorded.texts.get(stored[1]) if stored is not None else None
    if stored is None or text is None or not is_applied_text(plan, row, named, text):
        raise InputError(_unknown_text(plan, named, NOT_STORED if row.texts is None else LOST, settings))
    return _PinContent(pin_name=stored[0], content=text.encode(), source=HISTORY)


def _revision_content(
    plan: PlannedMigration,
    named: NamedFile,
    recorded: _RecordedTexts,
    settings: Settings,
    revision: _Revision,
) -> _PinContent:
    """Return the file's text at a git revision. Raise InputError unless it is the text that ran."""
    if named.folder is None or named.pin_name is None:
        raise InputError(_cannot_be_pinned(plan, named))
    text, path = "", named.file.path
    for candidate in _revision_paths(named, settings):
        text, path = revision.read(candidate), candidate
        if text:
            break
    row = recorded.applied_row(plan)
    if not text or (row is not None and not is_applied_text(plan, row, named, text)):
        problem = f"{plan.migration.label} ran another text than" if text else "there is no"
        raise InputError(
            Diagnostic(
                code="unknown-text",
                message=f"{problem} {path} at {revision.name}",
                hint="name the revision that was deployed: `git log -- FILE` lists those that changed the file",
            )
        )
    return _PinContent(pin_name=named.pin_name, content=text.encode(), source=f"{path} at {revision.name}")


def _revision_paths(named: NamedFile, settings: Settings) -> list[str]:
    """Return the paths, relative to the project, at which a revision may contain the file."""
    names = [name for name in (named.pin_name, *named.other_pin_names) if name is not None]
    elsewhere = [name.removeprefix(f"{PROJECT_FOLDER}/") for name in names if name.startswith(f"{PROJECT_FOLDER}/")]
    below = [display_path(settings.schemas / name, settings.root) for name in names]
    pins = [display_path(named.folder / name, settings.root) for name in names if named.folder is not None]
    return list(dict.fromkeys([*pins, named.file.path, *below, *elsewhere]))


def _current_content(named: NamedFile, settings: Settings) -> _PinContent:
    """Return the file's content, byte by byte."""
    if named.missing is not None:
        raise InputError(named.missing)
    if named.current is None or named.pin_name is None:
        raise LookupError(f"{named.file.path} has no file outside the migration's folder")
    source = display_path(named.current, settings.root)
    content = read_current(named.current, settings.root, settings.schemas)
    if decode_source_file(source, content).text != named.file.text and not named.is_pinned:
        hint = "run the command again"
        raise InputError(Diagnostic(code="changed-file", message=f"{source} was changed just now", hint=hint))
    return _PinContent(pin_name=named.pin_name, content=content, source=source)


def _find_stored(named: NamedFile, row: AppliedMigration) -> tuple[str, str] | None:
    """Return the stored name and the hash of the text that ran; None if it is unknown."""
    files = row.texts.files if row.texts is not None else {}
    names = (named.pin_name, *named.other_pin_names)
    return next(((name, files[name]) for name in names if name is not None and name in files), None)


def _is_in_up(plan: PlannedMigration, named: NamedFile) -> bool:
    """Whether a step that the checksum covers names the file."""
    steps = (step for phase in UP_PHASES for step in plan.migration.steps(phase))
    return any(step.named_file is not None and step.named_file.file.path == named.file.path for step in steps)


def _write(plan: PlannedMigration, named: NamedFile, content: _PinContent, root: Path, *, replace: bool) -> WrittenPin:
    folder = named.folder
    if folder is None:
        raise InputError(_cannot_be_pinned(plan, named))
    pin = folder / content.pin_name
    write_pin(pin, folder, root, content.content, replace=replace)
    return WrittenPin(
        version=plan.version, name=plan.migration.name, pin=display_path(pin, root), source=content.source
    )


def _unknown_text(plan: PlannedMigration, named: NamedFile, reason: str, settings: Settings) -> Diagnostic:
    change = "is missing" if named.missing is not None else "has changed since then"
    return Diagnostic(
        code="unknown-text",
        message=f"{plan.migration.label} cannot be pinned: {named.file.path} {change}",
        detail=(f"the text that ran is unknown: {reason}",),
        hint=f"if git contains the text: `{pin_command([plan.version], settings)} --from REV`",
    )


def _cannot_be_pinned(plan: PlannedMigration, named: NamedFile) -> Diagnostic:
    return Diagnostic(
        code="reserved-name",
        message=f"{plan.migration.label} cannot pin {named.file.path}: pins use the folder name `_project` themselves",
        hint="rename the folder `_project`",
    )
