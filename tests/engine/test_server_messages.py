"""PostgreSQL messages are shown with their step and kept in the report."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.projects import Project
from tests.support.servers import Database

_RAISE = "DO $$ BEGIN RAISE {} 'from {}' USING DETAIL = 'more'; END $$"


def messages(shop: Project, *arguments: str, expect: int = 0) -> list[tuple[str, str, str]]:
    """The messages of a run: step, severity and text."""
    found: list[dict[str, Any]] = shop.run("migrate", *arguments, "--format", "json", expect=expect).json[
        "server_messages"
    ]
    return [(one["step"], one["severity"], one["message"]) for one in found]


@pytest.mark.parametrize("command", ["--dry-run", "up"])
def test_messages_are_reported_with_their_step(shop: Project, command: str) -> None:
    steps = "".join(
        f"  - name: {level}\n    sql: {_RAISE.format(level, level)}\n"
        for level in ("notice", "warning", "info", "debug")
    )
    shop.migration("001_a", f"ddl:\n{steps}")
    shop.write("events.sh", "")
    text = shop.run("migrate", "--dry-run", "--report", "page.html", "--events", "events.jsonl")
    assert "001 warning: WARNING: from warning (more)" in text.err + text.out
    assert "warning: WARNING: from warning (more)" in (shop.root / "page.html").read_text()
    assert '"event": "server_message"' in (shop.root / "events.jsonl").read_text()
    assert messages(shop, command) == [
        ("notice", "NOTICE", "from notice"),
        ("warning", "WARNING", "from warning"),
        ("info", "INFO", "from info"),
    ]


@pytest.mark.parametrize("command", ["--dry-run", "up"])
@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("CREATE TABLE IF NOT EXISTS t (id int)", 'relation "t" already exists, skipping'),
        ("CREATE INDEX IF NOT EXISTS i ON t (id)", 'relation "i" already exists, skipping'),
        ("ALTER TABLE t ADD COLUMN IF NOT EXISTS id int", 'column "id" of relation "t" already exists, skipping'),
        ("CREATE SCHEMA IF NOT EXISTS s", 'schema "s" already exists, skipping'),
        ("DROP TABLE IF EXISTS missing", 'table "missing" does not exist, skipping'),
    ],
)
def test_what_is_skipped_is_visible(shop_18: Project, database_18: Database, command: str, sql: str, text: str) -> None:
    database_18.execute("CREATE TABLE t (id int); CREATE INDEX i ON t (id); CREATE SCHEMA s")
    shop_18.migration("001_a", f"ddl:\n  - name: one\n    sql: {sql}\n")
    assert messages(shop_18, command) == [("one", "NOTICE", text)]


def test_an_index_built_concurrently_that_exists(shop: Project, database: Database) -> None:
    database.execute("CREATE TABLE t (id int, e int); CREATE INDEX i ON t (id)")
    shop.migration("001_a", "ddl:\n  - name: one\n    sql: CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON t (e)\n")
    skipped = [("one", "NOTICE", 'relation "i" already exists, skipping')]
    assert messages(shop, "--dry-run") == skipped
    assert messages(shop, "up") == skipped


def test_messages_of_a_failed_step_are_reported(shop_18: Project) -> None:
    raised = _RAISE.format("WARNING", "before")
    shop_18.migration("001_a", f"ddl:\n  - name: one\n    sql: |\n      {raised};\n      SELECT 1 / 0\n")
    assert messages(shop_18, "up", expect=4) == [("one", "WARNING", "from before")]


def test_repeated_messages_are_counted(shop_18: Project) -> None:
    loop = "DO $$ BEGIN FOR i IN 1..{} LOOP RAISE NOTICE '{}', i{}; END LOOP; END $$"
    same, different = loop.format(500, "row %", " * 0"), loop.format(500, "row %", "")
    shop_18.migration("001_a", f"ddl:\n  - name: a\n    sql: {same}\n  - name: b\n    sql: {different}\n")
    report = shop_18.run("migrate", "up", "--format", "json").json
    assert [one["message"] for one in report["server_messages"]] == ["row 0", *(f"row {n}" for n in range(1, 51))]
    assert report["notes"] == [
        "001 a: PostgreSQL sent 499 more messages, repeated or beyond the first 50",
        "001 b: PostgreSQL sent 450 more messages, repeated or beyond the first 50",
    ]


def test_messages_of_triggers_in_a_backfill(shop_18: Project, database_18: Database) -> None:
    database_18.execute(
        "CREATE TABLE w (id int PRIMARY KEY); INSERT INTO w SELECT generate_series(1, 300); CREATE TABLE r (id int);"
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE WARNING 'a row'; RETURN NEW; END $$;"
        "CREATE TRIGGER t BEFORE INSERT ON r FOR EACH ROW EXECUTE FUNCTION f()"
    )
    shop_18.migration(
        "001_a",
        "ddl:\n  - name: fill\n    backfill:\n      into: r\n      from: w\n      on_writes: ignore\n"
        "      batch_rows: 100\n      sql: INSERT INTO r SELECT id FROM w WHERE {{ batch }}\n",
    )
    for command in ("--dry-run", "up"):
        assert messages(shop_18, command) == [("fill", "WARNING", "a row")], command


def test_messages_of_a_hook(shop_18: Project) -> None:
    shop_18.write(
        "migrations/001_a.py",
        """
        from confiture import Hook, HookPhase, HookResult, Migration, register_hook

        class Raise(Hook):
            phase = HookPhase.AFTER_DDL

            def execute(self, conn, context):
                conn.execute("DO $$ BEGIN RAISE WARNING 'from a hook'; END $$")
                return HookResult(phase="AFTER_DDL", hook_name="raise", rows_affected=0)

        register_hook("raise", Raise)

        class A(Migration):
            def up(self):
                self.execute("SELECT 1", name="one")
                self.hook("raise", phase="after_ddl")
        """,
    )
    for command in ("--dry-run", "up"):
        assert messages(shop_18, command) == [("raise", "WARNING", "from a hook")]


def test_secrets_in_messages_are_hidden(shop_18: Project) -> None:
    shop_18.migration("001_a", "ddl:\n  - name: one\n    sql: DO $$ BEGIN RAISE NOTICE '{{ password }}'; END $$\n")
    report = shop_18.run("migrate", "up", "--var", "password=hunter22hunter", "--format", "json").json
    assert [one["message"] for one in report["server_messages"]] == ["***"]
