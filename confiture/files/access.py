"""Reading and writing a project's files.

Checks apply to the open file, never to the path, because another process may replace the file between two accesses by
path.
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
"""The value of `within` for a file that the user named on the command line, or for a file that is already running."""

_KINDS = (
    (stat.S_ISDIR, "folder"),
    (stat.S_ISFIFO, "pipe"),
    (stat.S_ISSOCK, "socket"),
    (stat.S_ISCHR, "device"),
    (stat.S_ISBLK, "device"),
)
_DESCRIPTORS = "/proc/self/fd"
"""The folder that contains Linux's links to open files."""

_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


LEAVES_PROJECT = "path-leaves-project"
"""The diagnostic code for a link to a file outside the project."""


class FileAccessError(InputError):
    """A file cannot be read or written."""

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(Diagnostic(code=code, message=message, hint=hint))

    def diagnostic_at(self, span: Span) -> Diagnostic:
        """Return the error as a diagnostic at a location."""
        return replace(self.diagnostics[0], span=span)


def display_path(path: Path, root: Path) -> str:
    """Return a path for messages: relative to the project's root if the file is below the root."""
    text, prefix = str(path), f"{root}{os.sep}"
    if text.startswith(prefix):  # the common case; `Path` is ten times slower
        display = text.removeprefix(prefix).replace(os.sep, "/")
    else:
        try:
            display = path.relative_to(root).as_posix()
        except ValueError:
            display = text
    return display if display.isascii() else os.fsencode(display).decode("utf-8", "replace")


def read_file(path: Path, display_name: str, within: Sequence[Path] | None) -> bytes:
    """Return the content of a regular file of at most MAX_BYTES. A link must lead to a file below a folder in `within`.

    `display_name` is the path for messages. Raise FileAccessError.
    """
    try:
        # opening a device may have side effects, so check the path first; the check on the open file is decisive
        _require_regular(os.stat(path), display_name)  # noqa: PTH116 - Path.stat is three times slower
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
    """Replace a regular file atomically and keep its permissions.

    A link is kept, and the file it leads to is replaced. That file must be below a folder in `within`. Raise
    FileAccessError.
    """
    target = Path(os.path.realpath(path))
    try:
        with _open_folder(target.parent) as folder:
            if within is not ANYWHERE:
                _require_within(folder, target.parent, display_name, within)
            _replace_file(target.name, folder, content, display_name)
    except OSError as error:
        raise _write_error(display_name, error) from error


def create_file(path: Path, shown: str, content: bytes, within: Sequence[Path] | None) -> None:
    """Create a file atomically, in a folder below one of `within`.

    Raise FileAccessError if that fails or the path exists.
    """
    try:
        with _open_folder(path.parent) as folder:
            if within is not ANYWHERE:
                _require_within(folder, path.parent, shown, within)
            _create_whole(path.name, folder, content)
    except FileExistsError as error:
        hint = "choose another name, or move the existing file"
        raise FileAccessError("exists", f"{shown} already exists", hint) from error
    except OSError as error:
        raise _write_error(shown, error) from error


def make_folder(folder: Path, shown: str) -> None:
    """Create a folder and its missing parents. Raise FileAccessError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _write_error(shown, error) from error


def write_named_file(path: Path, content: bytes) -> None:
    """Write a file that the user named: replace a regular file atomically, or write to a pipe or device.

    Raise FileAccessError.
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
    """Open a file that the user named for writing; create or truncate it. Raise OSError.

    The file is non-blocking: a pipe without a reader or with a slow reader is an error.
    """
    return os.open(path, _WRITE, 0o666)


def is_replaced(path: Path) -> bool:
    """Whether writing to a path replaces the file: true except for devices and pipes such as /dev/stdout."""
    first = Path(os.path.realpath(path.parent)).parts[1:2]
    return first not in (("dev",), ("proc",)) and (path.is_file() or not path.exists())


