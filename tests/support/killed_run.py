"""`migrate up` that kills itself at an event, in a process of its own."""

from __future__ import annotations

import os
import signal
from multiprocessing import get_context
from pathlib import Path

from tests.support.engine import migrate_up
from tests.support.projects import Project


def kill_at(number: int, root: Path, url: str) -> int | None:
    """Runs it until the event of that number, counted from 1; the exit code of its process."""
    # all of them are forked from one process that has imported what they need
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=_run, args=(number, root, url))
    process.start()
    process.join()
    return process.exitcode


def _run(number: int, root: Path, url: str) -> None:
    left = number

    def kill(_: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    migrate_up(Project(root), kill, url=url).expect(0)
