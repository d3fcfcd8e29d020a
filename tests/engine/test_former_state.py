"""What version 954dc89 left in a database and in files works: status, resuming, drift, verify, baseline."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from confiture.core.db.queries import FORMAT, history_schema_sql
from tests.support.paths import FIXTURES
from tests.support.projects import Project
from tests.support.servers import Database, Roles

pytestmark = pytest.mark.versions_alike

FIXTURE = FIXTURES / "954dc89"
_LIFT = "UPDATE w_limit SET filled = 100000"
_TABLES = """
    SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid)
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relnamespace = 'confiture'::regnamespace AND c.relkind = 'r' AND c.relname !~ '^backfill_[0-9]'
    ORDER BY 1, a.attnum
"""
_CONSTRAINTS = """
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'confiture'::regnamespace AND contype <> 'n' AND conrelid::regclass::text !~ 'backfill_[0-9]'
    ORDER BY 1, 2
"""


@pytest.fixture
def former(project: Project, database: Database) -> Project:
    """The fixture's project, on a copy of the database that the former version left."""
    shutil.copytree(FIXTURE / "project", project.root, dirs_exist_ok=True)
    project.environ["DATABASE_URL"] = database.url
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute((FIXTURE / "database.sql").read_bytes())
    return project


def _format(database: Database) -> object:
    return database.value("SELECT version FROM confiture.format")


@pytest.mark.parametrize(
    "command",
    [
        "migrate status",
        "migrate up --dry-run --out-of-order",
        "verify",
        "backfill status --all",
        "lint --live --fail-on never",
        "locks",
        "tenancy prove",
        "reconcile r_totals --sql 'SELECT tenant_id, sum(amount) AS total FROM w_orders GROUP BY 1'",
    ],
)
def test_commands_that_only_read_leave_the_former_format(former: Project, database: Database, command: str) -> None:
    before = database.rows("SELECT * FROM confiture.migrations ORDER BY position")
    assert former.run(*shlex.split(command), expect=None).code in (0, 1, 5), "it read"
    assert _format(database) == 2
    assert database.rows("SELECT * FROM confiture.migrations ORDER BY position") == before


def test_status_is_the_same_before_and_after_the_upgrade(former: Project, database: Database) -> None:
    said = former.run("migrate", "status", "--format", "json").json
    told = json.loads((FIXTURE / "documents/status.json").read_text())
    for key in ("applied", "unfinished", "out_of_order", "drift"):
        assert said[key] == told[key], key
    assert [one["version"] for one in said["pending"]] == [one["version"] for one in told["pending"]]
    backfills = former.run("backfill", "status", "--all", "--format", "json").json["backfills"]
    told = json.loads((FIXTURE / "documents/backfills.json").read_text())["backfills"]
    assert backfills == [{**one, "busy_ms": round(one["busy_ms"], 3)} for one in told]
    # 005 stops again: the upgrade is all that is committed
    former.run("migrate", "up", expect=5)
    assert _format(database) == FORMAT
    again = former.run("migrate", "status", "--format", "json").json
    assert {**again, "unfinished": None} == {**said, "unfinished": None}
    assert former.run("backfill", "status", "--all", "--format", "json").json["backfills"] == backfills


def test_what_stopped_and_what_is_half_filled_is_resumed(former: Project, database: Database) -> None:
    committed = database.value("SELECT count(*) FROM r_orders")
    assert isinstance(committed, int) and 0 < committed < 600
    database.execute(_LIFT)
    report = former.run("migrate", "up", "--format", "json").json
    assert [migration["outcome"] for migration in report["migrations"]] == ["done"] * 3
    (backfill,) = report["backfills"]
    assert backfill["source_rows_before"] == committed, "it began anew"
    orders = "SELECT tenant_id, id, amount FROM {} ORDER BY 1, 2"
    assert database.rows(orders.format("r_orders")) == database.rows(orders.format("w_orders"))
    status = former.run("migrate", "status", "--format", "json").json
    assert [row["version"] for row in status["applied"]] == ["001", "002", "003", "004", "005", "006", "007"]
    assert (status["pending"], status["unfinished"], status["drift"]) == ([], None, [])
    assert database.rows("SELECT DISTINCT project, target FROM confiture.migrations") == [("default", "")]
    former.run("migrate", "down", "--to", "0")
    assert database.value("SELECT count(*) FROM confiture.migrations") == 0


