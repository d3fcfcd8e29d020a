"""`migrate up` that kills itself at an event: python -m tests.killed_run ROOT URL NUMBER."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from tests.engine import migrate_up
from tests.fix_projects import Project


def main(root: str, url: str, number: str) -> None:
    left = int(number)

    def kill(_: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    migrate_up(Project(Path(root)), kill, url=url).expect(0)


main(*sys.argv[1:])
