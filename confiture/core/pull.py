"""Write schema files, or the baseline migration, from the schema of a database."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from confiture.core.db.connection import ConnectionTarget, connect_for_query
from confiture.core.dump.foreign_options import (
    TemplateText,
    VariableNames,
    escape_template_marks,
    hide_option_values,
)
from confiture.core.dump.layout import SchemaFile, divide_into_files
from confiture.core.dump.pg_dump import dump_schema
from confiture.errors import Diagnostic, InputError
from confiture.files.access import create_file, display_path, make_folder
from confiture.files.ddl import TEMPLATE_SUFFIX
from confiture.models.dump import SchemaDump
from confiture.models.pull import PullResult
from confiture.models.records import replace
from confiture.models.settings import Settings
from confiture.text import pluralize

_SQL_SUFFIX = ".sql"
_BASELINE = "000_baseline"
_BASELINE_FILE = f"schema{_SQL_SUFFIX}"
_BASELINE_YAML = f"""version: "000"
name: baseline
description: The schema when the project adopted the database.
ddl:
  - {_BASELINE_FILE}
"""
_PREAMBLE = "SET LOCAL check_function_bodies = off;\n\n"
"""The order of a dump does not consider the bodies of functions."""
_FOREIGN_KINDS = frozenset({"FOREIGN DATA WRAPPER", "SERVER", "USER MAPPING", "FOREIGN TABLE"})


def pull_schema(settings: Settings, database: ConnectionTarget, folder: Path) -> PullResult:
    """Write a file for each object of the database below a folder. No file is overwritten.

    Values of options of foreign objects become template variables. Raise InputError if the folder contains schema
    files, DatabaseUnavailable if pg_dump is missing or fails, FileAccessError if a file cannot be written.
    """
    _require_no_schema_files(folder, settings)
    layout = divide_into_files(_dump(database))
    notes = list(layout.notes)
    paths: list[str] = []
    names = VariableNames()
    for file in layout.files:
        text = _hide_options(file, names)
        path = folder / file.path
        if text.variables:
            path = path.with_suffix(TEMPLATE_SUFFIX)
            notes.append(f"{display_path(path, settings.root)} {_needs_variables(text.variables)}")
        paths.append(_create(path, text.sql, settings, (settings.root, folder)))
    shown = display_path(folder, settings.root)
    return PullResult(database=database.label, folder=shown, files=tuple(paths), notes=tuple(notes))


def pull_baseline(settings: Settings, database: ConnectionTarget) -> PullResult:
    """Write the baseline migration: `000_baseline.yaml`, and its pin with the whole schema of the database.

    No file is overwritten. Raise the same errors as `pull_schema`.
    """
    migration = settings.migrations / f"{_BASELINE}.yaml"
    shown = display_path(migration, settings.root)
    if migration.exists():
        hint = "move the file, or adopt the database with the existing baseline"
        raise InputError(Diagnostic(code="exists", message=f"{shown} already exists", hint=hint))
    layout = divide_into_files(_dump(database))
    notes = list(layout.notes)
    names = VariableNames()
    texts = [_hide_options(file, names) for file in layout.files]
    variables = [variable for text in texts for variable in text.variables]
    name = _BASELINE_FILE
    if variables:
        texts = [text if text.variables else replace(text, sql=escape_template_marks(text.sql)) for text in texts]
        name = str(Path(name).with_suffix(TEMPLATE_SUFFIX))
        notes.append(f"{shown} {_needs_variables(variables)}")
    within = (settings.root, settings.migrations)
    pin = _create(
        settings.migrations / _BASELINE / name, "\n".join([_PREAMBLE, *(text.sql for text in texts)]), settings, within
    )
    written = _create(migration, _BASELINE_YAML.replace(_BASELINE_FILE, name), settings, within)
    folder = display_path(settings.migrations, settings.root)
    return PullResult(database=database.label, folder=folder, files=(written, pin), notes=tuple(notes))


def _dump(database: ConnectionTarget) -> SchemaDump:
    with connect_for_query(database, "pull", f"the schema of {database.label} cannot be read") as connection:
        version = connection.info.server_version
    return dump_schema(database, version)


def _require_no_schema_files(folder: Path, settings: Settings) -> None:
    files = [path for path in sorted(folder.rglob("*")) if path.name.endswith((_SQL_SUFFIX, TEMPLATE_SUFFIX))]
    if files:
        shown = display_path(folder, settings.root)
        raise InputError(
            Diagnostic(
                code="exists",
                message=f"{shown} already contains {pluralize(len(files), 'schema file')}",
                hint="pass --to with an empty folder; files are never overwritten",
            )
        )


def _hide_options(file: SchemaFile, names: VariableNames) -> TemplateText:
    """Return the SQL with template variables for the values of options. Without variables, it is plain SQL."""
    if file.kind in _FOREIGN_KINDS:
        return hide_option_values(file.sql, file.name, names)
    return TemplateText(sql=file.sql, variables=())


def _needs_variables(variables: Sequence[str]) -> str:
    return (
        f"needs values for {', '.join(variables)}: they can be passwords, so they were not written; set them below"
        " `vars:` in the settings, for example from environment variables"
    )


def _create(path: Path, text: str, settings: Settings, within: Sequence[Path]) -> str:
    """Create a file and its folder. Return the path for display."""
    shown = display_path(path, settings.root)
    make_folder(path.parent, shown)
    create_file(path, shown, text.encode("utf-8", "surrogateescape"), within)
    return shown
