"""What a backfill makes of kills and of others who write: the same result, nothing twice, a short lock."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import threading
import time
from dataclasses import dataclass

import psycopg

from benchmarks.backfill import CUSTOMERS, DIFFERENT, make_shop, project
from benchmarks.bench import Bench
from benchmarks.results import Result, rows_of
from benchmarks.timing import Command, CommandFailed, Run, Sample, environment

KILLS = 20
WRITERS = 2
_BATCH_ROWS = 500
_SLOWLY = """
    CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.1); RETURN NULL; END';
    CREATE TRIGGER slowly AFTER INSERT ON r_totals EXECUTE FUNCTION slowly()
"""
_OURS = (
    "SELECT pid FROM pg_stat_activity"
    " WHERE application_name LIKE 'confiture backfill (%' AND datname = current_database()"
)
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
            f"the times are for how long others could not write at its end; each kill -9 goes to the client, half of "
            f"them after one to a server process of it; batches of about {_BATCH_ROWS} rows, each held up for 100 "
            f"ms, so that most kills meet one; 2 workers; compared with the defining query at the end. "
            f"{'; '.join(told)}"
        ),
        baseline=_QUIET,
        rows=rows_of(samples, {_BUSY: "under 1,000 ms"}),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
    """What a round found."""

    locked_ms: float
    sentence: str


def _round(bench: Bench, database: str, writers: int, seed: int) -> _Found:
    make_shop(bench, database, CUSTOMERS)
    options = ["workers: 2", f"batch_rows: {_BATCH_ROWS}", "batch_time: 110ms", "on_writes: capture"]
    up = bench.confiture.up(project(bench, database, options), bench.server.socket, database, "--format", "json")
    url = bench.server.url(database)
    with psycopg.connect(url) as connection:
        connection.execute(_SLOWLY)
    crowd = [_Writer(url, seed + number) for number in range(writers)]
    for writer in crowd:
        writer.start()
    numbers = random.Random(seed)
    kills = sum(_killed(up, url, numbers) for _ in range(KILLS))
    note = _finished(up)
    for writer in crowd:
        writer.join()
    with psycopg.connect(url) as connection:
        different = connection.execute(DIFFERENT.encode()).fetchone()
        if different is None or different[0]:
            raise CommandFailed(f"{different} rows differ from the defining query")
        inserted = connection.execute("SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = 'r_totals'").fetchone()
    sentence = f"{kills} kills met it at work, {note}"
    if crowd:
        sentence += f", {sum(writer.writes for writer in crowd):,} writes, no difference"
    elif inserted:
        # the server also counts what it rolled back
        sentence += f", {(inserted[0] - CUSTOMERS) / max(kills, 1):,.0f} rows a kill done again, no difference"
    return _Found(locked_ms=float(note.rsplit(" for ", 1)[1].split()[0]), sentence=sentence)


def _killed(up: Command, url: str, numbers: random.Random) -> bool:
    """Starts a run and kills it; whether it was at work by then."""
    process = subprocess.Popen(
        [str(argument) for argument in up.arguments],
        cwd=up.folder,
        env=environment(up),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with psycopg.connect(url, autocommit=True) as connection:
        while process.poll() is None and not connection.execute(_OURS).rowcount:
            time.sleep(0.05)
        time.sleep(numbers.uniform(0.05, 0.6))
        if numbers.random() < 0.5:
            for (pid,) in connection.execute(f"{_OURS} ORDER BY random() LIMIT 1").fetchall():
                connection.execute("SELECT pg_terminate_backend(%s)", (pid,))
            time.sleep(0.05)
    was_at_work = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    return was_at_work


def _finished(up: Command) -> str:
    """Runs to the end, and returns what that said of the backfill."""
    done = subprocess.run(
        [str(argument) for argument in up.arguments],
        cwd=up.folder,
        env=environment(up),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CommandFailed(f"ended with {done.returncode}: {done.stderr}")
    steps = [step for migration in json.loads(done.stdout)["migrations"] for step in migration["steps"]]
    return str(next((step["note"] for step in steps if step["note"]), "it was done before: for 0 ms"))


class _Writer(threading.Thread):
    """Writes until the backfill is done; what it wrote after that is rolled back."""

    def __init__(self, url: str, seed: int) -> None:
        super().__init__(daemon=True)
        self._url = url
        self._numbers = random.Random(seed)
        self.writes = 0

    def run(self) -> None:
        is_done = False
        while not is_done:
            try:
                with psycopg.connect(self._url) as connection:
                    while not (is_done := self._wrote_too_late(connection)):
                        time.sleep(0.002)
            except psycopg.OperationalError:
                continue

    def _wrote_too_late(self, connection: psycopg.Connection) -> bool:
        number = self._numbers.randint(1, CUSTOMERS)
        values = {
            "id": number,
            "order": self._numbers.randint(1, CUSTOMERS * 10),
            "tenant": self._numbers.randint(1, 100),
            "new": CUSTOMERS + number,
        }
        try:
            connection.execute(self._numbers.choice(_WRITES), values)
            known = connection.execute("SELECT to_regclass('confiture.backfills') IS NOT NULL").fetchone()
            if known and known[0]:
                row = connection.execute("SELECT max(state) = 'done' FROM confiture.backfills").fetchone()
                if row and row[0]:
                    connection.rollback()
                    return True
            connection.commit()
            self.writes += 1
        except (psycopg.errors.UniqueViolation, psycopg.errors.DeadlockDetected, psycopg.errors.UndefinedTable):
            connection.rollback()
        return False