def write_own_file(root: Path, name: str, text: str) -> None:
    """Write a file below the `.confiture/` folder, which git ignores.

    Raise FileAccessError if that fails, or if `.confiture/` is a link to a folder outside the project.
    """
    folder = root / OWN_FOLDER
    for path, content in ((folder / ".gitignore", "*\n"), (folder / name, text)):
        shown = display_path(path, root)
        make_folder(path.parent, shown)
        write_file(path, shown, content.encode(), (root,))


def _read_descriptor(descriptor: int, size: int, display_name: str) -> bytes:
    """Return the content of an open file. The file may grow, or report a size of 0 as files in /proc do."""
    pieces: list[bytes] = []
    remaining = MAX_BYTES + 1
    if size < remaining:
        while remaining > 0 and (piece := os.read(descriptor, min(remaining, size + 4096))):
            pieces.append(piece)
            remaining -= len(piece)
        if remaining > 0:
            return b"".join(pieces)
    actual = f"{size:,} bytes" if size > MAX_BYTES else f"over {MAX_BYTES:,} bytes"
    message = f"{display_name} is too large: {actual}; the limit is {MAX_BYTES:,} bytes (64 MiB)"
    raise FileAccessError("file-too-large", message, "split the file, and load data with COPY instead of migrations")


def _create_whole(name: str, folder: int, content: bytes) -> None:
    """Create a file that never exists with a part of its content. Raise FileExistsError."""
    temporary = _temporary_name(name)
    _create(temporary, folder, content, None)
    try:
        # unlike a rename, a link never replaces a file
        os.link(temporary, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:  # the file system has no hard links
        _create(name, folder, content, None)
    finally:
        os.unlink(temporary, dir_fd=folder)


def _temporary_name(name: str) -> str:
    return f".{name[:200]}.{secrets.token_hex(4)}"


def _replace_file(name: str, folder: int, content: bytes, display_name: str) -> None:
    mode = _existing_mode(name, folder, display_name)
    temporary = _temporary_name(name)
    _create(temporary, folder, content, mode)
    try:
        os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        os.unlink(temporary, dir_fd=folder)
        raise


def _create(name: str, folder: int, content: bytes, mode: int | None) -> None:
    """Create a file with this content; remove the file after an error."""
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
    """Return the permissions of the file to replace; None if the file does not exist."""
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
        raise FileAccessError("not-a-file", message, "name a regular file")


def _require_within(descriptor: int, path: Path, display_name: str, within: Sequence[Path]) -> None:
    location = _find_location(descriptor, path)
    if location is None:
        raise FileAccessError(
            "unreadable-file", f"{display_name} was replaced while Confiture opened it", "run the command again"
        )
    if not any(_is_below(location, folder) for folder in within):
        message = f"{display_name} is outside the project, at {display_path(Path(location), within[0])}"
        hint = "move the file into the project; links must lead to files in the project"
        raise FileAccessError(LEAVES_PROJECT, message, hint)


def _find_location(descriptor: int, path: Path) -> str | None:
    """Return the path of an open file with links resolved; None if the file is being replaced."""
    try:
        return os.readlink(f"{_DESCRIPTORS}/{descriptor}")  # noqa: PTH115 - Path is three times slower
    except OSError:  # not on Linux
        location = os.path.realpath(path)
        return location if os.path.samestat(os.lstat(location), os.fstat(descriptor)) else None


def _is_below(location: str, folder: Path) -> bool:
    # if the location begins with the folder's path, the folder's path contains no link
    return _is_path_below(location, str(folder)) or _is_path_below(location, os.path.realpath(folder))


def _is_path_below(location: str, folder: str) -> bool:
    return location == folder or location.startswith(f"{folder.rstrip(os.sep)}{os.sep}")


def _read_error(display_name: str, error: OSError | ValueError) -> FileAccessError:
    hint = "check that the file exists and is readable"
    return FileAccessError("unreadable-file", f"cannot read {display_name}: {_error_reason(error)}", hint)


def _write_error(display_name: str, error: OSError) -> FileAccessError:
    hint = "make the file and its folder writable, or name another file"
    return FileAccessError("unwritable-file", f"cannot write {display_name}: {_error_reason(error)}", hint)


def _error_reason(error: OSError | ValueError) -> str:
    return (getattr(error, "strerror", None) or str(error)).lower()
