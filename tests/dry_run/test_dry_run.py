"""What a dry run says, from the command line down: measured, estimated, warned of; and that nothing stays."""

from __future__ import annotations

import json
import re
import signal
import time
from html.parser import HTMLParser

import psycopg
import pytest

from tests.support.engine import wait_until
from tests.support.projects import Project, Result
from tests.support.servers import Database

pytestmark = pytest.mark.versions_alike

TABLES = """
CREATE TABLE w_tenants (tenant_id int PRIMARY KEY);
CREATE TABLE w_orders (id bigint PRIMARY KEY, tenant_id int NOT NULL, amount int NOT NULL, note varchar(20));
INSERT INTO w_tenants SELECT generate_series(1, 10);
INSERT INTO w_orders SELECT i, i % 10 + 1, i % 90, 'n' FROM generate_series(1, 20000) i;
ANALYZE
"""


@pytest.fixture
def filled(shop: Project, database: Database) -> Project:
    """A project whose migrations alter, index, and fill from a table of 20,000 rows."""
    database.execute(TABLES)
    shop.migration(
        "001_alter",
        """
        ddl:
          - {name: add, sql: ALTER TABLE w_orders ADD COLUMN extra int}
          - {name: retype, sql: ALTER TABLE w_orders ALTER COLUMN amount TYPE bigint}
        after_ddl:
          - {name: fill, sql: "CREATE TABLE r_sums AS SELECT tenant_id, sum(amount) s FROM w_orders GROUP BY 1"}
        after_validation:
          - {name: all there, check: SELECT count(*) FROM r_sums, expect: 10}
        """,
    )
    return shop


def rehearse(project: Project, *arguments: str, expect: int | None = 0) -> Result:
    return project.run("migrate", "--dry-run", "--format", "json", *arguments, expect=expect)


def test_the_result_has_every_promised_field(filled: Project) -> None:
    report = rehearse(filled).json
    assert report["dry_run"] is True
    assert report["outcome"] == "done"
    assert report["execution_time_ms"] > 0
    assert report["estimated_production_time_ms"] == pytest.approx(
        sum(statement["execution_time_ms"] for statement in report["statements"]), abs=0.01
    )
    assert report["rows_affected"] == 10
    assert report["locked_tables"] == ["w_orders"]
    assert (report["estimated_range_low_ms"], report["confidence_percent"]) == (None, None), "unknown from one run"
    add, retype, fill, check = report["statements"]
    assert [(lock["relation"], lock["mode"]) for lock in add["locks"]] == [("w_orders", "AccessExclusiveLock")]
    assert set(retype["rewrites"]) == {"w_orders", "w_orders_pkey"}
    assert fill["rows"] == [{"table": "r_sums", "inserted": 10, "updated": 0, "deleted": 0}]
    assert check["sql"] == "SELECT count(*) FROM r_sums"
    held = next(lock for lock in report["locks"] if lock["relation"] == "w_orders")
    assert held["blocks"] == "reads and writes"
    assert held["held_ms"] >= report["estimated_production_time_ms"]


def test_repeating_gives_a_range_and_a_confidence(filled: Project) -> None:
    report = rehearse(filled, "--repeat", "4").json
    assert report["estimate_runs"] == 4
    assert report["estimated_range_low_ms"] < report["estimated_production_time_ms"] < report["estimated_range_high_ms"]
    assert 0 <= report["confidence_percent"] <= 100
    assert len(report["statements"]) == 4, "those of the last run"


@pytest.mark.parametrize("statement", ["CREATE INDEX CONCURRENTLY w_orders_note ON w_orders (note)", "VACUUM w_orders"])
def test_what_takes_another_time_in_a_real_run_gives_no_range(
    shop_18: Project, database_18: Database, statement: str
) -> None:
    database_18.execute(TABLES)
    shop_18.migration("001_outside", f"ddl: [{{sql: {statement}}}, {{sql: SELECT count(*) FROM w_orders}}]")
    report = rehearse(shop_18, "--repeat", "2").json
    assert report["estimated_production_time_ms"] > 0
    assert (report["estimated_range_low_ms"], report["confidence_percent"]) == (None, None)
    assert "differs in a real run" in shop_18.run("migrate", "--dry-run", "--repeat", "2").out


