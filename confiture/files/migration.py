"""The schema and the reading of migration files."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml.nodes import Node

from confiture.errors import Diagnostic, DiagnosticCollector, InputError, Span
from confiture.files.access import ANYWHERE, display_path
from confiture.files.ddl import DdlFolders, read_ddl
from confiture.files.schema.containers import FieldValues, Key, ListOf, Record
from confiture.files.schema.located_text import LocatedText
from confiture.files.schema.reader import InvalidValue, Reader, shorten
from confiture.files.schema.types import TextValue
from confiture.files.secret_masks import mask_nodes, mask_variable_lines, secret_variables
from confiture.files.source_files import parse_yaml, read_source_file
from confiture.files.steps import StepKindSchema, StepSchema
from confiture.files.variables import VARIABLES
from confiture.models.migration import MigrationFile, Phase, Requirement, Step
from confiture.models.source import SourceFile

if TYPE_CHECKING:
    from confiture.files.python.python_file import RecordedMigration
    from confiture.models.migration_api import Migration

PYTHON = ".py"
SUFFIXES = (".yaml", ".yml", PYTHON)
NO_STEPS = "no-steps"
"""The diagnostic code for a migration without steps, such as one that was just created."""
_VERSION = re.compile(r"(?=.*[^\W_])[\w.-]{1,60}")
_FILE_NAME = re.compile(r"(?P<version>\d[\d.]*)[_-]?(?P<name>.*)")


_PHASE_TEXTS = {
    Phase.BEFORE_VALIDATION: "Checks before anything changes.",
    Phase.BEFORE_DDL: "Work to do before the schema change.",
    Phase.DDL: "The schema change.",
    Phase.AFTER_DDL: "Backfills.",
    Phase.AFTER_VALIDATION: "Checks that prove the result.",
    Phase.CLEANUP: "ANALYZE, temporary objects.",
    Phase.ON_ERROR: "Runs after a failure and rollback, in a separate transaction.",
    Phase.DOWN: "Rolls back the migration.",
}
_PHASES = _PHASE_TEXTS.items()

_KEYS = {
    "version": Key(
        value_type=TextValue(allows_numbers=True, example="002"),
        description="A unique version; default: the leading digits of the file name.",
    ),
    "name": Key(value_type=TextValue(), description="Default: the rest of the file name."),
    "description": Key(value_type=TextValue(), description="The purpose of the migration."),
    "requires": Key(
        value_type=ListOf(LocatedText(other_tags=("int", "float")), allows_single=True),
        description="Versions that must be applied before this one.",
    ),
    "vars": Key(
        value_type=VARIABLES,
        description="Variables for the templates of this migration.",
    ),
}


class MigrationSchema:
    """The schema for migration files with the given step kinds."""

    def __init__(self, kinds: Sequence[StepKindSchema]) -> None:
        self._step = StepSchema(kinds)
        phases = {phase.value: Key(value_type=ListOf(self._step), description=text) for phase, text in _PHASES}
        self.record = Record(_KEYS | phases, noun="key")

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema for a migration file."""
        return self.record.schema() | {"$defs": {"step": self._step.mapping_schema()}}

    def build_steps(self, fields: FieldValues) -> dict[Phase, tuple[Step, ...]]:
        """Build the steps by phase."""
        return {
            phase: tuple(self._step.build(step) for step in fields[phase.value])
            for phase in Phase
            if phase.value in fields
        }


def migration_paths(folder: Path, root: Path) -> list[Path]:
    """Return the migration files in a folder, sorted by name, except files whose names begin with `.` or `_`.

    Raise InputError if the folder cannot be read.
    """
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        shown = display_path(folder, root)
        raise InputError(
            Diagnostic(
                code="missing-folder",
                message=f"cannot read the migrations folder {shown}: {(error.strerror or str(error)).lower()}",
                hint=f"create the folder, or set `migrations:` in confiture.yaml to the right folder (now: {shown})",
            )
        ) from error
    # keep entries that cannot be read: reading them reports the error, but skipping them would lose a migration
    named = [path for path in entries if path.suffix in SUFFIXES and path.name[0] not in "._"]
    return [path for path in named if path.is_symlink() or not os.path.isdir(path)]  # noqa: PTH112 - is_dir() may raise


def parse_file_version(path: Path) -> str | None:
    """Return the version in a file name; None if the name contains no version."""
    match = _FILE_NAME.fullmatch(path.stem)
    return match["version"].rstrip(".") if match else None


def read_migration(
    path: Path, folders: DdlFolders, schema: MigrationSchema, problems: DiagnosticCollector
) -> MigrationFile | None:
    """Read a migration file. Errors are added to `problems`; the result is then incomplete or None."""
    try:
        file = read_source_file(path, folders.root, (folders.root, folders.migrations))
        if path.suffix == PYTHON:
            return _read_python(file, path, folders, schema, problems)
        node = parse_yaml(file, mask_variable_lines)
    except InputError as error:
        problems.extend(error.diagnostics)
        return None
    secrets = secret_variables(node)
    if secrets:
        file = replace(file, shown_text=mask_nodes(file.text, secrets))
    reader = Reader(file, problems, lambda name: read_ddl(name, folders, path), secrets)
    if node is None:
        reader.report(
            Span(path=file.path, line=1), "empty-file", "the file is empty", "create migrations with `confiture new`"
        )
        return None
    return _read_node(node, path, schema, reader)


