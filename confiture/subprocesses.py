"""Work in a process of its own, while this one works on: Python's threads take turns on one processor."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from ctypes import CDLL
from io import BytesIO
from typing import BinaryIO, NoReturn, TypeVar, cast

from confiture.secrets import add_known_secrets, known_secrets

_T = TypeVar("_T")
_PR_SET_PDEATHSIG = 1


def can_fork() -> bool:
    """Whether a copy of this process is safe and of use: no other thread can hold a lock, and it has a processor."""
    if sys.platform != "linux":
        return False
    try:
        threads = len(list(os.scandir("/proc/self/task")))  # those of libraries too, of which Python knows nothing
    except OSError:
        return False
    return threads == 1 and len(os.sched_getaffinity(0)) > 1


@contextmanager
def forked_child(task: Callable[[BinaryIO], object]) -> Iterator[BinaryIO]:
    """Starts a copy of this process that does `task`, and gives what it writes there.

    Nobody is told of an error of `task`: what it has written until then is all there is, and that is nothing where the
    system has no room for a copy. The copy ends with its work, or when nobody needs it any more.
    """
    try:
        child, results = _fork_child(task)
    except OSError:
        yield BytesIO()
        return
    try:
        with results:
            yield results
    finally:
        _kill_child(child)


def _fork_child(task: Callable[[BinaryIO], object]) -> tuple[int, BinaryIO]:
    """Starts the copy; returns its number and what it writes. Raises OSError where there are no files or processes."""
    _flush_streams()  # or the copy would print again what waits to be printed
    parent = os.getpid()
    reader, writer = os.pipe()
    try:
        child = os.fork()
        if child == 0:
            _run_child(task, parent, reader, writer)
    except OSError:
        os.close(reader)
        raise
    finally:
        os.close(writer)
    return child, os.fdopen(reader, "rb")


def _run_child(task: Callable[[BinaryIO], object], parent: int, reader: int, writer: int) -> NoReturn:
    """What the copy does, and nothing after it."""
    try:
        os.close(reader)
        _die_with_parent(parent)
        gc.freeze()  # what the parent has let go (a connection, a folder) is the parent's to end
        with os.fdopen(writer, "wb") as results:
            task(results)
    finally:
        # whatever happened: what else this process would do at its end is its parent's
        os._exit(0)


def _die_with_parent(parent: int) -> None:
    """Has the system kill this process when its parent is killed, which cannot do that itself then."""
    if sys.platform == "linux":
        CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def _kill_child(child: int) -> None:
    # who uses us as a library may have its processes' ends seen to by others: then there is none to wait for
    with suppress(ChildProcessError, ProcessLookupError):
        if os.waitpid(child, os.WNOHANG) == (0, 0):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def _flush_streams() -> None:
    for stream in (sys.stdout, sys.stderr):
        # a program may have closed it, or nobody reads it: that is for the program to say
        with suppress(AttributeError, OSError, ValueError):
            stream.flush()


@contextmanager
def run_in_child(task: Callable[[], _T]) -> Iterator[Callable[[], _T]]:
    """Does `task` in another process, and gives the function that waits for what it returns, which must be picklable.

    Where that process does not come to an end, the function does the work here, and raises what it raises.
    """
    with forked_child(lambda results: results.write(dump_result(task))) as results:
        yield lambda: load_result(results, task)


def dump_result(task: Callable[[], object]) -> bytes:
    """What work returns, and the secrets that it learned. As a whole, for a pipe takes little while nobody reads, and
    behind all that it prints.
    """
    returned = task()
    result = pickle.dumps((known_secrets(), returned), pickle.HIGHEST_PROTOCOL)
    _flush_streams()
    return result


def load_result(results: BinaryIO, task: Callable[[], _T]) -> _T:
    """What a copy of this process pickled, or what work returns where it did not come to that."""
    try:
        known, result = pickle.load(results)  # noqa: S301 (written by a copy of this process)
    except Exception:  # there is nothing, or only a part, or of a class that this process does not have
        return task()
    add_known_secrets(known)
    return cast("_T", result)
