"""The directory for the embedded server's socket. It is private because every client is trusted."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path

from confiture.core.embedded.system_user import SystemUser
from confiture.errors import DatabaseUnavailable, Diagnostic

SOCKET_NAME = ".s.PGSQL.5432"
"""PostgreSQL's name for the socket for port 5432."""
_LONGEST = 103
"""The maximum length in bytes of a socket path on any system: macOS allows 104, including the terminating zero."""


def choose_socket_directory(data: Path) -> Path:
    """Return the data directory if its path is short enough, otherwise a separate short path. Create nothing."""
    name = f"confiture-{hashlib.sha256(os.fsencode(data)).hexdigest()[:16]}"
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    # When Confiture runs as root, the server runs as another user, who cannot enter root's runtime directory.
    bases = [runtime] if runtime and os.geteuid() != 0 and Path(runtime).is_dir() else []
    bases += [tempfile.gettempdir(), "/tmp"]  # noqa: S108 - the directory itself is created, and checked, as private
    return next(path for path in (data, *(Path(base) / name for base in bases)) if _is_short_enough(path))


def create_socket_directory(data: Path, user: SystemUser | None) -> Path:
    """Choose the directory, and create it as a private directory for the user (None: the current user).

    Raise DatabaseUnavailable if the path already exists and other users own it or can enter it.
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
                message=f"{place} is not a private directory of this user, so the embedded server cannot listen there",
                hint="remove that directory, or move the project to a shorter path",
            )
        )
    if user:
        os.chown(place, user.uid, user.gid, follow_symlinks=False)
    return place


def _is_short_enough(directory: Path) -> bool:
    # For libpq, a comma ends the directory name, and commas cannot be escaped.
    name = os.fsencode(directory / SOCKET_NAME)
    return len(name) <= _LONGEST and b"," not in name
