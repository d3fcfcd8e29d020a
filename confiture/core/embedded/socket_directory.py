"""Where the embedded server's socket is. Its directory is private, because whoever can connect is trusted."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path

from confiture.core.embedded.system_user import SystemUser
from confiture.errors import DatabaseUnavailable, Diagnostic

SOCKET_NAME = ".s.PGSQL.5432"
"""What PostgreSQL calls the socket of port 5432."""
_LONGEST = 103
"""Bytes that the path of a socket may have on every system: macOS has room for 104 with the closing zero."""


def choose_socket_directory(data: Path) -> Path:
    """The data directory where its path is short enough, else a short one of its own. Makes nothing."""
    name = f"confiture-{hashlib.sha256(os.fsencode(data)).hexdigest()[:16]}"
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    # The server of root runs as another user, who may not enter root's runtime directory.
    bases = [runtime] if runtime and os.geteuid() != 0 and Path(runtime).is_dir() else []
    bases += [tempfile.gettempdir(), "/tmp"]  # noqa: S108 - the directory itself is made, and checked, as private
    return next(path for path in (data, *(Path(base) / name for base in bases)) if _is_short_enough(path))


def create_socket_directory(data: Path, user: SystemUser | None) -> Path:
    """Chooses the directory, and makes it for nobody but the user (None: us).

    Raises DatabaseUnavailable when its name is taken by something that others own or can enter.
    """
    place = choose_socket_directory(data)
    if place == data:
        return place
    owner = user.uid if user else os.geteuid()
    place.mkdir(mode=0o700, exist_ok=True)
    state = place.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid not in (owner, os.geteuid()) or state.st_mode & 0o077:
        raise DatabaseUnavailable(
            Diagnostic(
                code="embedded-socket",
                message=f"{place} is not a private directory of ours, so the embedded server cannot listen there",
                hint="remove it, or move the project to a shorter path",
            )
        )
    if user:
        os.chown(place, user.uid, user.gid, follow_symlinks=False)
    return place


def _is_short_enough(directory: Path) -> bool:
    # libpq takes a comma for the end of the directory's name, and knows no way to escape it.
    name = os.fsencode(directory / SOCKET_NAME)
    return len(name) <= _LONGEST and b"," not in name