def test_scaling_multiplies_by_the_rows_of_the_other_database(filled: Project, database: Database) -> None:
    name = f"{database.name}_big"
    database.server.execute(f"CREATE DATABASE {name}")
    try:
        big = Database(database.server, name)
        big.execute(TABLES.replace("20000", "200000"))
        report = rehearse(filled, "--scale-to", big.url).json
        assert big.value("SELECT to_regnamespace('confiture')") is None
    finally:
        database.server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    by_step = {statement["step"]: statement["execution_time_ms"] for statement in report["statements"]}
    # adding a column reads no rows; the two that read all rows of the table, and what reads the table that one of them
    # fills, take ten times as long
    expected = by_step["add"] + 10 * (by_step["retype"] + by_step["fill"] + by_step["all there"])
    assert report["estimated_production_time_ms"] == pytest.approx(expected, rel=0.01)
    assert report["estimated_range_low_ms"] == pytest.approx(report["estimated_production_time_ms"] / 1.4, rel=0.01)
    assert report["estimate_scaled"] is True
    assert report["estimated_range_percent"] is None
    assert report["confidence_percent"] is None


def test_long_locks_and_rewrites_are_warned_of_with_the_way_out(filled: Project, database: Database) -> None:
    filled.write("confiture.yaml", "database: {max_blocking: 1ms}\nmigrations: migrations\nschemas: schemas\n")
    found = {warning["code"]: warning for warning in rehearse(filled).json["warnings"]}
    assert found["long-lock"]["table"] == "w_orders"
    assert "ACCESS EXCLUSIVE" in found["long-lock"]["message"]
    assert "separate migration" in found["long-lock"]["hint"]
    assert found["rewrite"]["rule"] == "type_rewrite"
    assert "second column" in found["rewrite"]["hint"]
    assert found["rewrite"]["file"] == "migrations/001_alter.yaml"
    assert found["rewrite"]["line"] == 3


def test_concurrently_is_told_with_the_lock_of_the_real_one(shop: Project, database: Database) -> None:
    database.execute(TABLES)
    shop.write("confiture.yaml", "database: {max_blocking: 1ms}\nmigrations: migrations\nschemas: schemas\n")
    shop.migration("001_index", "ddl: [{name: build, sql: CREATE INDEX CONCURRENTLY o_idx ON w_orders (tenant_id)}]")
    report = rehearse(shop).json
    (statement,) = report["statements"]
    assert statement["instead_of"] == "CREATE INDEX CONCURRENTLY o_idx ON w_orders (tenant_id)"
    assert "CONCURRENTLY" not in statement["sql"]
    (lock,) = statement["locks"]
    assert (lock["mode"], lock["real_mode"]) == ("ShareLock", "ShareUpdateExclusiveLock")
    assert (report["locked_tables"], report["warnings"]) == ([], []), "the real one lets writes go on"


def test_each_segment_releases_its_locks(shop: Project, database: Database) -> None:
    database.execute(TABLES)
    shop.migration("001_a", "ddl: [{sql: ALTER TABLE w_tenants ADD COLUMN a int}]")
    shop.migration("002_b", "ddl: [{sql: SELECT pg_sleep(0.5)}, {sql: ALTER TABLE w_orders ADD COLUMN b int}]")
    locks = {lock["relation"]: lock for lock in rehearse(shop).json["locks"]}
    released_ms = locks["w_tenants"]["taken_ms"] + locks["w_tenants"]["held_ms"]
    assert released_ms + 500 <= locks["w_orders"]["taken_ms"], "001 commits before 002 sleeps"


def test_a_lock_that_an_earlier_migration_hides_is_known_by_its_text(shop: Project, database: Database) -> None:
    database.execute(TABLES)
    shop.migration("001_a", "ddl: [{sql: ALTER TABLE w_orders ADD COLUMN a int}]")
    shop.migration("002_b", "ddl: [{sql: ALTER TABLE w_orders ADD COLUMN b int}, {sql: SELECT pg_sleep(0.2)}]")
    report = rehearse(shop).json
    first, second = (lock for lock in report["locks"] if lock["relation"] == "w_orders")
    assert (first["seen"], second["seen"]) == (True, False)
    assert first["mode"] == second["mode"] == "AccessExclusiveLock"
    assert second["held_ms"] >= 200, "until its own migration ends"
    assert first["taken_ms"] + first["held_ms"] <= second["taken_ms"]
    assert not any(warning["code"] == "lock-unseen" for warning in report["warnings"])