def test_checks_and_reconciles_are_verified(former: Project) -> None:
    told = json.loads((FIXTURE / "documents/verify.json").read_text())
    said = former.run("verify", "--format", "json", expect=1 if _fails(told) else 0).json
    assert [(step["name"], step["verdict"]) for step in said["steps"]] == [
        (step["name"], step["verdict"]) for step in told["steps"]
    ]


def _fails(document: dict) -> bool:
    return any(step["verdict"] == "fails" for step in document["steps"])


@pytest.mark.parametrize(
    ("path", "old", "new", "step"),
    [
        ("migrations/001_create_orders.yaml", "n * 1.5", "n * 2.5", "orders of three tenants"),
        ("migrations/001_create_orders.yaml", "[3]]", "[4]]", "three tenants"),
        ("migrations/002_add_totals.yaml", "key: [tenant_id]", "key: [total]", "the totals are those of the orders"),
        ("migrations/003_count_tenants.py", "AS orders", "AS n", None),
        ("migrations/003_count_tenants.py", "count(*) FROM w_orders", "count(id) FROM w_orders", "count orders"),
        ("migrations/004_copy_small_orders.yaml", "< 300", "< 301", "small orders"),
        ("schemas/010_orders.sql", "amount    numeric", "amount    decimal", None),
    ],
)
def test_drift_is_seen_and_only_drift(former: Project, path: str, old: str, new: str, step: str | None) -> None:
    text = (former.root / path).read_text()
    (former.root / path).write_text(text.replace(old, new))
    drift = former.run("migrate", "status", "--format", "json", expect=7 if step else 0).json["drift"]
    assert bool(drift) == bool(step)
    if step:
        assert any(step in line for line in drift[0]["detail"])


def test_the_baseline_of_findings_is_heeded(former: Project) -> None:
    shutil.copy(FIXTURE / "confiture-baseline.json", former.root)
    told = json.loads((FIXTURE / "documents/lint.json").read_text())
    report = former.run("lint", "--baseline", "confiture-baseline.json", "--format", "json").json
    assert report["findings"] == []
    assert report["known"] == len(told["findings"]) > 0


@pytest.mark.parametrize("since", range(1, FORMAT))
def test_every_former_format_becomes_what_is_made_today(database_18: Database, since: int) -> None:
    def tables() -> tuple[list[tuple], list[tuple]]:
        return database_18.rows(_TABLES), database_18.rows(_CONSTRAINTS)

    database_18.execute("CREATE SCHEMA confiture;" + history_schema_sql(0).decode())
    made = tables()
    database_18.execute("DROP SCHEMA confiture CASCADE; CREATE SCHEMA confiture;" + _ddl_of(since))
    assert tables() != made
    database_18.execute(history_schema_sql(since).decode())
    assert tables() == made


def _ddl_of(number: int) -> str:
    return history_schema_sql(0).decode().removesuffix(history_schema_sql(number).decode())


def test_the_first_format_is_read_and_upgraded(shop_18: Project, database_18: Database) -> None:
    shop_18.migration("001_a", "ddl: [{sql: CREATE TABLE a (id int)}]\n")
    database_18.execute("CREATE SCHEMA confiture;" + _ddl_of(1))
    assert [one["version"] for one in shop_18.run("migrate", "status", "--format", "json").json["pending"]] == ["001"]
    assert shop_18.run("backfill", "status", "--format", "json").json["backfills"] == []
    shop_18.run("migrate", "up")
    assert database_18.value("SELECT version FROM confiture.format") == FORMAT


