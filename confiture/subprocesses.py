"""Running work in a child process in parallel with this process, because Python threads share one processor."""

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
    """Whether forking is safe and useful: no other thread can hold a lock, and there are several processors."""
    if sys.platform != "linux":
        return False
    try:
        threads = len(list(os.scandir("/proc/self/task")))  # including native threads from libraries
    except OSError:
        return False
    return threads == 1 and len(os.sched_getaffinity(0)) > 1


@contextmanager
def forked_child(task: Callable[[BinaryIO], object]) -> Iterator[BinaryIO]:
    """Fork a child process that runs `task`, and provide the child's output.

    Errors in `task` are not reported. The caller reads the output written before the error, or nothing if the fork
    failed. The child ends after its task or at the end of the context.
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
    """Fork the child. Return its process ID and output. Raise OSError if no file or process is available."""
    _flush_streams()  # otherwise the child would print the buffered output again
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
    """Run the task in the child and exit."""
    try:
        os.close(reader)
        _die_with_parent(parent)
        gc.freeze()  # only the parent may finalize the parent's garbage (a connection, a folder)
        with os.fdopen(writer, "wb") as results:
            task(results)
    finally:
        # skip all exit handlers, even after an error, because the handlers belong to the parent
        os._exit(0)


def _die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when the parent dies, because a killed parent cannot end its child."""
    if sys.platform == "linux":
        CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def _kill_child(child: int) -> None:
    # a host program may already have reaped this child, e.g. with a SIGCHLD handler
    with suppress(ChildProcessError, ProcessLookupError):
        if os.waitpid(child, os.WNOHANG) == (0, 0):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def _flush_streams() -> None:
    for stream in (sys.stdout, sys.stderr):
        # the host program may have closed the stream or its reader, and reports this itself
        with suppress(AttributeError, OSError, ValueError):
            stream.flush()


@contextmanager
def run_in_child(task: Callable[[], _T]) -> Iterator[Callable[[], _T]]:
    """Run `task` in a child process, and provide a function that waits for the result. The result must be picklable.

    If the child fails, the function runs the task in this process and raises the task's errors.
    """
    with forked_child(lambda results: results.write(dump_result(task))) as results:
        yield lambda: load_result(results, task)


def dump_result(task: Callable[[], object]) -> bytes:
    """Return the pickled result of a task, with the secrets that the task added.

    The result is completed before the first write, because a pipe buffers little until the parent reads from it, and
    the result must follow all of the task's output.
    """
    result = task()
    pickled = pickle.dumps((known_secrets(), result), pickle.HIGHEST_PROTOCOL)
    _flush_streams()
    return pickled


def load_result(results: BinaryIO, task: Callable[[], _T]) -> _T:
    """Return the result that a child process pickled; without one, run the task here."""
    try:
        secrets, result = pickle.load(results)  # noqa: S301 (written by a child of this process)
    except Exception:  # the output is empty, incomplete, or uses a class that this process does not define
        return task()
    add_known_secrets(secrets)
    return cast("_T", result)