def test_a_lock_that_is_hidden_and_not_known_is_warned_of(shop: Project, database: Database) -> None:
    database.execute(TABLES)
    shop.migration("001_a", "ddl: [{sql: ALTER TABLE w_orders ADD COLUMN a int}]")
    alter = "DO $$ BEGIN EXECUTE 'ALTER TABLE w_orders ALTER COLUMN a TYPE bigint'; END $$"
    shop.migration("002_b", f'ddl: [{{sql: "{alter}"}}, {{sql: ALTER TABLE w_tenants ADD COLUMN c int}}]')
    found = [(w["code"], w["table"], w["file"]) for w in rehearse(shop).json["warnings"]]
    assert ("lock-unseen", "w_orders", "migrations/002_b.yaml") in found
    assert not any(table == "w_tenants" for _, table, _ in found)


def test_what_is_left_behind_counts_all_repetitions(shop: Project, database: Database) -> None:
    database.execute(TABLES + "; CREATE SEQUENCE given; CREATE TABLE dropped (id serial)")
    shop.migration(
        "001_rows",
        """
        after_ddl:
          - {sql: UPDATE w_tenants SET tenant_id = tenant_id + 100}
          - {sql: TRUNCATE w_orders}
          - {sql: "INSERT INTO w_orders VALUES (nextval('given'), 1, 1)"}
          - {sql: DROP TABLE dropped}
        """,
    )
    dead, sequences = rehearse(shop, "--repeat", "3").json["leftovers"]
    assert dead == "w_tenants keeps 30 dead rows until it is vacuumed"
    assert sequences == "sequences do not take back used numbers: given"


def test_what_cannot_be_scaled_is_named(shop: Project, database: Database) -> None:
    database.execute(TABLES + "; CREATE TABLE uncounted AS SELECT generate_series(1, 10000) i")
    shop.migration(
        "001_slow",
        "after_ddl: [{sql: UPDATE w_tenants SET tenant_id = -tenant_id},"
        " {name: slow one, sql: UPDATE uncounted SET i = -i}]",
    )
    notes = rehearse(shop, "--scale-to", database.url).json["notes"]
    assert any("'slow one'" in note and "uncounted" in note and "not scaled" in note for note in notes)


def test_where_nothing_is_scaled_there_is_no_scaled_range(filled: Project, database: Database) -> None:
    empty = f"{database.name}_empty"
    database.server.execute(f"CREATE DATABASE {empty}")
    try:
        report = rehearse(filled, "--scale-to", Database(database.server, empty).url).json
    finally:
        database.server.execute(f"DROP DATABASE {empty} WITH (FORCE)")
    (note,) = (note for note in report["notes"] if "scaled" in note)
    assert note.startswith("nothing is scaled: no table that this run reads or writes")
    assert report["estimate_scaled"] is False
    assert (report["estimated_range_low_ms"], report["estimated_range_high_ms"]) == (None, None)
    assert report["estimated_range_percent"] is None
    filled.run("migrate", "up")
    (applied,) = filled.run("migrate", "status", "--format", "json").json["applied"]
    assert applied["predicted_ms"] is None, "nothing was predicted of the other database"


@pytest.mark.parametrize(
    "drop",
    ["DEALLOCATE ALL", "DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$", "SELECT forget()"],
    ids=["openly", "in a DO block", "in a function"],
)
def test_migrations_that_drop_what_is_prepared_are_traced_all_the_same(
    shop: Project, database: Database, drop: str
) -> None:
    forget = "CREATE FUNCTION forget() RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$"
    database.execute(f"{TABLES}; {forget}")
    insert = "INSERT INTO w_tenants VALUES (11)"
    shop.migration("001_a", f'ddl: [{{sql: "{drop}"}}, {{sql: "{insert}"}}, {{sql: "{drop}"}}, {{sql: SELECT 1}}]')
    seen = rehearse(shop).json["statements"]
    assert [rows["inserted"] for statement in seen for rows in statement["rows"]] == [1]
    assert [(lock["relation"], lock["mode"]) for lock in seen[1]["locks"]] == [("w_tenants", "RowExclusiveLock")]


def test_a_dry_run_drops_an_invalid_index_as_the_real_run_does(shop: Project, database: Database) -> None:
    database.execute("CREATE TABLE t (x int); INSERT INTO t VALUES (1), (1)")
    with pytest.raises(psycopg.errors.UniqueViolation):
        database.execute("CREATE UNIQUE INDEX CONCURRENTLY i ON t (x)")
    database.execute("DELETE FROM t")
    shop.migration("001_index", "ddl: [{sql: CREATE INDEX CONCURRENTLY i ON t (x)}]")
    assert any("drop the invalid index i" in note for note in rehearse(shop).json["notes"])
    assert database.value("SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass") is False
    shop.run("migrate", "up")


