"""The system user that runs PostgreSQL if Confiture runs as root, as in most containers: PostgreSQL refuses root."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from confiture.errors import DatabaseUnavailable, Diagnostic

_EXISTING = "postgres"
_OURS = "confiture_postgres"


@dataclass(frozen=True, kw_only=True, slots=True)
class SystemUser:
    """An operating system user, identified by its IDs. `name` is for messages."""

    uid: int
    gid: int
    name: str


def find_server_user(data: Path) -> SystemUser | None:
    """Return the user that runs the server, or None for the current user.

    An existing data directory keeps its owner. A new one belongs to the user `postgres` or to a newly created user.
    Raise DatabaseUnavailable if the directory belongs to another user, or if the user cannot be created.
    """
    owner = data.stat().st_uid if data.exists() else None
    if os.geteuid() != 0:
        if owner not in (None, os.geteuid()):
            raise DatabaseUnavailable(_foreign_owner_diagnostic(data, owner))
        return None
    if owner:
        return SystemUser(uid=owner, gid=data.stat().st_gid, name=_user_name(owner))
    return _find_user(_EXISTING) or _find_user(_OURS) or _create_user()


def grant_directory_access(user: SystemUser, paths: Iterable[Path], notify: Callable[[str], None]) -> None:
    """Let the user pass through these directories and their parents: add execute permission for others if needed.

    `notify` receives the changed paths. Raise OSError if that is not possible.
    """
    opened = []
    for directory in dict.fromkeys(parent for path in paths for parent in (path, *path.parents)):
        state = directory.stat()
        if state.st_uid != user.uid and not state.st_mode & stat.S_IXOTH:
            directory.chmod(stat.S_IMODE(state.st_mode) | stat.S_IXOTH)
            opened.append(str(directory))
    if opened:
        notify(f"Other users can now pass through {', '.join(opened)}: PostgreSQL runs as {user.name}, not as root.")


def grant_file_access(user: SystemUser, directories: Iterable[Path], notify: Callable[[str], None]) -> None:
    """Let the user read the files in these trees, and execute those that the file owner can execute.

    `notify` receives the changed paths. Raise OSError if that is not possible.
    """
    for tree in directories:
        # An installer treats all files alike, so the top two levels are representative of thousands of files.
        if any(_missing_mode_bits(path) for path in (tree, *tree.glob("*"), *tree.glob("bin/*"))):
            for path in (tree, *tree.rglob("*")):
                if not path.is_symlink():
                    path.chmod(stat.S_IMODE(path.stat().st_mode) | _missing_mode_bits(path))
            notify(f"Other users can now read {tree}: PostgreSQL runs as {user.name}, not as root.")


def _missing_mode_bits(path: Path) -> int:
    mode = path.stat().st_mode
    wanted = stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0)
    return wanted & ~mode


def _find_user(name: str) -> SystemUser | None:
    import pwd

    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return SystemUser(uid=entry.pw_uid, gid=entry.pw_gid, name=name)


def _user_name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _create_user() -> SystemUser:
    command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", _OURS]
    problem = None
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.SubprocessError) as error:
        problem = error
    # Another process may have created the user in the meantime, so ignore a failure if the user exists.
    if user := _find_user(_OURS):
        return user
    output = getattr(problem, "stderr", None) or str(problem)
    raise DatabaseUnavailable(
        Diagnostic(
            code="embedded-root",
            message="PostgreSQL refuses to run as root, and a system user to run it could not be created",
            detail=tuple(output.strip().splitlines()),
            hint=f"create a system user named {_EXISTING}, or run confiture as an ordinary user",
        )
    ) from problem


def _foreign_owner_diagnostic(data: Path, owner: int) -> Diagnostic:
    return Diagnostic(
        code="embedded-owner",
        message=f"the embedded server's data in {data} belongs to {_user_name(owner)}, not to the current user",
        hint="run confiture as that user, or remove the directory as that user",
    )
