"""Events as JSON lines: every kind of event, as it happens, and whole lines whatever ends the run."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest

from confiture.models.events import Event
from confiture.output.json.events import EVENT_NAMES_AND_FIELDS, event_line
from tests.support.engine import wait_until
from tests.support.paths import REPOSITORY
from tests.support.projects import Project
from tests.support.read_models import CUSTOMERS, fill, schema
from tests.support.servers import Database

_NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
_PLAIN: Mapping[object, object] = {str: "é\u2028\n", int: 3, float: 1.23456, bool: True}
_TABLE = "ddl: [{sql: CREATE TABLE w_a (id int)}]\ndown: [{sql: DROP TABLE w_a}]\n"


def sample(kind: Any, *, full: bool) -> Any:
    """A value of a type: with all that it can hold, or with as little as it may."""
    if kind in _PLAIN:
        return _PLAIN[kind]
    if kind is Any:
        return _PLAIN[str]
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return sample(inner[0], full=full) if full else None
    if origin is tuple:
        parts = inner[:1] if inner[-1] is ... else inner
        return tuple(sample(part, full=full) for part in parts) if full or inner[-1] is not ... else ()
    if origin is Mapping:
        return {sample(inner[0], full=True): sample(inner[1], full=True)} if full else {}
    if inner:  # Literal
        return inner[0]
    if issubclass(kind, Enum):
        return next(iter(kind))
    assert isinstance(kind, type) and is_dataclass(kind), f"no sample for {kind}"
    hints = get_type_hints(kind)
    return kind(**{field.name: sample(hints[field.name], full=full) for field in fields(kind)})


def name_of(kind: type) -> str:
    return EVENT_NAMES_AND_FIELDS[kind][0]


def lines(path: Path) -> list[dict[str, Any]]:
    """What a file of events holds; fails where it does not end with a whole line."""
    text = path.read_bytes()
    assert not text or text.endswith(b"\n")
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("kind", get_args(Event), ids=name_of)
def test_every_event_is_one_line_with_all_its_fields(kind: type, full: bool) -> None:
    event = sample(kind, full=full)
    line = event_line(event, _NOW)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    found = json.loads(line)
    assert found.pop("event") == name_of(kind)
    assert found.pop("at") == "2026-11-23T10:00:00.000+00:00"
    assert len(found) == len(fields(kind))
    assert (None in found.values()) == (None in [getattr(event, field.name) for field in fields(kind)])


@pytest.mark.parametrize("kind", get_args(Event), ids=name_of)
def test_every_event_is_documented_with_its_fields(kind: type) -> None:
    section = (REPOSITORY / "docs/json.md").read_text().partition("## Events")[2].partition("\n## ")[0]
    (row,) = [line for line in section.splitlines() if line.startswith(f"| `{name_of(kind)}` |")]
    for key in json.loads(event_line(sample(kind, full=True), _NOW)).keys() - {"event", "at"}:
        assert f"`{key}`" in row, key


def test_nested_values_are_as_in_the_other_documents() -> None:
    kinds = {name_of(kind): kind for kind in get_args(Event)}
    step = json.loads(event_line(sample(kinds["step_started"], full=True), _NOW))["step"]
    assert step == {
        "version": "é\u2028\n",
        "phase": "before_validation",
        "number": 3,
        "part": 3,
        "segment": 3,
        "name": "é\u2028\n",
        "file": "é\u2028\n",
        "line": 3,
    }
    ended = json.loads(event_line(sample(kinds["run_finished"], full=True), _NOW))
    assert (ended["outcome"], ended["duration_ms"]) == ("done", 1.235)
    assert set(ended["diagnostics"][0]) == {
        *("code", "message", "file", "line", "column", "excerpt", "detail", "hint"),
    }
    rehearsed = json.loads(event_line(sample(kinds["rehearsed"], full=True), _NOW))
    assert {"sql", "execution_time_ms", "locks"} <= set(rehearsed["statements"][0])


def test_a_run_is_written_as_it_happens(shop: Project, database: Database, tmp_path: Path) -> None:
    schema(database)
    fill(shop)
    (tmp_path / "run.jsonl").write_text("of a former run\n")
    report = shop.run("migrate", "up", "--events", "run.jsonl", "--format", "json").json
    events = lines(tmp_path / "run.jsonl")
    names = [event["event"] for event in events]
    assert (names[0], names[-2:]) == ("run_started", ["migration_finished", "run_finished"])
    assert names.index("migration_started") < names.index("step_started") < names.index("backfill_progressed")
    times = [datetime.fromisoformat(event["at"]) for event in events]
    assert times == sorted(times)
    assert all(time.utcoffset() is not None for time in times)
    assert events[-1]["outcome"] == report["outcome"]
    told = [event for event in events if event["event"] == "backfill_progressed"]
    assert told[-1]["source_rows"] == CUSTOMERS
    assert told[-1]["elapsed_s"] >= told[0]["elapsed_s"] >= 0
    (backfill,) = report["backfills"]
    assert (backfill["source_rows"], backfill["written_rows"]) == (CUSTOMERS, CUSTOMERS)
    assert backfill["batches"] == told[-1]["batches"] > 0
    assert 0 < backfill["median_batch_rows"] <= CUSTOMERS
    assert (backfill["retries"], backfill["held_back"], backfill["source_rows_before"]) == (0, [], 0)


def test_dry_runs_and_down_are_written_too(shop_18: Project, tmp_path: Path) -> None:
    shop_18.migration("001_a", _TABLE)
    shop_18.run("migrate", "--dry-run", "--events", "dry.jsonl")
    assert "rehearsed" in [event["event"] for event in lines(tmp_path / "dry.jsonl")]
    shop_18.run("migrate", "up")
    shop_18.run("migrate", "down", "--events", "down.jsonl")
    first = lines(tmp_path / "down.jsonl")[0]
    assert (first["event"], first["direction"]) == ("run_started", "down")


def test_what_fails_is_told_as_in_the_report(shop_18: Project, tmp_path: Path) -> None:
    shop_18.migration("001_a", "ddl: [{sql: SELECT 1/0}]\n")
    report = shop_18.run("migrate", "up", "--events", "run.jsonl", "--format", "json", expect=4).json
    last = lines(tmp_path / "run.jsonl")[-1]
    assert (last["event"], last["outcome"]) == ("run_finished", "rolled back")
    assert last["diagnostics"] == report["diagnostics"]


def test_kill_9_leaves_whole_lines(shop_18: Project, database_18: Database, tmp_path: Path) -> None:
    for number in range(1, 30):
        shop_18.migration(f"{number:03}_a", f"ddl: [{{sql: 'CREATE TABLE w_{number} (id int)'}}]\n")
    shop_18.migration("100_last", "ddl: [{sql: SELECT pg_sleep(300)}]\n")
    path = tmp_path / "run.jsonl"
    running = shop_18.start("migrate", "up", "--events", str(path))
    wait_until(lambda: path.exists() and b'"100"' in path.read_bytes(), "it reaches the last one")
    running.send_signal(signal.SIGKILL)
    running.communicate()
    events = lines(path)
    finished = [event["version"] for event in events if event["event"] == "migration_finished"]
    assert finished == [f"{number:03}" for number in range(1, 30)]
    assert events[-1]["event"] != "run_finished"


@pytest.mark.parametrize("name", ["nowhere/run.jsonl", ".", "pipe", "same"])
def test_a_file_that_cannot_be_written_is_refused_before_anything_runs(name: str, tmp_path: Path, shop_18, database_18):
    shop_18.migration("001_a", _TABLE)
    os.mkfifo(tmp_path / "pipe")  # nobody reads it: opening it would wait for ever
    also = ["--report", "same"] if name == "same" else []
    done = shop_18.run("migrate", "up", "--events", name, *also, expect=2)
    assert "--events" in done.err
    assert "next:" in done.err
    assert database_18.value("SELECT to_regclass('w_a')") is None


def test_a_full_disk_does_not_stop_the_migration(shop_18: Project, database_18: Database) -> None:
    shop_18.migration("001_a", _TABLE)
    done = shop_18.run("migrate", "up", "--events", "/dev/full")
    assert "--events /dev/full is incomplete: No space left on device" in done.err
    assert database_18.value("SELECT to_regclass('w_a')") == "w_a"


def test_a_disk_that_gets_full_leaves_whole_lines(shop_18: Project, database_18: Database, tmp_path: Path) -> None:
    shop_18.migration("001_a", _TABLE)
    done = subprocess.run(
        shop_18.command("migrate", "up", "--events", "run.jsonl"),
        cwd=shop_18.root,
        env=shop_18.environment | {"PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "--events run.jsonl is incomplete" in done.stderr
    assert [event["event"] for event in lines(tmp_path / "run.jsonl")][:1] == ["run_started"]
    assert (tmp_path / "run.jsonl").stat().st_size < 500
    assert database_18.value("SELECT to_regclass('w_a')") == "w_a"


def test_a_reader_that_does_not_keep_up_does_not_stop_the_migration(shop_18: Project, tmp_path: Path) -> None:
    shop_18.migration("001_a", "".join(["ddl:\n", *["  - sql: SELECT 1\n"] * 400]))
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        done = shop_18.run("migrate", "up", "--events", "pipe")
        assert "--events pipe is incomplete" in done.err
    finally:
        os.close(reader)