def test_a_new_enum_value_that_only_the_dry_run_may_not_use_is_explained(shop: Project, database: Database) -> None:
    database.execute("CREATE TYPE mood AS ENUM ('sad'); CREATE TABLE moods (m mood)")
    shop.migration("001_add", "ddl: [{sql: ALTER TYPE mood ADD VALUE 'glad'}]")
    shop.migration("002_use", "after_ddl: [{sql: INSERT INTO moods VALUES ('glad')}]")
    (diagnostic,) = rehearse(shop, expect=4).json["diagnostics"]
    assert diagnostic["code"] == "55P04"
    assert "does not fail" in diagnostic["hint"]
    shop.run("migrate", "up")


def test_waiting_for_a_lock_is_not_holding_it(shop: Project, database: Database) -> None:
    database.execute(TABLES)
    shop.write("confiture.yaml", "database: {lock_timeout: 60s}\nmigrations: migrations\nschemas: schemas\n")
    shop.migration("001_waits", "ddl: [{sql: ALTER TABLE w_orders ADD COLUMN a int}]")
    with database.connect() as holder:
        holder.execute("BEGIN")
        holder.execute("LOCK TABLE w_orders IN ACCESS SHARE MODE")
        running = shop.start("migrate", "--dry-run", "--format", "json")
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND waitstart < now() - interval '2 seconds'"
        wait_until(lambda: database.value(waiting) == 1, "it waits")
        holder.execute("COMMIT")
    out, _ = running.communicate(timeout=120)
    (statement,) = json.loads(out)["statements"]
    waited = statement["locks"][0]["taken_ms"] - statement["started_ms"]
    assert waited > 1_900, "more than it was held, by the wait"


def test_a_failing_dry_run_says_where_and_what_it_saw(filled: Project, database: Database) -> None:
    filled.migration("002_fails", "ddl: [{name: boom, sql: SELECT 1/0}]")
    report = rehearse(filled, expect=4).json
    assert report["outcome"] == "rolled back"
    assert [diagnostic["code"] for diagnostic in report["diagnostics"]] == ["22012"]
    assert report["diagnostics"][0]["file"] == "migrations/002_fails.yaml"
    assert len(report["statements"]) == 4, "what ran before"
    assert report["estimated_production_time_ms"] is None
    assert database.value("SELECT to_regnamespace('confiture')") is None


def test_a_protected_environment_wants_yes(filled: Project) -> None:
    filled.write(
        "confiture.yaml", "environments: {production: {protected: true}}\nmigrations: migrations\nschemas: schemas\n"
    )
    refused = filled.run("migrate", "--dry-run", "--env", "production", expect=2)
    assert "--yes" in refused.err
    filled.run("migrate", "--dry-run", "--env", "production", "--yes")
    filled.run("migrate", "up", "--env", "production", "--confirm", "production")


def test_predictions_are_held_against_what_happened(filled: Project) -> None:
    rehearse(filled, "--repeat", "3")
    filled.run("migrate", "up")
    (applied,) = filled.run("migrate", "status", "--format", "json").json["applied"]
    assert applied["predicted_low_ms"] <= applied["predicted_ms"] <= applied["predicted_high_ms"]
    assert applied["steps_took_ms"] > 0
    shown = filled.run("migrate", "status").out
    assert re.search(r"Prediction accuracy: [01] of 1 predictions were correct", shown)
    filled.migration("002_more", "ddl: [{sql: SELECT 1}]")
    assert any("prediction accuracy" in note for note in rehearse(filled).json["notes"])


def test_a_changed_migration_has_no_prediction(filled: Project) -> None:
    rehearse(filled)
    filled.migration("001_alter", "ddl: [{sql: ALTER TABLE w_orders ADD COLUMN other int}]")
    filled.run("migrate", "up")
    (applied,) = filled.run("migrate", "status", "--format", "json").json["applied"]
    assert applied["predicted_ms"] is None


def test_who_holds_locks_beforehand_is_named(filled: Project, database: Database) -> None:
    filled.write(
        "confiture.yaml", "database: {lock_timeout: 100ms, retries: 0}\nmigrations: migrations\nschemas: schemas\n"
    )
    with database.connect(application_name="the report") as holder:
        holder.execute("BEGIN")
        holder.execute("SELECT count(*) FROM w_orders")
        time.sleep(1.1)  # younger transactions are not named
        report = rehearse(filled, expect=4).json
    assert any("the report" in note and "ACCESS SHARE on w_orders" in note for note in report["notes"])
    assert report["diagnostics"][0]["code"] == "55P03"


