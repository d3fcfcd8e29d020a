"""Lookup of the DDL files that migrations refer to."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import field, replace
from itertools import islice
from pathlib import Path, PurePosixPath

from confiture.errors import InputError
from confiture.files.access import FileAccessError, display_path
from confiture.files.pins import iter_pin_names, pin_folder, read_current, read_pin
from confiture.files.source_files import decode_source_file
from confiture.models.records import record
from confiture.models.source import LocatedSource, NamedFile, SourceFile
from confiture.text import SuggestionLimit, did_you_mean

TEMPLATE_SUFFIX = ".sql.j2"
_MAX_FOLDERS = 1_000
"""The maximum number of folders to search for a file with a name similar to a missing file."""


@record(frozen=True, kw_only=True, slots=True)
class DdlFolders:
    """A project's folders, as absolute paths."""

    root: Path
    schemas: Path
    migrations: Path
    suggestions: SuggestionLimit = field(default_factory=SuggestionLimit, compare=False, repr=False)


def read_ddl(name: LocatedSource, folders: DdlFolders, migration: Path) -> NamedFile:
    """Read the DDL file `name` for a migration file.

    The file is looked up in the migration's own folder (see `files/pins`), then below the schemas folder, then below
    the project's root. This is the only lookup: everything that runs, checks or compares a file uses its result.

    Raise InputError at the name if the path leaves these folders, if the file is missing or unreadable, or if its
    suffix is neither `.sql` nor `.sql.j2`. Raise InputError in the file if the file is not UTF-8.
    """
    relative = PurePosixPath(name.text.strip())
    if relative.is_absolute() or ".." in relative.parts:
        raise _ddl_error(name, "path-leaves-project", f"{relative} leaves the schemas folder", _BELOW_HINT)
    if not (relative.name.endswith(TEMPLATE_SUFFIX) or relative.suffix == ".sql"):
        raise _ddl_error(
            name, "not-sql", f"{relative} is not an SQL file", f"name a file that ends in .sql or {TEMPLATE_SUFFIX}"
        )
    pins = _find_pin_folder(folders, migration)
    places = [
        (path, pins / pin if pins is not None and pin is not None else None)
        for path, pin in iter_pin_names(relative, folders.schemas, folders.root)
    ]
    current, pin = next((place for place in places if os.path.lexists(place[0])), (None, None))
    existing = next((pin for _, pin in places if pin is not None and os.path.lexists(pin)), None)
    if existing is None and current is not None and pins is not None and current.is_relative_to(pins):
        existing, current = current, None  # named by its path in the migration's own folder
    if existing is not None and pins is not None:
        file = _read_at(name, existing, folders, lambda: read_pin(existing, pins, folders.root))
        return NamedFile(file=file, folder=pins, pin=existing, current=current, is_pinned=True)
    if current is not None:
        file = _read_at(name, current, folders, lambda: read_current(current, folders.root, folders.schemas))
        return NamedFile(file=file, folder=pins, pin=pin, current=current)
    raise _ddl_error(
        name,
        "missing-file",
        f"there is no file {relative} below {display_path(folders.schemas, folders.root)}/",
        (folders.suggestions.use_one() and _closest_file(relative, folders)) or _BELOW_HINT,
    )


_BELOW_HINT = "name a file below the schemas folder, or below the project's root"


def _find_pin_folder(folders: DdlFolders, migration: Path) -> Path | None:
    """Return the folder for the migration's pins; None for a class that is defined outside the migrations folder."""
    is_inside = migration.parent == folders.migrations or _is_same_folder(migration.parent, folders.migrations)
    return pin_folder(migration) if is_inside else None


def _is_same_folder(folder: Path, other: Path) -> bool:
    return os.path.realpath(folder) == os.path.realpath(other)


def _read_at(name: LocatedSource, path: Path, folders: DdlFolders, read: Callable[[], bytes]) -> SourceFile:
    try:
        content = read()
    except FileAccessError as refused:
        diagnostic = replace(refused.diagnostic_at(name.start), excerpt=name.file.excerpt(name.line))
        raise InputError(diagnostic) from refused
    return decode_source_file(display_path(path, folders.root), content)


def _ddl_error(name: LocatedSource, code: str, message: str, hint: str) -> InputError:
    return InputError(name.file.diagnostic(name.start, code, message, hint=hint))


def _iter_sql_files(folder: Path) -> Iterator[str]:
    """Yield SQL files below a folder, from a limited number of folders. Skip files that vanish or cannot be read."""
    for path, _, names in islice(os.walk(folder), _MAX_FOLDERS):
        yield from (os.path.join(path, name) for name in names if ".sql" in name)  # noqa: PTH118 - many


def _closest_file(relative: PurePosixPath, folders: DdlFolders) -> str | None:
    paths = {
        PurePosixPath(os.path.relpath(path, folders.schemas)).as_posix() for path in _iter_sql_files(folders.schemas)
    }
    same_name = sorted(path for path in paths if PurePosixPath(path).name == relative.name)
    return f"did you mean {same_name[0]!r}?" if same_name else did_you_mean(relative.as_posix(), sorted(paths))
