"""Locks on files that the operating system drops when their holder dies, however it dies.

These are `flock` locks: they belong to one opening of a file, so two threads, or two objects in one process, exclude
each other like two processes do, and a child that inherits the descriptor inherits the lock. The record locks of
`fcntl.lockf`, which the usual libraries take, belong to the process and go as soon as it closes any descriptor of
the file.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_POLL_SECONDS = 0.02


def try_lock(path: Path, *, shared: bool = False) -> int | None:
    """Opens the file (made when missing) and locks it at once.

    Returns the descriptor that holds the lock, or None when others hold it. Raises OSError when the file cannot be
    opened or its file system knows no locks.
    """
    import fcntl

    # Read-only suffices for flock, and lets a user in who may not write the file of another one.
    descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def unlock(descriptor: int) -> None:
    """Drops the lock for everybody who inherited the descriptor, and closes it."""
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


@contextmanager
def hold_lock(path: Path, *, shared: bool = False, timeout_s: float) -> Iterator[None]:
    """Holds the lock, waiting for it up to so many seconds. Raises TimeoutError when others keep it for longer."""
    deadline = time.monotonic() + timeout_s
    while (descriptor := try_lock(path, shared=shared)) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(path)
        time.sleep(_POLL_SECONDS)
    try:
        yield
    finally:
        unlock(descriptor)


def is_locked(path: Path) -> bool:
    """Whether anybody holds the file exclusively. A missing file is held by nobody, and is not made."""
    if not path.exists():
        return False
    descriptor = try_lock(path, shared=True)
    if descriptor is None:
        return True
    unlock(descriptor)
    return False


def find_lock_processes(path: Path) -> tuple[str, ...]:
    """The processes that hold the file, as `process 4711 (psql -X)`. Empty where the system does not tell."""
    try:
        inode = str(path.stat().st_ino)
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return ()
    # 1: FLOCK  ADVISORY  READ 4711 fe:00:1835013 0 EOF
    fields = [line.split() for line in lines if "->" not in line]
    pids = {int(field[4]) for field in fields if field[1] == "FLOCK" and field[5].rpartition(":")[2] == inode}
    return tuple(f"process {pid}{_format_command(pid)}" for pid in sorted(pids) if pid > 0)


def _format_command(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    except OSError:
        return ""
    return f" ({b' '.join(words).decode(errors='replace')[:100]})"