def test_who_came_in_the_way_later_is_named_behind_a_lock_timeout(filled: Project, database: Database) -> None:
    filled.write(
        "confiture.yaml", "database: {lock_timeout: 1500ms, retries: 0}\nmigrations: migrations\nschemas: schemas\n"
    )
    with database.connect(application_name="the early") as early, database.connect(application_name="the late") as late:
        early.execute("BEGIN")
        early.execute("SELECT count(*) FROM w_tenants")
        time.sleep(1.1)
        filled.migration("000_first", "ddl: [{sql: 'SELECT count(*) FROM w_tenants'}]")
        late.execute("BEGIN")
        late.execute("SELECT count(*) FROM w_orders")
        notes = rehearse(filled, expect=4).json["notes"]
    assert [name for note in notes for name in ("the early", "the late") if name in note] == ["the early", "the late"]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL, None])
def test_an_interrupted_dry_run_leaves_the_database_as_it_was(
    filled: Project, database: Database, how: signal.Signals | None
) -> None:
    """By signals to the client, or, where there is none, by the server ending the session."""
    filled.migration("002_long", "ddl: [{sql: SELECT pg_sleep(60)}]")
    before = database.dump()
    running = filled.start("migrate", "--dry-run")
    asleep = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%pg_sleep(60)%'"
    wait_until(lambda: database.value(asleep + " AND pid <> pg_backend_pid()") == 1, "it sleeps")
    if how is None:
        database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(60)%'"
        )
    else:
        running.send_signal(how)
    running.communicate(timeout=120)
    wait_until(lambda: database.value(asleep + " AND pid <> pg_backend_pid()") == 0, "the server ends it")
    assert database.dump() == before
    assert database.value("SELECT count(*) FROM w_orders") == 20_000
    assert database.value("SELECT to_regnamespace('confiture')") is None
    ours = "SELECT count(*) FROM pg_locks WHERE locktype IN ('relation', 'advisory') AND pid <> pg_backend_pid()"
    assert (
        database.value(ours + " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())") == 0
    )


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_html_report_stands_alone_and_escapes(filled: Project) -> None:
    filled.migration("002_odd", "ddl: [{name: '<script>alert(1)</script>', sql: SELECT '<b>'}]")
    filled.run("migrate", "--dry-run", "--report", "out.html")
    text = (filled.root / "out.html").read_text()
    page = _Page()
    page.feed(text)
    assert page.links == []
    assert "script" not in page.tags
    assert page.tags.count("rect") > 0
    assert "&lt;b&gt;" in text


def test_markdown_and_github_carry_warnings(filled: Project) -> None:
    filled.write("confiture.yaml", "database: {max_blocking: 1ms}\nmigrations: migrations\nschemas: schemas\n")
    markdown = filled.run("migrate", "--dry-run", "--format", "markdown").out
    assert "#### Warnings" in markdown
    assert "| w\\_orders | ACCESS EXCLUSIVE |" in markdown
    github = filled.run("migrate", "--dry-run", "--format", "github").out
    assert re.search(
        r"^::warning file=migrations/001_alter.yaml,line=3,col=\d+,title=confiture%3A type_rewrite::", github, re.M
    )


def test_locks_shows_what_a_running_migration_holds(shop: Project, database: Database) -> None:
    database.execute(TABLES)
    shop.migration("001_slow", "ddl: [{sql: ALTER TABLE w_orders ADD COLUMN a int}, {sql: SELECT pg_sleep(60)}]")
    assert "No migration holds or waits for a lock" in shop.run("locks").out
    running = shop.start("migrate", "up")
    try:
        held = "SELECT count(*) FROM pg_locks WHERE relation = 'w_orders'::regclass AND mode = 'AccessExclusiveLock'"
        wait_until(lambda: database.value(held) == 1, "it holds the lock")
        (session,) = json.loads(shop.run("locks", "--format", "json").out)["sessions"]
        assert {"relation": "w_orders", "mode": "AccessExclusiveLock", "granted": True} in session["locks"]
        assert "migrate up" in session["application_name"]
        assert "w_orders" in shop.run("locks").out
    finally:
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=120)


def test_a_prediction_that_cannot_be_kept_does_not_cost_the_report(filled: Project) -> None:
    filled.write(".confiture", "a file where the folder would be")
    report = rehearse(filled).json
    assert report["outcome"] == "done"
    assert any("the prediction was not saved" in note for note in report["notes"])
