"""Migration files: what they may hold, and reading them."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml.nodes import Node

from confiture.errors import Diagnostic, InputError, Problems, Span
from confiture.files.access import ANYWHERE, shown_path
from confiture.files.containers import Fields, Key, ListOf, Record
from confiture.files.ddl import Folders, read_ddl
from confiture.files.passages import Passage
from confiture.files.reader import Invalid, Reader, clipped
from confiture.files.reading import parse_yaml, read_source
from confiture.files.shapes import Text
from confiture.files.steps import StepShape, step_of, step_schema
from confiture.files.variables import VARIABLES
from confiture.models.migration import MigrationFile, Phase, Requirement
from confiture.models.source import SourceFile

if TYPE_CHECKING:
    from confiture.files.python import Run
    from confiture.models.recording import Migration

PYTHON = ".py"
SUFFIXES = (".yaml", ".yml", PYTHON)
_VERSION = re.compile(r"(?=.*[^\W_])[\w.-]{1,60}")
_FILE_NAME = re.compile(r"(?P<version>\d[\d.]*)[_-]?(?P<name>.*)")


_PHASE_TEXT = {
    Phase.BEFORE_VALIDATION: "Checks before anything changes.",
    Phase.BEFORE_DDL: "What must be done before the schema changes.",
    Phase.DDL: "The schema change.",
    Phase.AFTER_DDL: "Backfills.",
    Phase.AFTER_VALIDATION: "Checks that prove the result.",
    Phase.CLEANUP: "ANALYZE, temporary objects.",
    Phase.ON_ERROR: "Runs after a failure was rolled back, in a transaction of its own.",
    Phase.DOWN: "Undoes the migration.",
}

MIGRATION_SHAPE = Record(
    {
        "version": Key(
            shape=Text(numbers=True, example="002"),
            description="Unique; default: the leading digits of the file's name.",
        ),
        "name": Key(shape=Text(), description="Default: the rest of the file's name."),
        "description": Key(shape=Text(), description="What the migration is for."),
        "requires": Key(
            shape=ListOf(Passage(also=("int", "float")), single=True),
            description="Versions that must be applied before this one.",
        ),
        "vars": Key(
            shape=VARIABLES,
            description="Variables for the templates of this migration.",
        ),
    }
    | {phase.value: Key(shape=ListOf(StepShape()), description=text) for phase, text in _PHASE_TEXT.items()},
    noun="key",
)


def migration_schema() -> dict[str, Any]:
    """The JSON Schema of a migration file."""
    return MIGRATION_SHAPE.schema() | {"$defs": {"step": step_schema()}}


def migration_paths(folder: Path, root: Path) -> list[Path]:
    """The migration files of a folder, sorted by name; those that begin with `.` or `_` are none.

    Raises InputError without the folder.
    """
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        shown = shown_path(folder, root)
        raise InputError(
            Diagnostic(
                code="missing-folder",
                message=f"cannot read the migrations folder {shown}: {(error.strerror or str(error)).lower()}",
                hint=f"create it, or set `migrations:` in confiture.yaml to where they are (now: {shown})",
            )
        ) from error
    # what cannot be read as a file is reported when it is read: passing over it would lose a migration
    named = [path for path in entries if path.suffix in SUFFIXES and path.name[0] not in "._"]
    return [path for path in named if path.is_symlink() or not os.path.isdir(path)]  # noqa: PTH112 - is_dir() may raise


def version_of_file(path: Path) -> str | None:
    """The version that a file's name says, None where it says none."""
    match = _FILE_NAME.fullmatch(path.stem)
    return match["version"].rstrip(".") if match else None


def read_migration(path: Path, folders: Folders, problems: Problems) -> MigrationFile | None:
    """The migration in a file. Mistakes are added to `problems`; then it is not whole, or None."""
    try:
        file = read_source(path, folders.root, (folders.root, folders.migrations))
        if path.suffix == PYTHON:
            return _read_python(file, path, folders, problems)
        node = parse_yaml(file)
    except InputError as error:
        problems.extend(error.diagnostics)
        return None
    reader = Reader(file, problems, lambda name: read_ddl(name, folders))
    if node is None:
        reader.report(Span(path=file.path, line=1), "empty-file", "the file is empty", "write it with `confiture new`")
        return None
    return _read(node, path, reader)


