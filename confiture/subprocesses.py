"""Work in a child process in parallel with this process: Python's threads share one processor."""

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
    """Whether forking is safe and useful: no other thread can hold a lock, and several processors are available."""
    if sys.platform != "linux":
        return False
    try:
        threads = len(list(os.scandir("/proc/self/task")))  # including native threads of libraries
    except OSError:
        return False
    return threads == 1 and len(os.sched_getaffinity(0)) > 1


@contextmanager
def forked_child(task: Callable[[BinaryIO], object]) -> Iterator[BinaryIO]:
    """Fork a child process that runs `task`, and provide its output.

    Errors in `task` are not reported. The caller reads the output written before the error; nothing, if the fork
    failed. The child ends after its task, or at the end of the context.
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
    """Fork the child; return its process ID and its output. Raise OSError without free files or processes."""
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
        gc.freeze()  # garbage of the parent (a connection, a folder) must only be finalized by the parent
        with os.fdopen(writer, "wb") as results:
            task(results)
    finally:
        # skip all exit handlers, also after an error: they belong to the parent
        os._exit(0)


def _die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when its parent dies: a killed parent cannot do it."""
    if sys.platform == "linux":
        CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def _kill_child(child: int) -> None:
    # a host program may reap this child itself, e.g. with a SIGCHLD handler
    with suppress(ChildProcessError, ProcessLookupError):
        if os.waitpid(child, os.WNOHANG) == (0, 0):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def _flush_streams() -> None:
    for stream in (sys.stdout, sys.stderr):
        # the host program may have closed the stream, or its reader: the program reports this itself
        with suppress(AttributeError, OSError, ValueError):
            stream.flush()


@contextmanager
def run_in_child(task: Callable[[], _T]) -> Iterator[Callable[[], _T]]:
    """Run `task` in a child process, and provide a function that waits for its result, which must be picklable.

    If the child fails, the function runs the task in this process, and raises its errors.
    """
    with forked_child(lambda results: results.write(dump_result(task))) as results:
        yield lambda: load_result(results, task)


def dump_result(task: Callable[[], object]) -> bytes:
    """Return the pickled result of a task with the secrets that it added.

    The result is complete before the first write, because a pipe has a small buffer until the parent reads it, and it
    comes after all output of the task.
    """
    result = task()
    pickled = pickle.dumps((known_secrets(), result), pickle.HIGHEST_PROTOCOL)
    _flush_streams()
    return pickled


def load_result(results: BinaryIO, task: Callable[[], _T]) -> _T:
    """Return the result that a child process pickled; without one, run the task here."""
    try:
        secrets, result = pickle.load(results)  # noqa: S301 (written by a child of this process)
    except Exception:  # the output is empty, incomplete, or of a class that this process does not have
        return task()
    add_known_secrets(secrets)
    return cast("_T", result)
