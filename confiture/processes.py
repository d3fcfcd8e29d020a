"""Work in a process of its own, while this one works on: Python's threads take turns on one processor."""

from __future__ import annotations

import os
import pickle
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, TypeVar

_T = TypeVar("_T")
_LATER = 5
"""How far a copy steps back: the others wait for the process that it helps."""


def may_fork() -> bool:
    """Whether a copy of this process is safe and of use: no other thread can hold a lock, and it has a processor."""
    if sys.platform != "linux":
        return False
    try:
        threads = len(list(os.scandir("/proc/self/task")))  # those of libraries too, of which Python knows nothing
    except OSError:
        return False
    return threads == 1 and len(os.sched_getaffinity(0)) > 1


@contextmanager
def forked(work: Callable[[BinaryIO], object]) -> Iterator[BinaryIO]:
    """Starts a copy of this process that does `work`, and gives what it writes there.

    Nobody is told of an error of `work`: what it has written until then is all there is. The copy ends with its work,
    or when nobody needs it any more.
    """
    _flush()  # or the copy would print again what waits to be printed
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        os.nice(_LATER)
        _do(work, writer)
    os.close(writer)
    try:
        with os.fdopen(reader, "rb") as results:
            yield results
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _do(work: Callable[[BinaryIO], object], writer: int) -> None:
    try:
        with os.fdopen(writer, "wb") as results:
            work(results)
    finally:
        # whatever happened: what else this process would do at its end is its parent's
        os._exit(0)


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()


@contextmanager
def meanwhile(work: Callable[[], _T]) -> Iterator[Callable[[], _T]]:
    """Does `work` in another process, and gives the function that waits for what it returns, which must be picklable.

    Where that process does not come to an end, the function does the work here, and raises what it raises.
    """
    with forked(lambda results: results.write(_pickled(work))) as results:
        yield lambda: _loaded(results, work)


def _pickled(work: Callable[[], object]) -> bytes:
    """What work returns. As a whole, for a pipe takes little while nobody reads, and behind all that it prints."""
    pickled = pickle.dumps(work(), pickle.HIGHEST_PROTOCOL)
    _flush()
    return pickled


def _loaded(results: BinaryIO, work: Callable[[], _T]) -> _T:
    try:
        loaded: _T = pickle.load(results)  # noqa: S301 (written by a copy of this process)
    except (EOFError, pickle.UnpicklingError):
        return work()
    return loaded
