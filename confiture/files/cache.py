"""The cache folder `.confiture/cache/`: files that only this user can write, so that their content can be trusted.

A folder or file that is a link, that belongs to another user, or that others can write is ignored, as is every error.
"""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from confiture.files.access import OWN_FOLDER

_FOLDER = "cache"
_FOLDER_MODE, _FILE_MODE = 0o700, 0o600
_WRITABLE_BY_OTHERS = 0o022
_MOST_FILES = 16
_SALT = "salt"
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class CacheFiles:
    """The cache of the project at `root`."""

    def __init__(self, root: Path) -> None:
        self._own_folder = root / OWN_FOLDER
        self._folder = self._own_folder / _FOLDER

    def load(self, name: str) -> bytes | None:
        """Return the content of a file; None if it does not exist or cannot be trusted."""
        if not self._is_trusted():
            return None
        try:
            descriptor = os.open(self._folder / name, _READ)
        except OSError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or not _is_private(status):
                return None
            return file.read()

    def save(self, name: str, content: bytes) -> None:
        """Replace a file, and remove the oldest files beyond a limit."""
        with suppress(OSError):
            self._own_folder.mkdir(exist_ok=True)
            ignore = self._own_folder / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n", encoding="utf-8")
            self._folder.mkdir(mode=_FOLDER_MODE, exist_ok=True)
            if not self._is_trusted():
                return
            temporary = self._folder / f".{secrets.token_hex(8)}"
            descriptor = os.open(temporary, _CREATE, _FILE_MODE)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(content)
                temporary.replace(self._folder / name)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
            self._remove_oldest()

    def salt(self) -> str | None:
        """Return the random text that belongs to this cache; None if the cache cannot be used."""
        content = self.load(_SALT)
        if content is None:
            self.save(_SALT, secrets.token_hex(16).encode())
            content = self.load(_SALT)
        return content.decode("ascii", "replace") if content else None

    def _is_trusted(self) -> bool:
        try:
            statuses = [os.lstat(folder) for folder in (self._own_folder, self._folder)]
        except OSError:
            return False
        return all(stat.S_ISDIR(status.st_mode) and _is_private(status) for status in statuses)

    def _remove_oldest(self) -> None:
        files = [path for path in self._folder.iterdir() if path.name != _SALT]
        files.sort(key=lambda path: path.lstat().st_mtime, reverse=True)
        for path in files[_MOST_FILES:]:
            path.unlink(missing_ok=True)


def _is_private(status: os.stat_result) -> bool:
    """Whether a file or folder belongs to this user, and others cannot write it."""
    owner = os.geteuid() if hasattr(os, "geteuid") else status.st_uid
    return status.st_uid == owner and not status.st_mode & _WRITABLE_BY_OTHERS
