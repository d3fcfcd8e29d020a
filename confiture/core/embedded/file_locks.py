"""File locks that the operating system releases when the holder dies for any reason.

These are `flock` locks, which belong to an open file description. Two threads, or two objects in one process, exclude
each other in the same way as two processes do, and a child that inherits the descriptor also inherits the lock. By
contrast, the record locks from `fcntl.lockf`, which most libraries use, belong to the process. They are released as
soon as the process closes any descriptor for the file.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_POLL_SECONDS = 0.02


def try_lock(path: Path, *, shared: bool = False) -> int | None:
    """Open the file, creating it if it is missing, and try to lock it without waiting.

    Return the descriptor that holds the lock, or None if the file is already locked. Raise OSError if the file cannot
    be opened or its file system does not support locks.
    """
    import fcntl

    # Read-only mode is sufficient for flock, and also works for a user who cannot write to the file.
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
    """Release the lock for all processes that inherited the descriptor, and close it."""
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


@contextmanager
def hold_lock(path: Path, *, shared: bool = False, timeout_s: float) -> Iterator[None]:
    """Hold the lock, after waiting for it up to `timeout_s`. Raise TimeoutError after that."""
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
    """Whether the file is locked exclusively. A missing file is not locked, and is not created."""
    if not path.exists():
        return False
    descriptor = try_lock(path, shared=True)
    if descriptor is None:
        return True
    unlock(descriptor)
    return False


def find_lock_processes(path: Path) -> tuple[str, ...]:
    """Return the processes that lock the file, as `process 4711 (psql -X)`; empty if the system cannot list them."""
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
