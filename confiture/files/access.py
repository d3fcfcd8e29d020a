"""The one way to read and to write the files of a project.

What is checked is the open file, never its path: what stands at a path may change between two looks at it.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from confiture.errors import Diagnostic, InputError, Span

OWN_FOLDER = ".confiture"

MAX_BYTES = 64 * 1024 * 1024

ANYWHERE = None
"""Where a file may lie whose path the user gave on the command line, or whose code already runs."""

_KINDS = (
    (stat.S_ISDIR, "folder"),
    (stat.S_ISFIFO, "pipe"),
    (stat.S_ISSOCK, "socket"),
    (stat.S_ISCHR, "device"),
    (stat.S_ISBLK, "device"),
)
_DESCRIPTORS = "/proc/self/fd"
"""Where Linux says what is open."""

_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


LEAVES_PROJECT = "path-leaves-project"
"""The code of the error for a link that leads out of the project."""


class FileAccessError(InputError):
    """A file that is not read or not written, and why."""

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(Diagnostic(code=code, message=message, hint=hint))

    def diagnostic_at(self, span: Span) -> Diagnostic:
        """The diagnostic, placed."""
        return replace(self.diagnostics[0], span=span)


def display_path(path: Path, root: Path) -> str:
    """How people are shown a path: relative to the project's root where it lies below it."""
    text, above = str(path), f"{root}{os.sep}"
    if text.startswith(above):  # what nearly all are; Path takes ten times as long
        shown = text.removeprefix(above).replace(os.sep, "/")
    else:
        try:
            shown = path.relative_to(root).as_posix()
        except ValueError:
            shown = text
    return shown if shown.isascii() else os.fsencode(shown).decode("utf-8", "replace")


def read_file(path: Path, display_name: str, within: Sequence[Path] | None) -> bytes:
    """What a regular file of bounded size holds. Links are followed, but must end below one of the folders `within`.

    `display_name` is the path for messages. Raises FileAccessError.
    """
    try:
        # to open a device may do something already; the check that counts is that of the open file
        _require_regular(os.stat(path), display_name)  # noqa: PTH116 - Path.stat takes three times as long
        descriptor = os.open(path, _READ)
    except (OSError, ValueError) as error:
        raise _read_error(display_name, error) from error
    try:
        status = os.fstat(descriptor)
        _require_regular(status, display_name)
        if within is not ANYWHERE:
            _require_within(descriptor, path, display_name, within)
        return _read_descriptor(descriptor, status.st_size, display_name)
    except OSError as error:
        raise _read_error(display_name, error) from error
    finally:
        os.close(descriptor)


def write_file(path: Path, display_name: str, content: bytes, within: Sequence[Path] | None) -> None:
    """Writes a regular file whole or not at all, with the permissions that it had.

    A link stays a link: the file that it leads to is written, which must lie below one of the folders `within`. Raises
    FileRefused.
    """
    target = Path(os.path.realpath(path))
    try:
        with _open_folder(target.parent) as folder:
            if within is not ANYWHERE:
                _require_within(folder, target.parent, display_name, within)
            _replace_file(target.name, folder, content, display_name)
    except OSError as error:
        raise _write_error(display_name, error) from error


def create_file(path: Path, shown: str, content: bytes) -> None:
    """Writes a new file, never over what is there. Raises FileAccessError."""
    try:
        with _open_folder(path.parent) as folder:
            _create(path.name, folder, content, None)
    except FileExistsError as error:
        raise FileAccessError(
            "exists", f"{shown} exists already", "give another name, or move that file away"
        ) from error
    except OSError as error:
        raise _write_error(shown, error) from error


