"""What a backfill makes of kills and of others who write: the same result, nothing twice, and a short lock at the end."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import threading
import time

import psycopg

from benchmarks.backfill import CUSTOMERS, DIFFERENT, make_shop, project
from benchmarks.bench import Bench
from benchmarks.results import Result, rows_of
from benchmarks.timing import Command, CommandFailed, Run, Sample, environment

KILLS = 20
WRITERS = 2
_BATCH_ROWS = 200
_QUIET, _BUSY = "nobody writes", f"{WRITERS} sessions write"
_WRITES = (
    "INSERT INTO w_orders (tenant_id, customer_id, amount) SELECT tenant_id, id, 5 FROM w_customers WHERE id = %(id)s",
    "UPDATE w_orders SET amount = amount + 1 WHERE id = %(order)s",
    "DELETE FROM w_orders WHERE id = %(order)s",
    "UPDATE w_orders SET tenant_id = c.tenant_id, customer_id = c.id FROM w_customers c"
    " WHERE w_orders.id = %(order)s AND c.id = %(id)s",
    "DELETE FROM w_customers WHERE id = %(id)s",
    "UPDATE w_customers SET tenant_id = %(tenant)s WHERE id = %(id)s",
    "INSERT INTO w_customers VALUES (%(tenant)s, %(new)s, 'new')",
)


def run(bench: Bench) -> Result:
    """A fill that is killed again and again, alone and beside writers."""
    runs = bench.runs(1)
    samples = {_QUIET: Sample(), _BUSY: Sample()}
    told = []
    for number in range(runs):
        for name, writers in ((_QUIET, 0), (_BUSY, WRITERS)):
            try:
                found = _round(bench, f"backfill_chaos_{number}_{writers}", writers, seed=number)
            except CommandFailed as failure:
                samples[name].failure = str(failure)
                continue
            samples[name].runs.append(Run(wall_ms=found.locked_ms, cpu_ms=0.0))
            told.append(f"{name}: {found.sentence}")
    return Result(
        name="backfill-chaos",
        title=f"A backfill of {CUSTOMERS:,} rows, killed {KILLS} times",
        how=(
            f"the times are for how long others could not write at its end; each kill -9 goes to the client, and half of "
            f"them to a server process of it before; batches of about {_BATCH_ROWS} rows, 2 workers; compared with the "
            f"defining query at the end. {'; '.join(told)}"
        ),
        baseline=_QUIET,
        rows=rows_of(samples, {_BUSY: "under 1,000 ms"}),
    )


class _Found:
    """What a round found."""

    def __init__(self, locked_ms: float, sentence: str) -> None:
        self.locked_ms = locked_ms
        self.sentence = sentence


def _round(bench: Bench, database: str, writers: int, seed: int) -> _Found:
    make_shop(bench, database, CUSTOMERS)
    options = ["workers: 2", f"batch_rows: {_BATCH_ROWS}", "batch_time: 15ms", "on_writes: capture"]
    up = bench.confiture.up(project(bench, database, options), bench.server.socket, database, "--format", "json")
    stop = threading.Event()
    counts = [0] * writers
    url = bench.server.url(database)
    threads = [threading.Thread(target=_write, args=(url, seed + n, stop, counts, n)) for n in range(writers)]
    for thread in threads:
        thread.start()
    try:
        numbers = random.Random(seed)
        kills = sum(_killed(up, url, numbers) for _ in range(KILLS))
        document = _finish(up)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    steps = [step for migration in document["migrations"] for step in migration["steps"]]
    note = next(step["note"] for step in steps if step["note"])
    _require_equal(url, database, document["finished_writes"] if writers else None)
    wasted = _inserted_twice(url) if not writers else None
    sentence = f"{kills} kills while it ran"
    if wasted is not None:
        sentence += f", {wasted / max(kills, 1):,.0f} rows a kill made twice, and taken back once"
    else:
        sentence += f", {sum(counts):,} writes"
    return _Found(float(note.rsplit(" for ", 1)[1].split()[0]), sentence)