def read_recorded(migration: Migration, folders: Folders, problems: Problems) -> MigrationFile | None:
    """The same of a migration that is there as an object. Raises InputError where its class's file cannot be read."""
    from inspect import getsourcefile

    from confiture.files.modules import CodeFailed
    from confiture.files.python import record_migration

    try:
        path = getsourcefile(type(migration)) or ""
    except TypeError:
        path = ""
    if not Path(path).is_file():
        message = f"the class {type(migration).__name__} stands in no file, so its steps have no place"
        hint = "write it in a module"
        raise InputError(Diagnostic(code="no-file", message=message, hint=hint))
    file = read_source(Path(path), folders.root, ANYWHERE)
    try:
        run = record_migration(migration, file, path)
    except CodeFailed as failure:
        problems.add(failure.diagnostic)
        return None
    return _read_run(run, file, Path(path), folders, problems)


def _read_python(file: SourceFile, path: Path, folders: Folders, problems: Problems) -> MigrationFile | None:
    from confiture.files.python import run_migration

    run = run_migration(file, path, folders.root, problems)
    return None if run is None else _read_run(run, file, path, folders, problems)


def _read_run(run: Run, file: SourceFile, path: Path, folders: Folders, problems: Problems) -> MigrationFile | None:
    from confiture.files.python import with_hooks

    migration = _read(run.node, path, Reader(file, problems, lambda name: read_ddl(name, folders)))
    if migration is None:
        return None
    phases = {phase: tuple(with_hooks(step, run) for step in steps) for phase, steps in migration.phases.items()}
    return replace(migration, phases=phases)


def _read(node: Node, path: Path, reader: Reader) -> MigrationFile | None:
    try:
        return _migration(MIGRATION_SHAPE.read(node, reader), path, reader, is_whole=True)
    except Invalid as error:
        return _readable_part(error.partial, path, reader)


def _readable_part(fields: Fields | None, path: Path, reader: Reader) -> MigrationFile | None:
    """What could be read of a file with mistakes, so that those in its SQL are told together with them.

    None where nothing could, or where its variables are not known: its templates cannot be judged without.
    """
    if fields is None or ("vars" in fields.spans and "vars" not in fields):
        return None
    try:
        return _migration(fields, path, reader, is_whole=False)
    except Invalid:
        return None


def _migration(fields: Fields, path: Path, reader: Reader, *, is_whole: bool) -> MigrationFile:
    version, name = _identity(fields, path, reader)
    phases = {phase: tuple(step_of(step) for step in fields[phase.value]) for phase in Phase if phase.value in fields}
    if is_whole and not any(phases.values()):
        raise reader.report(fields.span, "no-steps", "the migration has no steps", "add a phase, for example `ddl:`")
    return MigrationFile(
        version=version,
        name=name,
        file=reader.file,
        span=fields.spans.get("version", Span(path=reader.file.path, line=1)),
        description=fields.get("description", "").strip(),
        requires=tuple(Requirement(version=item.text, span=item.start) for item in fields.get("requires", [])),
        variables=fields.get("vars", {}),
        phases=phases,
        is_whole=is_whole,
    )


def _identity(fields: Fields, path: Path, reader: Reader) -> tuple[str, str]:
    # as it is shown: a name that is not UTF-8 could not be kept in the history
    stem = path.stem if path.stem.isascii() else Path(reader.file.path).stem
    match = _FILE_NAME.fullmatch(stem)
    version = fields.get("version") or version_of_file(path)
    if version is None:
        raise reader.report(
            Span(path=reader.file.path, line=1),
            "no-version",
            "the migration has no version",
            'begin the file\'s name with digits (`012_add_x.yaml`), or add `version: "012"`',
        )
    if not _VERSION.fullmatch(version):
        message = f"{clipped(version)!r} is not a version"
        span = fields.spans.get("version", Span(path=reader.file.path, line=1))
        raise reader.report(span, "bad-version", message, "write digits, letters and . _ -, 60 at most, such as 012")
    return version, fields.get("name") or (match["name"] if match and match["name"] else stem)
