"""The process of the command line: what `confiture` and `python -m confiture` start."""

from __future__ import annotations

import gc
import sys

_NEW_OBJECTS = 200_000
"""How many objects Python makes before it looks through them for cycles (by itself, 700): a run of 200 migrations makes
fewer.
"""


def run() -> None:
    """Runs the command line in a process that is there for nothing else, and exits as it does."""
    # what is imported and read stays until the end: looking through it time and again is a fifth of a short run
    gc.set_threshold(_NEW_OBJECTS)
    try:
        from confiture.cli.app import main

        main()
    except KeyboardInterrupt:
        # before a command began
        sys.stderr.write("interrupted\n")
        sys.exit(130)
    finally:
        # nor is there anything to be found when the process ends
        gc.freeze()


if __name__ == "__main__":
    run()
