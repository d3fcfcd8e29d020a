"""Pins: copies of DDL files in the folder of the migration that runs them.

A schema file describes the current schema, so it changes. A pin is the text that one migration runs, so it does not.
The pins of `migrations/002_add_x.yaml` are below `migrations/002_add_x/`, at the path that the file has below the
schemas folder. A file from elsewhere in the project is below `_project/`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from confiture.files.access import (
    FileAccessError,
    create_file,
    display_path,
    make_folder,
    read_file,
    write_file,
)

PROJECT_FOLDER = "_project"


def pin_folder(migration: Path) -> Path:
    """Return the folder that contains the pins of a migration file. The folder need not exist."""
    return migration.parent / migration.stem


def iter_pin_names(name: PurePosixPath, schemas: Path, root: Path) -> Iterator[tuple[Path, PurePosixPath | None]]:
    """Yield the places where a file may be, each with its path below the pin folder, in the order of the search.

    The places are below the schemas folder and below the project's root. A file below the schemas folder has the same
    pin, whichever of both its name is relative to. The path is None if it would be ambiguous.
    """
    yield schemas / name, _unless_reserved(name)
    below_schemas = Path(os.path.relpath(root / name, schemas))
    if below_schemas.parts[0] == os.pardir:
        yield root / name, PurePosixPath(PROJECT_FOLDER) / name
    else:
        yield root / name, _unless_reserved(PurePosixPath(below_schemas.as_posix()))


def _unless_reserved(name: PurePosixPath) -> PurePosixPath | None:
    return None if name.parts[0] == PROJECT_FOLDER else name


def read_pin(pin: Path, folder: Path, root: Path) -> bytes:
    """Return the content of a pin. Raise FileAccessError if it is not a regular file in the migration's own folder."""
    shown = display_path(pin, root)
    _reject_links(pin, folder, root)
    # the folders above the migration's folder may be links; those below may not
    return read_file(pin, shown, (folder,))


def read_current(path: Path, root: Path, schemas: Path) -> bytes:
    """Return the content of a file below the schemas folder or the project's root. Raise FileAccessError."""
    return read_file(path, display_path(path, root), (schemas, root))


def write_pin(pin: Path, folder: Path, root: Path, content: bytes, *, replace: bool = False) -> None:
    """Write a pin atomically. Raise FileAccessError, also if the pin exists, unless `replace` is true."""
    shown = display_path(pin, root)
    _reject_links(pin, folder, root)
    make_folder(pin.parent, display_path(pin.parent, root))
    if replace:
        write_file(pin, shown, content, (folder,))
    else:
        create_file(pin, shown, content, (folder,))


def _reject_links(pin: Path, folder: Path, root: Path) -> None:
    """Raise FileAccessError if the pin, or a folder between it and the migrations folder, is a link.

    A pin that is a link changes with the file that it leads to.
    """
    path = folder
    for part in ("", *pin.relative_to(folder).parts):
        path = path / part
        if path.is_symlink():
            raise FileAccessError(
                "linked-pin",
                f"{display_path(path, root)} is a link, so it does not pin anything",
                "replace the link with a copy of what it leads to",
            )
