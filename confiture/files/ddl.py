"""Lookup of the DDL files that migrations refer to."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import field, replace
from itertools import islice
from pathlib import Path, PurePosixPath

from confiture.errors import InputError
from confiture.files.access import FileAccessError, display_path
from confiture.files.pins import PROJECT_FOLDER, iter_pin_names, pin_folder, read_current, read_pin
from confiture.files.source_files import decode_source_file
from confiture.models.records import record
from confiture.models.source import LocatedSource, NamedFile, SourceFile
from confiture.text import SuggestionLimit, did_you_mean

TEMPLATE_SUFFIX = ".sql.j2"
MISSING_FILE = "missing-file"
"""The diagnostic code for a file that a migration names and that does not exist."""
SQL_SUFFIXES = (".sql", TEMPLATE_SUFFIX)
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

    A missing file is not an error yet, because an applied migration may keep one: the result contains the problem.
    Raise InputError at the name if the path leaves these folders, if the file is unreadable, or if its suffix is
    neither `.sql` nor `.sql.j2`. Raise InputError in the file if the file is not UTF-8.
    """
    relative = PurePosixPath(name.text.strip())
    if relative.is_absolute() or ".." in relative.parts:
        raise _ddl_error(name, "path-leaves-project", f"{relative} leaves the schemas folder", _BELOW_HINT)
    if not (relative.name.endswith(TEMPLATE_SUFFIX) or relative.suffix == ".sql"):
        raise _ddl_error(
            name, "not-sql", f"{relative} is not an SQL file", f"name a file that ends in .sql or {TEMPLATE_SUFFIX}"
        )
    pins = _find_pin_folder(folders, migration)
    places = list(iter_pin_names(relative, folders.schemas, folders.root))
    current, pin = next((place for place in places if os.path.lexists(place[0])), (None, None))
    if pins is not None:
        own = next((pin for _, pin in places if pin is not None and os.path.lexists(pins / pin)), None)
        if own is None and current is not None and current.is_relative_to(pins):
            # named by its path in the migration's own folder
            own, current = PurePosixPath(current.relative_to(pins).as_posix()), None
        if own is not None:
            path = pins / own
            file = _read_at(name, path, folders, lambda: read_pin(path, pins, folders.root))
            return NamedFile(file=file, folder=pins, pin_name=own.as_posix(), current=current, is_pinned=True)
    if current is not None:
        file = _read_at(name, current, folders, lambda: read_current(current, folders.root, folders.schemas))
        return NamedFile(file=file, folder=pins, pin_name=None if pin is None else pin.as_posix(), current=current)
    return _missing_file(name, relative, folders, pins, [pin.as_posix() for _, pin in places if pin is not None])


def _missing_file(
    name: LocatedSource, relative: PurePosixPath, folders: DdlFolders, pins: Path | None, pin_names: Sequence[str]
) -> NamedFile:
    missing = name.file.diagnostic(
        name.start,
        MISSING_FILE,
        f"there is no file {relative} below {display_path(folders.schemas, folders.root)}/",
        hint=(folders.suggestions.use_one() and _closest_file(relative, folders))
        or f"{_BELOW_HINT}; if the migration has run, `confiture migrate pin` with the same options restores the file",
    )
    # a path that begins with the schemas folder means a file in it
    names = sorted(pin_names, key=lambda pin: (pin.startswith(PROJECT_FOLDER), len(pin)))
    return NamedFile(
        file=SourceFile(path=display_path(folders.schemas / relative, folders.root), text=""),
        folder=pins,
        pin_name=names[0] if names else None,
        other_pin_names=tuple(names[1:]),
        missing=missing,
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
