"""`python -m benchmarks.properties [NAME...]`: the property tests at full length, all or those with these names.

The suite runs a sample of each. `CONFITURE_SEED=N` takes other examples; so does the suite.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_REPOSITORY = Path(__file__).parents[1]


def main(names: list[str]) -> int:
    """Run the tests; return the exit code of pytest."""
    command = [sys.executable, "-m", "pytest", "-v", "-m", "property", "--durations=0", "--durations-min=1"]
    selection = ["-k", " or ".join(names)] if names else []
    environment = os.environ | {"CONFITURE_FULL_PROPERTIES": "1"}
    return subprocess.run([*command, *selection], cwd=_REPOSITORY, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