def read_migration_object(
    migration: Migration, folders: DdlFolders, schema: MigrationSchema, problems: DiagnosticCollector
) -> MigrationFile | None:
    """Read a migration from an object. Raise InputError if the file that defines the class cannot be read."""
    from inspect import getsourcefile

    from confiture.files.python.modules import UserCodeError
    from confiture.files.python.python_file import record_migration

    try:
        path = getsourcefile(type(migration)) or ""
    except TypeError:
        path = ""
    if not Path(path).is_file():
        message = f"class {type(migration).__name__} is not defined in a file, so its steps cannot be located"
        hint = "define the class in a module"
        raise InputError(Diagnostic(code="no-file", message=message, hint=hint))
    file = read_source_file(Path(path), folders.root, ANYWHERE)
    try:
        run = record_migration(migration, file, path)
    except UserCodeError as failure:
        problems.add(failure.diagnostic)
        return None
    return _read_recorded_migration(run, file, Path(path), folders, schema, problems)


def _read_python(
    file: SourceFile, path: Path, folders: DdlFolders, schema: MigrationSchema, problems: DiagnosticCollector
) -> MigrationFile | None:
    from confiture.files.python.python_file import run_migration

    run = run_migration(file, path, folders.root, problems)
    return None if run is None else _read_recorded_migration(run, file, path, folders, schema, problems)


def _read_recorded_migration(
    run: RecordedMigration,
    file: SourceFile,
    path: Path,
    folders: DdlFolders,
    schema: MigrationSchema,
    problems: DiagnosticCollector,
) -> MigrationFile | None:
    from confiture.files.python.python_file import attach_hook

    migration = _read_node(run.node, path, schema, Reader(file, problems, lambda name: read_ddl(name, folders, path)))
    if migration is None:
        return None
    phases = {phase: tuple(attach_hook(step, run) for step in steps) for phase, steps in migration.phases.items()}
    return replace(migration, phases=phases)


def _read_node(node: Node, path: Path, schema: MigrationSchema, reader: Reader) -> MigrationFile | None:
    try:
        return _build_migration(schema.record.read(node, reader), path, schema, reader, is_whole=True)
    except InvalidValue as error:
        return _partial_migration(error.partial, path, schema, reader)


def _partial_migration(
    fields: FieldValues | None, path: Path, schema: MigrationSchema, reader: Reader
) -> MigrationFile | None:
    """Return the readable parts of a file with errors, so that SQL errors are reported at the same time.

    Return None if nothing is readable, or if the variables are unreadable, because templates cannot be checked without
    variables.
    """
    if fields is None or ("vars" in fields.spans and "vars" not in fields):
        return None
    try:
        return _build_migration(fields, path, schema, reader, is_whole=False)
    except InvalidValue:
        return None


def _build_migration(
    fields: FieldValues, path: Path, schema: MigrationSchema, reader: Reader, *, is_whole: bool
) -> MigrationFile:
    version, name = _version_and_name(fields, path, reader)
    phases = schema.build_steps(fields)
    if is_whole and not any(phases.values()):
        raise reader.report(fields.span, NO_STEPS, "the migration has no steps", "add a phase, for example `ddl:`")
    return MigrationFile(
        version=version,
        name=name,
        file=reader.file,
        span=fields.spans.get("version", Span(path=reader.file.path, line=1)),
        description=fields.get("description", "").strip(),
        requires=tuple(Requirement(version=item.text, span=item.start) for item in fields.get("requires", [])),
        variables=fields.get("vars", {}),
        phases=phases,
        is_complete=is_whole,
    )


def _version_and_name(fields: FieldValues, path: Path, reader: Reader) -> tuple[str, str]:
    # use the display path: the history cannot store a name that is not UTF-8
    stem = path.stem if path.stem.isascii() else Path(reader.file.path).stem
    match = _FILE_NAME.fullmatch(stem)
    version = fields.get("version") or parse_file_version(path)
    if version is None:
        raise reader.report(
            Span(path=reader.file.path, line=1),
            "no-version",
            "the migration has no version",
            'begin the file name with digits (`012_add_x.yaml`), or add `version: "012"`',
        )
    if not _VERSION.fullmatch(version):
        message = f"{shorten(version)!r} is not a valid version"
        span = fields.spans.get("version", Span(path=reader.file.path, line=1))
        raise reader.report(span, "bad-version", message, "use at most 60 digits, letters and . _ -, such as 012")
    return version, fields.get("name") or (match["name"] if match and match["name"] else stem)
