"""What the history tells: who did what to each migration, when, where from and why, whatever became of the run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import Any

import psycopg
import pytest

from confiture import __version__
from tests.support.engine import Listener, history, migrate_up, wait_until
from tests.support.faults import OURS, assert_events_agree
from tests.support.projects import Project
from tests.support.servers import Database

EVENTS = "SELECT event, version FROM confiture.history_events ORDER BY number"
TABLE = "ddl: [{{sql: CREATE TABLE {0} (id int)}}]\ndown: [{{sql: DROP TABLE {0}}}]\n"
FAILS = "ddl: [{sql: SELECT 1 / n FROM n}]\n"
STOPS = "ddl: [{sql: CREATE TABLE s ()}, {sql: VACUUM s}, {sql: SELECT 1 / n FROM n}]\ndown: [{sql: DROP TABLE s}]\n"


def _events(shop: Project, *arguments: str) -> list[dict[str, Any]]:
    return shop.run("migrate", "history", "--format", "json", *arguments).json["events"]


def test_everything_that_happens_is_recorded(shop_18: Project, database_18: Database) -> None:
    shop, database = shop_18, database_18
    database.execute("CREATE TABLE n AS SELECT 0 AS n")
    shop.migration("001_a", TABLE.format("a"))
    shop.migration("002_stops", STOPS)
    shop.run("migrate", "up", expect=5)
    database.execute("UPDATE n SET n = 1")
    shop.run("migrate", "up")
    shop.run("migrate", "down", "--reason", "it was too early")
    shop.run("migrate", "baseline", "002", "--force", "--reason", "it is there")
    shop.migration("003_fails", FAILS)
    database.execute("UPDATE n SET n = 0")
    shop.run("migrate", "up", expect=4)
    shop.run("migrate", "adopt-project", "default", "store")
    shop.write("confiture.yaml", "project: store\n")
    assert database.rows(EVENTS) == [
        ("planned", "001"),
        ("planned", "002"),
        ("applied", "001"),
        ("stopped", "002"),
        ("planned", "002"),
        ("resumed", "002"),
        ("applied", "002"),
        ("planned", "002"),
        ("undone", "002"),
        ("baselined", "002"),
        ("planned", "003"),
        ("failed", "003"),
        ("adopted", None),
    ]
    events = _events(shop)
    assert [one["number"] for one in events] == sorted((one["number"] for one in events), reverse=True)
    assert [one["event"] for one in events][::-1] == [event for event, _ in database.rows(EVENTS)]
    assert_events_agree(database)
    assert [one["reason"] for one in _events(shop, "2", "--event", "undone")] == ["it was too early"]
    (failed,) = _events(shop, "--event", "failed")
    assert failed["details"]["code"] == "22012"
    assert failed["details"]["location"].startswith("migrations/003_fails.yaml:1:")
    assert "division by zero" in failed["details"]["message"]
    (stopped,) = _events(shop, "--event", "stopped")
    assert (stopped["details"]["committed_segments"], stopped["details"]["segments"]) == (2, 3)
    assert stopped["details"]["direction"] == "up"


def test_times_are_measured_and_predictions_are_kept(shop_18: Project, database_18: Database) -> None:
    shop_18.migration("001_a", "ddl: [{sql: CREATE TABLE a (), timeout: 9s}, {sql: SELECT pg_sleep(0.05)}]\n")
    shop_18.migration("002_b", "ddl: [{sql: SELECT pg_sleep(0.05)}, {sql: VACUUM a}, {sql: SELECT pg_sleep(0.05)}]\n")
    shop_18.run("migrate", "up", "--dry-run", "--repeat", "2")
    shop_18.run("migrate", "up")
    second, first = _events(shop_18, "--event", "applied")
    assert first["predicted_low_ms"] <= first["predicted_ms"] <= first["predicted_high_ms"]
    assert first["execution_time_ms"] >= 50 and second["execution_time_ms"] >= 100
    took = dict(database_18.rows("SELECT version, duration_ms FROM confiture.migrations"))
    assert second["execution_time_ms"] == pytest.approx(took["002"], abs=0.001)


def test_the_origin_is_recorded(shop_18: Project, database_18: Database) -> None:
    shop_18.migration("001_a", TABLE.format("a"))
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.com"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        subprocess.run([*git, *command], cwd=shop_18.root, check=True)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=shop_18.root, capture_output=True, text=True, check=True)
    shop_18.environ |= {
        "GITHUB_SERVER_URL": "https://user:token@github.example.com",
        "GITHUB_REPOSITORY": "team/shop",
        "GITHUB_RUN_ID": "77",
        "GITHUB_RUN_ATTEMPT": "2",
        "GITHUB_ACTOR": "ana",
    }
    shop_18.run("migrate", "up")
    (event,) = _events(shop_18, "--event", "applied")
    assert event["ci_run"] == "https://github.example.com/team/shop/actions/runs/77/attempts/2"
    assert (event["ci_actor"], event["role"], event["tool_version"]) == ("ana", "postgres", __version__)
    assert (event["commit"], event["dirty"]) == (commit.stdout.strip(), False)
    assert event["os_user"] and event["host"] and event["process"] == os.getpid()
    shop_18.migration("002_b", TABLE.format("b"))
    shop_18.run("migrate", "up")
    assert _events(shop_18, "002", "--event", "applied")[0]["dirty"] is True


@pytest.mark.parametrize(
    ("environ", "run", "actor"),
    [
        (
            {"CI_JOB_URL": "https://gitlab.example.com/a/-/jobs/5?token=x#y", "GITLAB_USER_LOGIN": "ben"},
            "https://gitlab.example.com/a/-/jobs/5",
            "ben",
        ),
        ({"BUILDKITE_BUILD_URL": "https://b.example.com:81/1"}, "https://b.example.com:81/1", None),
        ({"BUILD_URL": "javascript:alert(1)", "BUILD_USER_ID": "eve\x1b[31m"}, None, "eve\\x1b[31m"),
        ({"BUILD_URL": "https://[x", "BUILD_USER_ID": ""}, None, None),
    ],
    ids=["GitLab", "Buildkite", "no web address", "broken"],
)
def test_ci_systems(
    shop_18: Project, environ: dict[str, str], run: str | None, actor: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop_18.migration("001_a", TABLE.format("a"))
    shop_18.environ |= environ | {"PATH": "/nowhere"}
    shop_18.run("migrate", "up")
    (event,) = _events(shop_18, "--event", "applied")
    assert (event["ci_run"], event["ci_actor"]) == (run, actor)
    # git cannot be found
    assert (event["commit"], event["dirty"]) == (None, None)


@pytest.mark.parametrize(
    ("reason", "stored"),
    [
        ("see https://ana:x@wiki.example.com/a?token=7#b now", "see https://wiki.example.com/a now"),
        ("HTTPS://ANA@wiki.example.com", "https://wiki.example.com"),
        ("git+https://7f3@git.example.com/a.git", "git+https://git.example.com/a.git"),
        ("(http://[::1]:81/a?b)", "(http://[::1]:81/a"),
        ("https://ana:a'b@wiki.example.com/", "https://wiki.example.com/"),
        ("https://ana:x@[", "***"),
        ("https://wiki/,https://7f3@git.example.com/a?t=1", "https://wiki/,https://git.example.com/a"),
        ("[https://a/x](https://ana:b@c/y?t=1)", "[https://a/x](https://c/y"),
        ("http and https", "http and https"),
        ("clone https://ana:p@ss/word12345@h/ or h/p@ss/word12345", "clone https://h/ or h/***"),
        ("hook https://hooks.example.com/T0/abcdef?x=1", "hook ***"),
        ("https://h/tok?en12345678", "https://h/***"),
    ],
    ids=[
        "all parts",
        "upper case",
        "other scheme before",
        "IPv6",
        "quote in a password",
        "broken",
        "two that touch",
        "Markdown",
        "no address",
        "secret with @",
        "secret that is an address",
        "secret with ?",
    ],
)
def test_web_addresses_in_a_reason_are_shortened(shop_18: Project, reason: str, stored: str) -> None:
    shop_18.migration("001_a", TABLE.format("a"))
    shop_18.environ |= {
        "DB_PASSWORD": "p@ss/word12345",
        "WEBHOOK_SECRET": "https://hooks.example.com/T0/abcdef?x=1",
        "API_TOKEN": "tok?en12345678",
    }
    shop_18.run("migrate", "up", "--reason", reason)
    assert _events(shop_18, "--event", "applied")[0]["reason"] == stored


def test_git_that_hangs_is_not_waited_for(shop_18: Project, tmp_path_factory: pytest.TempPathFactory) -> None:
    programs = tmp_path_factory.mktemp("programs")
    git = programs / "git"
    git.write_text("#!/bin/sh\nexec sleep 600\n")
    git.chmod(0o755)
    shop_18.environ["PATH"] = f"{programs}:{os.environ['PATH']}"
    shop_18.migration("001_a", TABLE.format("a"))
    shop_18.run("migrate", "up")
    assert _events(shop_18, "--event", "applied")[0]["commit"] is None


def test_secrets_are_never_stored(shop_18: Project, database_18: Database) -> None:
    shop_18.environ |= {
        "DATABASE_URL": database_18.url.replace("postgres@", "postgres:hunter2-hunter2@"),
        "DEPLOY_TOKEN": "deploy-123456",
        "BUILD_URL": "https://ci.example.com/deploy-123456/1",
    }
    shop_18.write("confiture.yaml", "vars: {api_key: 'key-987654'}\n")
    shop_18.migration("001_a", "ddl: [{sql: \"SELECT '{{ api_key }}'::int\"}]\n")
    reason = "uses key-987654, hunter2-hunter2, deploy-123456 and postgres://u:s3cr3t-pw@h/d\nsecond line\x00"
    shop_18.run("migrate", "up", "--reason", reason, expect=4)
    stored = str(database_18.rows("SELECT e::text FROM confiture.history_events e"))
    for secret in ("hunter2", "deploy-123456", "key-987654", "s3cr3t-pw"):
        assert secret not in stored
    assert "second line" in stored and "***" in stored


def test_the_first_run_of_all_is_recorded_even_if_it_fails(shop: Project, database: Database) -> None:
    shop.migration("001_fails", "ddl: [{sql: CREATE TABLE a ()}, {sql: SELECT 1 / 0}]\n")
    shop.run("migrate", "up", expect=4)
    assert database.rows(EVENTS) == [("planned", "001"), ("failed", "001")]
    assert database.value("SELECT count(*) FROM confiture.identity") == 1
    assert history(database) == [] and database.value("SELECT to_regclass('a')") is None


def _end(database: Database, which: str) -> Listener:
    """End sessions of the run while a statement runs: its own, the one that holds the lock, or both."""
    holder = "pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1)"
    condition = {"own": f"NOT {holder}", "lock": holder, "both": "true"}[which]

    def end(event: object) -> None:
        if type(event).__name__ == "StepStarted" and event.step.name == "end":  # type: ignore[attr-defined]
            database.execute(
                f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE {OURS} AND {condition}"
                " AND datname = current_database()"
            )

    return end


@pytest.mark.parametrize("which", ["own", "lock", "both"])
def test_a_failure_is_recorded_even_if_sessions_are_lost(shop_18: Project, database_18: Database, which: str) -> None:
    shop_18.migration("001_a", TABLE.format("a"))
    shop_18.run("migrate", "up")
    shop_18.migration("002_b", "ddl: [{sql: CREATE TABLE b ()}, {name: end, sql: SELECT 1 / 0}]\n")
    ran = migrate_up(shop_18, _end(database_18, which))
    assert ran.code == 4
    assert database_18.rows(EVENTS)[-2:] == [("planned", "002"), ("failed", "002")]


def test_what_cannot_be_recorded_is_reported(
    shop_18: Project, database_18: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("confiture.core.run.event_recorder.READ_LOCK_TIMEOUT_MS", 100)
    shop_18.migration("001_a", TABLE.format("a"))
    shop_18.run("migrate", "up")
    shop_18.migration("002_b", "ddl: [{name: end, sql: SELECT 1 / 0}]\n")

    def lock_out(event: object) -> None:
        if type(event).__name__ == "StepStarted":
            connection.execute("LOCK TABLE confiture.history_events IN EXCLUSIVE MODE")

    with psycopg.connect(database_18.url) as connection:
        ran = migrate_up(shop_18, lock_out)
    assert ran.code == 4
    assert "does not contain the event failed of 002 b" in ran.notes


def test_an_interrupt_is_recorded(shop_18: Project, database_18: Database) -> None:
    shop_18.migration("001_long", "ddl: [{sql: CREATE TABLE a ()}, {sql: SELECT pg_sleep(600)}]\n")
    process = shop_18.start("migrate", "up")
    sleeping = f"SELECT count(*) FROM pg_stat_activity WHERE {OURS} AND query LIKE '%pg_sleep%' AND state = 'active'"
    wait_until(lambda: database_18.value(sleeping), "the long statement runs")
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 4
    (event,) = _events(shop_18, "--event", "failed")
    assert event["details"]["code"] == "interrupted"


def test_a_database_in_another_encoding_keeps_any_reason(shop_18: Project, server_18: Any) -> None:
    server_18.execute("CREATE DATABASE events_latin1 ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    try:
        shop_18.environ["DATABASE_URL"] = server_18.url("events_latin1")
        shop_18.migration("001_a", TABLE.format("a"))
        shop_18.run("migrate", "up", "--reason", "é and ☃")
        assert _events(shop_18, "--event", "applied")[0]["reason"] == "\\xe9 and \\u2603"
    finally:
        server_18.execute("DROP DATABASE events_latin1 WITH (FORCE)")


# --- adoption


def test_events_follow_the_project_that_they_belong_to(shop_18: Project, database_18: Database) -> None:
    shop_18.migration("001_a", TABLE.format("a"))
    shop_18.run("migrate", "up")
    shop_18.run("migrate", "adopt-project", "default", "shop")
    shop_18.run("migrate", "adopt-project", "shop", "store", expect=0)
    # another project takes the name that has become free
    shop_18.write("confiture.yaml", "project: default\n")
    shop_18.migration("001_a", TABLE.format("other"))
    shop_18.run("migrate", "up")
    assert [one["event"] for one in _events(shop_18)] == ["applied", "planned"]
    shop_18.write("confiture.yaml", "project: store\n")
    assert [one["event"] for one in _events(shop_18)] == ["adopted", "adopted", "applied", "planned"]
    assert json.dumps(_events(shop_18)[0]["details"]) == '{"project": "shop"}'
    assert database_18.rows("SELECT project FROM confiture.identity ORDER BY 1") == [("default",), ("store",)]


# --- the command


def test_a_line_fits_80_columns(shop_18: Project, database_18: Database) -> None:
    shop_18.migration(f"001_{'long' * 20}", TABLE.format("a"))
    shop_18.migration("002_fails", "ddl: [{sql: SELECT 1 / 0}]\n")
    shop_18.run("migrate", "up", "--reason", "日本語 " * 40, expect=4)
    out = shop_18.run("migrate", "history").out
    lines = out.splitlines()
    assert len(lines) == 4 and max(map(len, lines)) <= 80
    assert "failed" in lines[0] and "applied" in lines[1] and "002 fails" in lines[0]


def test_since(shop_18: Project) -> None:
    shop_18.migration("001_a", TABLE.format("a"))
    shop_18.run("migrate", "up")
    found = {"1h": 2, "7d": 2, "2020-01-01": 2, "2999-01-01T10:00": 0, "0": 0}
    assert {since: len(_events(shop_18, "--since", since)) for since in found} == found


@pytest.mark.parametrize(
    ("option", "value"), [("--since", "yesterday"), ("--since", "9999999999999999d"), ("--event", "gone")]
)
def test_wrong_filters(shop_18: Project, option: str, value: str) -> None:
    assert value in shop_18.run("migrate", "history", option, value, expect=2).err


def test_nothing_is_recorded_yet(shop_18: Project) -> None:
    assert "No events for default" in shop_18.run("migrate", "history").out
