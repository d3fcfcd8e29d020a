"""Lookup of the DDL files that migrations refer to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import field, replace
from itertools import islice
from pathlib import Path, PurePosixPath

from confiture.errors import InputError
from confiture.files.access import FileAccessError, display_path, read_file
from confiture.files.source_files import decode_source_file
from confiture.models.records import record
from confiture.models.source import LocatedSource, SourceFile
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


def read_ddl(name: LocatedSource, folders: DdlFolders) -> SourceFile:
    """Read the DDL file `name` from below the schemas folder or, if it is not there, from below the project's root.

    Raise InputError at the name if the path leaves both folders, if the file is missing or unreadable, or if its suffix
    is neither `.sql` nor `.sql.j2`. Raise InputError in the file if the file is not UTF-8.
    """
    relative = PurePosixPath(name.text.strip())
    if relative.is_absolute() or ".." in relative.parts:
        raise _ddl_error(name, "path-leaves-project", f"{relative} leaves the schemas folder", _BELOW_HINT)
    if not (relative.name.endswith(TEMPLATE_SUFFIX) or relative.suffix == ".sql"):
        raise _ddl_error(
            name, "not-sql", f"{relative} is not an SQL file", f"name a file that ends in .sql or {TEMPLATE_SUFFIX}"
        )
    for folder in (folders.schemas, folders.root):
        path = folder / relative
        if os.path.lexists(path):
            return _read_file_at(name, path, folders)
    raise _ddl_error(
        name,
        "missing-file",
        f"there is no file {relative} below {display_path(folders.schemas, folders.root)}/",
        (folders.suggestions.use_one() and _closest_file(relative, folders)) or _BELOW_HINT,
    )


_BELOW_HINT = "name a file below the schemas folder, or below the project's root"


def _read_file_at(name: LocatedSource, path: Path, folders: DdlFolders) -> SourceFile:
    display_name = display_path(path, folders.root)
    try:
        content = read_file(path, display_name, (folders.schemas, folders.root))
    except FileAccessError as refused:
        diagnostic = replace(refused.diagnostic_at(name.start), excerpt=name.file.excerpt(name.line))
        raise InputError(diagnostic) from refused
    return decode_source_file(display_name, content)


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
