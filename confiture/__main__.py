"""The entry point of `confiture` and `python -m confiture`."""

from __future__ import annotations

import gc
import sys

_NEW_OBJECTS = 200_000
"""The garbage collector's threshold (Python's default: 700). A run of 200 migrations creates fewer objects."""


def run() -> None:
    """Run the command line as the process's main program, and exit with the command's exit code."""
    # imported modules and files live until the end, and repeated collections would take a fifth of a short run
    gc.set_threshold(_NEW_OBJECTS)
    try:
        from confiture.cli.app import main

        main()
    except KeyboardInterrupt:
        # interrupted before a command started
        sys.stderr.write("interrupted\n")
        sys.exit(130)
    finally:
        # also skip the final collection
        gc.freeze()


if __name__ == "__main__":
    run()
