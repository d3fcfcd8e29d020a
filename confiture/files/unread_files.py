"""Find files in the migrations folder that look like migrations but are not read."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Set
from itertools import islice
from pathlib import Path

from confiture.files.access import display_path
from confiture.files.ddl import DdlFolders
from confiture.files.migration import SUFFIXES

_MAX_FOLDERS = 1_000
_VERSION = re.compile(r"[Vv]?\d")
_TEMPLATE = re.compile(r"\.(?:j2|jinja2?)$", re.IGNORECASE)
_SCRIPT = re.compile(r"\.(?:ya?ml|py|sql|json|toml|xml)(?:\.j2|\.jinja2?)?$", re.IGNORECASE)


def find_unread_files(folders: DdlFolders, used_paths: Set[str], pin_folders: Set[Path]) -> tuple[str, ...]:
    """Return a sentence for each file that has a version in its name but is not read as a migration.

    `used_paths` are the files, relative to the root, that migration steps refer to. `pin_folders` are the migrations'
    own folders. Files and folders whose names begin with `.` or `_` are deliberately excluded, as are the schemas
    folder and backups such as `001_a.yaml.bak`.
    """
    return tuple(
        f"{shown} is not read: {_next_step(path, folders, pin_folders)}"
        for path in _script_files(folders)
        if (shown := display_path(path, folders.root)) not in used_paths
    )


def _script_files(folders: DdlFolders) -> Iterator[Path]:
    """Yield the files below a folder, sorted, that are named like migrations but are not read as migrations."""
    for parent, children, names in islice(os.walk(folders.migrations), _MAX_FOLDERS):
        children[:] = sorted(name for name in children if name[0] not in "._" and Path(parent, name) != folders.schemas)
        for name in sorted(names):
            is_read = Path(parent) == folders.migrations and Path(name).suffix in SUFFIXES
            if _VERSION.match(name) and _SCRIPT.search(name) and not is_read:
                yield Path(parent, name)


def _next_step(path: Path, folders: DdlFolders, pin_folders: Set[Path]) -> str:
    owner = next((folder for folder in path.parents if folder in pin_folders), None)
    if owner is not None:
        return f"{owner.name} names no such file; delete it, or name {path.relative_to(owner).as_posix()} in a step"
    name = _TEMPLATE.sub("", path.name)
    stem, dot, suffix = name.rpartition(".")
    suffix = dot + suffix.lower()
    if suffix == ".sql":
        return f"SQL files run as steps; write a migration with `ddl: [{display_path(path, folders.root)}]`"
    if suffix not in SUFFIXES:
        return "a migration is a .yaml, .yml or .py file"
    if path.name != stem + suffix:
        return f"rename it to {stem}{suffix}"
    return f"move it to {display_path(folders.migrations, folders.root)}"
