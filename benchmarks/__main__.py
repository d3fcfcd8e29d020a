"""`python -m benchmarks`: measures, and prints ratios side by side."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict

from rich.console import Console

from benchmarks import (
    atomic,
    backfill,
    backfill_chaos,
    blocking,
    build,
    dry_run,
    lint,
    nothing_pending,
    small_migrations,
    startup,
    tenancy,
)
from benchmarks.bench import Bench
from benchmarks.machine import conditions, load
from benchmarks.peers import install_peers
from benchmarks.printing import print_conditions, print_result
from benchmarks.results import Result
from benchmarks.server import running_server

BENCHMARKS: dict[str, Callable[[Bench], Result]] = {
    "start-up": startup.run,
    "nothing-pending": nothing_pending.run,
    "small-migrations": small_migrations.run,
    "atomic": atomic.run,
    "dry-run": dry_run.run,
    "blocking": blocking.run,
    "backfill": backfill.run,
    "backfill-chaos": backfill_chaos.run,
    "lint": lint.run,
    "build": build.run,
    "tenancy": tenancy.run,
}


def main() -> None:
    """Runs the benchmarks that the command line asks for."""
    options = _options()
    talk = Console(stderr=True)
    output = Console(width=None if Console().is_terminal else 140)
    peers = install_peers(lambda text: talk.print(text, markup=False)) if options.peers else ()
    results: list[Result] = []
    load_before = load()
    with running_server() as server:
        bench = Bench(
            server=server,
            peers=[peer.tool for peer in peers if peer.tool],
            linters=[peer.linter for peer in peers if peer.linter],
            asked_runs=options.runs,
        )
        for name in options.only or BENCHMARKS:
            talk.print(f"measuring {name} ...")
            result = BENCHMARKS[name](bench)
            results.append(result)
            if not options.json:
                print_result(output, result)
        found = conditions(server, peers, load_before)
    if options.json:
        document = {"conditions": asdict(found), "results": [result.document() for result in results]}
        print(json.dumps(document, indent=2))
    else:
        print_conditions(output, found)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(BENCHMARKS), metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--runs", type=_count, metavar="N", help="rounds of each benchmark; default: its own number")
    parser.add_argument("--no-peers", dest="peers", action="store_false", help="leave other migration tools out")
    parser.add_argument("--json", action="store_true", help="print every time that was measured as JSON")
    return parser.parse_args()


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


main()