def make_folder(folder: Path, shown: str) -> None:
    """Makes a folder, and those above it, unless it is there. Raises FileAccessError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _write_error(shown, error) from error


def write_named_file(path: Path, content: bytes) -> None:
    """Write a file that the user named: a regular one whole or not at all, or a pipe or device.

    Raises FileAccessError.
    """
    if is_replaced(path):
        return write_file(path, str(path), content, ANYWHERE)
    try:
        descriptor = open_named_file(path)
        os.set_blocking(descriptor, True)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except OSError as error:
        raise _write_error(str(path), error) from error


def open_named_file(path: Path) -> int:
    """Opens what the user named to write it piece by piece: it is made or emptied. Raises OSError.

    A pipe that nobody reads is an error, and what cannot be written at once is one: nothing waits for a reader.
    """
    return os.open(path, _WRITE, 0o666)


def is_replaced(path: Path) -> bool:
    """Whether to write the file is to replace it: not what has another purpose, such as /dev/stdout or a pipe."""
    first = Path(os.path.realpath(path.parent)).parts[1:2]
    return first not in (("dev",), ("proc",)) and (path.is_file() or not path.exists())


def write_own_file(root: Path, name: str, text: str) -> None:
    """Write a file below `.confiture/`, which git ignores. Raises FileAccessError, also if that folder leads away."""
    folder = root / OWN_FOLDER
    for path, content in ((folder / ".gitignore", "*\n"), (folder / name, text)):
        shown = display_path(path, root)
        make_folder(path.parent, shown)
        write_file(path, shown, content.encode(), (root,))


def _read_descriptor(descriptor: int, size: int, display_name: str) -> bytes:
    """The content of an open file. A file may grow, or say that it is empty, as those of /proc do."""
    pieces: list[bytes] = []
    left = MAX_BYTES + 1
    if size < left:
        while left > 0 and (piece := os.read(descriptor, min(left, size + 4096))):
            pieces.append(piece)
            left -= len(piece)
        if left > 0:
            return b"".join(pieces)
    held = f"{size:,} bytes" if size > MAX_BYTES else f"over {MAX_BYTES:,} bytes"
    message = f"{display_name} is too large: {held}; the limit is {MAX_BYTES:,} bytes (64 MiB)"
    raise FileAccessError("file-too-large", message, "split the file; load data with COPY, not with migrations")


def _replace_file(name: str, folder: int, content: bytes, display_name: str) -> None:
    mode = _existing_mode(name, folder, display_name)
    temporary = f".{name[:200]}.{secrets.token_hex(4)}"
    _create(temporary, folder, content, mode)
    try:
        os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        os.unlink(temporary, dir_fd=folder)
        raise


def _create(name: str, folder: int, content: bytes, mode: int | None) -> None:
    """Makes a file, whole or not at all."""
    descriptor = os.open(name, _CREATE, 0o666, dir_fd=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if mode is not None:
                os.fchmod(descriptor, mode)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
    except BaseException:
        os.unlink(name, dir_fd=folder)
        raise


def _existing_mode(name: str, folder: int, display_name: str) -> int | None:
    """The permissions of the file that is replaced; None without one."""
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    _require_regular(status, display_name)
    return stat.S_IMODE(status.st_mode)


@contextmanager
def _open_folder(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _require_regular(status: os.stat_result, display_name: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = next((kind for is_kind, kind in _KINDS if is_kind(status.st_mode)), "special file")
        message = f"{display_name} is a {kind}, not a regular file"
        raise FileAccessError("not-a-file", message, "put a regular file there, or name another file")


def _require_within(descriptor: int, path: Path, display_name: str, within: Sequence[Path]) -> None:
    location = _find_location(descriptor, path)
    if location is None:
        raise FileAccessError(
            "unreadable-file", f"{display_name} was replaced while it was opened", "run the command again"
        )
    if not any(_is_below(location, folder) for folder in within):
        message = f"{display_name} leads out of the project, to {display_path(Path(location), within[0])}"
        hint = "put the file itself into the project; links may only lead to files in it"
        raise FileAccessError(LEAVES_PROJECT, message, hint)


def _find_location(descriptor: int, path: Path) -> str | None:
    """Where an open file lies, with no link in its path; None if that changes just now."""
    try:
        return os.readlink(f"{_DESCRIPTORS}/{descriptor}")  # noqa: PTH115 - Path takes three times as long
    except OSError:  # not on Linux
        location = os.path.realpath(path)
        return location if os.path.samestat(os.lstat(location), os.fstat(descriptor)) else None


def _is_below(location: str, folder: Path) -> bool:
    # a location that begins with the folder's path proves that this has no link in it
    return _is_path_below(location, str(folder)) or _is_path_below(location, os.path.realpath(folder))


def _is_path_below(location: str, folder: str) -> bool:
    return location == folder or location.startswith(f"{folder.rstrip(os.sep)}{os.sep}")


def _read_error(display_name: str, error: OSError | ValueError) -> FileAccessError:
    hint = "put the file there, or name another; it must be one that you may read"
    return FileAccessError("unreadable-file", f"cannot read {display_name}: {_error_reason(error)}", hint)


def _write_error(display_name: str, error: OSError) -> FileAccessError:
    hint = "make the file and its folder writable, or name another file"
    return FileAccessError("unwritable-file", f"cannot write {display_name}: {_error_reason(error)}", hint)


def _error_reason(error: OSError | ValueError) -> str:
    return (getattr(error, "strerror", None) or str(error)).lower()