def test_a_newer_format_is_refused(shop_18: Project, database_18: Database) -> None:
    shop_18.migration("001_a", "ddl: [{sql: CREATE TABLE a (id int)}]\n")
    database_18.execute(
        "CREATE SCHEMA confiture;" + history_schema_sql(0).decode() + ";UPDATE confiture.format SET version = 99"
    )
    for command in ("status", "up", "down"):
        assert "upgrade confiture" in shop_18.run("migrate", command, expect=3).err


def test_a_role_that_may_not_change_the_tables_is_told(former: Project, database: Database, roles: Roles) -> None:
    database.execute(
        f"GRANT USAGE, CREATE ON SCHEMA confiture TO {roles.migrator};"
        f"GRANT ALL ON ALL TABLES IN SCHEMA confiture, public TO {roles.migrator};" + _LIFT
    )
    former.environ["DATABASE_URL"] = roles.url(roles.migrator)
    result = former.run("migrate", "up", expect=3)
    assert "connect once as postgres" in result.err
    assert _format(database) == 2


def test_an_upgrade_waits_for_no_run_of_a_former_version(former: Project, database: Database) -> None:
    """Former versions have one lock for all projects; a run of theirs must not lose its tables."""
    former.write("confiture.yaml", "project: other\n")
    for path in (former.root / "migrations").iterdir():
        path.unlink()
    former.migration("001_mine", "ddl: [{sql: CREATE TABLE mine (id int)}]\n")
    with database.connect() as running:
        running.execute("SELECT pg_advisory_lock(%s)", [0x636F6E6669747572])
        assert "holds the lock" in former.run("migrate", "up", "--wait", "0", expect=6).err
        assert _format(database) == 2
    former.run("migrate", "up")
    assert _format(database) == FORMAT


@pytest.mark.parametrize("spoil", [lambda text: text[:-40], lambda text: text.replace('"version": 1', '"version": 9')])
def test_a_baseline_that_cannot_be_read_is_refused(former: Project, spoil: Callable[[str], str]) -> None:
    path = Path(former.root / "confiture-baseline.json")
    path.write_text(spoil((FIXTURE / "confiture-baseline.json").read_text()))
    assert "--write-baseline" in former.run("lint", "--baseline", path.name, expect=2).err


def test_an_upgrade_gives_way_to_whoever_locks_the_history(
    former: Project, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As pg_dump does: those who read the history must not queue behind us for long."""
    monkeypatch.setattr("confiture.core.db.history_store.READ_LOCK_TIMEOUT_MS", 500)
    with database.connect() as other:
        other.execute("BEGIN; LOCK TABLE confiture.migrations IN ACCESS SHARE MODE")
        assert "error[history-locked]" in former.run("migrate", "up", expect=3).err
        former.run("migrate", "status")
        assert _format(database) == 2


def test_a_refused_baseline_upgrades_nothing(former: Project, database: Database) -> None:
    former.write("confiture.yaml", "project: shop\n")
    former.run("migrate", "baseline", "001", expect=2)
    assert _format(database) == 2


def test_what_is_stored_has_the_names_that_other_versions_read(former: Project, database: Database) -> None:
    database.execute(_LIFT)
    former.run("migrate", "up", "--to", "005")
    keys = (
        "SELECT DISTINCT jsonb_object_keys(step) FROM confiture.journal, jsonb_array_elements(steps) AS step ORDER BY 1"
    )
    assert [key for (key,) in database.rows(keys)] == ["duration_ms", "name", "phase", "rows"]
    parts = "SELECT DISTINCT jsonb_array_length(step) FROM confiture.migrations, jsonb_array_elements(steps) AS step"
    assert database.rows(parts) == [(3,)]
    made = database.rows("SELECT tgname::text FROM pg_trigger WHERE tgname LIKE 'confiture%' ORDER BY 1")
    assert made == [("confiture_backfill_2",), ("confiture_backfill_2_truncate",)]
