"""`python -m benchmarks.calibration`: how often the stated range of a dry run holds the real time.

Many rounds of the same: a dry run with repeats on a fresh database, then the real run there. The share of rounds whose
real time lies in the stated range is printed beside the share that the range promises.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

import psycopg

from benchmarks.server import Server, running_server
from confiture.core.dry_run.estimates import LEVEL_PERCENT

_DATABASE = "calibration"
_SETUP = """
CREATE TABLE w_order (id bigint PRIMARY KEY, tenant_id int NOT NULL, amount numeric(12, 2) NOT NULL);
INSERT INTO w_order SELECT n, n % 50, n % 97 FROM generate_series(1, 200000) AS n;
ANALYZE w_order
"""
_MIGRATION = """\
ddl:
  - sql: CREATE TABLE r_sum (tenant_id int PRIMARY KEY, total numeric NOT NULL)
  - sql: ALTER TABLE w_order ADD CONSTRAINT w_order_amount_check CHECK (amount >= 0)
  - sql: CREATE INDEX w_order_tenant ON w_order (tenant_id)
after_ddl:
  - sql: INSERT INTO r_sum SELECT tenant_id, sum(amount) FROM w_order GROUP BY tenant_id
  - sql: UPDATE w_order SET amount = amount + 1 WHERE tenant_id < 10
"""


def main() -> None:
    """Runs the rounds and prints what was promised and what was found."""
    options = _options()
    outcomes: list[dict[str, Any]] = []
    with running_server() as server:
        project = _project(server)
        for number in range(1, options.rounds + 1):
            outcomes.append(_round(server, project, options.repeat))
            print(f"round {number} of {options.rounds}", end="\r", file=sys.stderr, flush=True)
    held = sum(row["predicted_low_ms"] <= row["steps_took_ms"] <= row["predicted_high_ms"] for row in outcomes)
    ratio = median(row["steps_took_ms"] / row["predicted_ms"] for row in outcomes)
    width = median((row["predicted_high_ms"] - row["predicted_low_ms"]) / row["predicted_ms"] for row in outcomes)
    print(f"{options.rounds} rounds, each a dry run with --repeat {options.repeat} and then the real run")
    print(f"range promised to hold: {LEVEL_PERCENT} % of the real times")
    print(f"range held:             {100 * held / len(outcomes):.0f} % ({held} of {len(outcomes)})")
    print(f"real over predicted:    {ratio:.2f} (median)")
    print(f"width of the range:     {100 * width:.0f} % of the prediction (median)")


def _round(server: Server, project: Path, repeat: int) -> dict[str, Any]:
    server.create_anew(_DATABASE)
    with psycopg.connect(server.url(_DATABASE), autocommit=True) as connection:
        connection.execute(_SETUP.encode())
    _confiture(server, project, "up", "--dry-run", "--repeat", str(repeat), "--format", "json")
    _confiture(server, project, "up", "--format", "json")
    status = json.loads(_confiture(server, project, "status", "--format", "json"))
    applied: dict[str, Any] = status["applied"][0]
    return applied


def _confiture(server: Server, project: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "confiture", "migrate", *arguments, "--database", server.url(_DATABASE)]
    return subprocess.run(command, cwd=project, check=True, capture_output=True, text=True).stdout


def _project(server: Server) -> Path:
    folder = server.folder / "calibration"
    (folder / "migrations").mkdir(parents=True)
    (folder / "confiture.yaml").write_text("migrations: migrations\n")
    (folder / "migrations" / "001_change.yaml").write_text(_MIGRATION)
    return folder


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calibration", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, metavar="N", help="default: 20")
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="dry runs before each real run; default: 5")
    return parser.parse_args()


if __name__ == "__main__":
    main()
