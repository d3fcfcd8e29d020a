"""How long a busy table's users wait while a migration wants it for itself."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from benchmarks.bench import Bench
from benchmarks.results import Result, rows_of
from benchmarks.server import Server
from benchmarks.timing import Command, CommandFailed, Run, Sample, environment, run_once
from confiture.core.db.blocking_monitor import POLL_S

ROWS = 6_000_000
CLIENTS = 8
RATE = 200
BUDGET_MS = 500
RETRIES = 3
_BAR_MS = BUDGET_MS + POLL_S * 1000
_DATABASE = "blocking"
_ALONE_S = 5.0
_BEFORE_S, _AFTER_S = 1.0, 0.5
_ALONE = "pgbench alone"
_PSQL = "psql, the same ALTER, rolled back"
_DRY_RUN = "confiture migrate up --dry-run"
_UP = "confiture migrate up"
_SETUP = f"""
CREATE TABLE w_busy (id bigint PRIMARY KEY, amount int NOT NULL, note text NOT NULL);
INSERT INTO w_busy SELECT n, n % 97, repeat('x', 80) FROM generate_series(1, {ROWS}) AS n;
"""
_ALTER = "ALTER TABLE w_busy ALTER COLUMN amount TYPE bigint"
_SCRIPTS = {
    "select.sql": "SELECT amount FROM w_busy WHERE id = :id;\n",
    "update.sql": "UPDATE w_busy SET amount = amount + 1 WHERE id = :id;\n",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Intruder:
    """What runs beside pgbench, None for nothing; how it must end, and what it must say then."""

    name: str
    command: Command | None
    ends_with: int = 0
    says: str = ""


def run(bench: Bench) -> Result:
    """pgbench on one table, alone and beside an ALTER that rewrites it."""
    server = bench.server
    server.create_anew(_DATABASE)
    with psycopg.connect(server.url(_DATABASE), autocommit=True) as connection:
        connection.execute(_SETUP.encode())
        connection.execute("VACUUM ANALYZE w_busy")
    users = _pgbench(bench)
    runs = bench.runs(5)
    samples = _in_turns(users, _intruders(bench), runs)
    bar = f"at most {_BAR_MS:.0f} ms"
    return Result(
        name="blocking",
        title=f"The longest wait of {CLIENTS} users of a table of {ROWS:,} rows, beside an ALTER that rewrites it",
        how=(
            f"{runs} rounds; the times are the longest latency of any transaction that pgbench logged from before the "
            f"program started to after its end, at {RATE} a second, without pgbench's own lag; max_blocking is "
            f"{BUDGET_MS} ms, retries {RETRIES}, the watch looks every {POLL_S * 1000:.0f} ms"
        ),
        baseline=_ALONE,
        rows=rows_of(samples, {_DRY_RUN: bar, _UP: bar}),
    )


def _in_turns(users: Command, intruders: Sequence[Intruder], runs: int) -> dict[str, Sample]:
    samples = {intruder.name: Sample() for intruder in intruders}
    for _ in range(runs):
        for intruder in intruders:
            sample = samples[intruder.name]
            if sample.failure:
                continue
            try:
                sample.runs.append(_longest_wait(users, intruder))
            except CommandFailed as failure:
                sample.failure = str(failure)
    return samples


def _longest_wait(users: Command, intruder: Intruder) -> Run:
    """pgbench's longest latency while the intruder runs, and the intruder's CPU time."""
    assert users.folder
    for log in users.folder.glob("log.*"):
        log.unlink()
    with _at_work(users):
        cpu_ms = 0.0
        if intruder.command is None:
            time.sleep(_ALONE_S)
        else:
            cpu_ms = run_once(intruder.command, intruder.ends_with, intruder.says).cpu_ms
    return Run(wall_ms=max(_latencies_ms(users.folder)), cpu_ms=cpu_ms)


@contextmanager
def _at_work(users: Command) -> Iterator[None]:
    """pgbench at work from well before to shortly after what runs inside. Raises CommandFailed where it fails."""
    process = subprocess.Popen(
        [str(argument) for argument in users.arguments],
        cwd=users.folder,
        env=environment(users),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        time.sleep(_BEFORE_S)
        yield
        time.sleep(_AFTER_S)
    finally:
        # its own clock's signal: it lets every transaction end, and writes its log
        process.send_signal(signal.SIGALRM)
        _, said = process.communicate()
    if process.returncode:
        raise CommandFailed(f"pgbench ended with {process.returncode}: {said}")


def _latencies_ms(folder: Path) -> Iterator[float]:
    """How long each transaction took, from when pgbench began it and not from when it was due."""
    for log in folder.glob("log.*"):
        for line in log.read_text().splitlines():
            _, _, latency_us, _, _, _, lag_us = line.split()
            yield (int(latency_us) - int(lag_us)) / 1000


def _pgbench(bench: Bench) -> Command:
    """Selects and updates of single rows, a transaction each, until it is told to stop."""
    folder = bench.server.folder / "blocking_users"
    folder.mkdir()
    for name, statement in _SCRIPTS.items():
        (folder / name).write_text(f"\\set id random(1, {ROWS})\n{statement}")
    scripts = [f"--file={name}" for name in _SCRIPTS]
    options = [f"--client={CLIENTS}", f"--rate={RATE}", "--time=3600", "--no-vacuum", "--log", "--log-prefix=log"]
    program = bench.server.embedded.program_path("pgbench")
    return Command(arguments=[program, *options, *scripts, bench.server.url(_DATABASE)], folder=folder)


def _intruders(bench: Bench) -> list[Intruder]:
    script = bench.file("alter.sql", f"BEGIN;\n{_ALTER};\nROLLBACK;\n")
    project = _project(bench.server)
    socket = bench.server.socket

    def up(*arguments: str) -> Command:
        return bench.confiture.up(project, socket, _DATABASE, *arguments)

    return [
        Intruder(name=_ALONE, command=None),
        Intruder(name=_PSQL, command=bench.server.psql_command(_DATABASE, "-f", script)),
        Intruder(name=_DRY_RUN, command=up("--dry-run"), ends_with=4, says="error[over-budget]"),
        Intruder(name=_UP, command=up(), ends_with=4, says="error[over-budget]"),
    ]


def _project(server: Server) -> Path:
    folder = server.folder / "blocking"
    (folder / "migrations").mkdir(parents=True)
    settings = f"database:\n  max_blocking: {BUDGET_MS}ms\n  retries: {RETRIES}\nmigrations: migrations\n"
    (folder / "confiture.yaml").write_text(settings)
    (folder / "migrations" / "001_widen.yaml").write_text(f"ddl:\n  - sql: {_ALTER}\n")
    return folder
