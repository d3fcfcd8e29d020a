"""The entry point of `confiture` and `python -m confiture`."""

from __future__ import annotations

import gc
import sys

_NEW_OBJECTS = 200_000
"""The threshold of the garbage collector (Python's default: 700). A run of 200 migrations creates fewer objects."""


def run() -> None:
    """Run the command line in its own process and exit with its code."""
    # imported modules and files stay until the end: repeated collections take a fifth of a short run
    gc.set_threshold(_NEW_OBJECTS)
    try:
        from confiture.cli.app import main

        main()
    except KeyboardInterrupt:
        # before a command started
        sys.stderr.write("interrupted\n")
        sys.exit(130)
    finally:
        # skip the final collection, too
        gc.freeze()


if __name__ == "__main__":
    run()
