"""Pins and databases: what runs, what may change, and what `pin` refuses."""

from __future__ import annotations

import pytest

from tests.support.engine import migrate_up
from tests.support.projects import Project
from tests.support.servers import Database

pytestmark = pytest.mark.versions_alike

PIN = "migrations/001_a/a.sql"


def pin_errors(shop: Project, *arguments: str) -> list[str]:
    result = shop.run("migrate", "pin", *arguments, "--format", "json", expect=2).json
    return [one["code"] for one in result.get("problems") or result["diagnostics"]]


def test_a_project_with_a_history_can_be_pinned(shop: Project, database: Database) -> None:
    shop.ddl("a.sql", "CREATE TABLE a (x int);")
    shop.migration("001_a", "ddl: [a.sql]\ndown: [{sql: DROP TABLE a}]\n")
    shop.migration("002_b", "ddl: [{file: schemas/b.sql}]\n")
    shop.ddl("b.sql", "CREATE TABLE b (x int);")
    shop.run("migrate", "up", "--to", "001")
    assert shop.run("migrate", "pin").out == (
        f"{PIN}: pinned from schemas/a.sql\nmigrations/002_b/b.sql: pinned from schemas/b.sql\n"
    )
    assert shop.run("migrate", "up", "--to", "001").out.startswith("Nothing to do")
    shop.ddl("a.sql", "CREATE TABLE a (x int, y int);")
    shop.ddl("b.sql", "CREATE TABLE b (x int, y int);")
    migrate_up(shop).expect(0)
    assert database.rows("SELECT relname::text FROM pg_class WHERE relname IN ('a', 'b') AND relnatts = 1") == [
        ("a",),
        ("b",),
    ]
    shop.run("migrate", "status")


def test_only_the_text_that_ran_is_pinned(shop: Project) -> None:
    shop.ddl("a.sql", "CREATE TABLE a (x int);")
    shop.ddl("b.sql", "CREATE TABLE b (x int);")
    shop.migration("001_a", "ddl: [a.sql, b.sql]\n")
    migrate_up(shop).expect(0)
    shop.ddl("a.sql", "CREATE TABLE a (x int, y int);")
    shop.ddl("b.sql", "CREATE TABLE b (x int) -- the same\n")
    assert pin_errors(shop) == ["unknown-text"]
    assert not (shop.root / PIN).exists()
    assert (shop.root / "migrations/001_a/b.sql").read_text() == "CREATE TABLE b (x int) -- the same\n"
    shop.ddl("a.sql", "CREATE TABLE a (x int);")
    shop.run("migrate", "pin", "001")
    shop.ddl("a.sql", "CREATE TABLE a (x int, y int);")
    migrate_up(shop).expect(0)


def test_only_a_pending_migration_gets_other_pins(shop: Project) -> None:
    shop.ddl("a.sql", "CREATE TABLE a (x int);")
    shop.migration("001_a", "ddl: [a.sql]\n")
    shop.run("migrate", "pin")
    shop.ddl("a.sql", "CREATE TABLE a (x int, y int);")
    assert shop.run("migrate", "pin", "001").out == "Nothing to do: everything is pinned.\n"
    assert shop.run("migrate", "pin", "--replace", "001").out == f"{PIN}: pinned from schemas/a.sql\n"
    assert (shop.root / PIN).read_text() == "CREATE TABLE a (x int, y int);"
    migrate_up(shop).expect(0)
    shop.ddl("a.sql", "CREATE TABLE a (x int, y int, z int);")
    assert pin_errors(shop, "--replace", "001") == ["not-pending"]
    shop.write(PIN, "CREATE TABLE a (x text);")
    ran = migrate_up(shop).expect(7)
    assert ran.diagnostic.code == "drift"


def test_without_a_database_only_offline_pins(shop: Project) -> None:
    shop.ddl("a.sql", "SELECT 1;")
    shop.migration("001_a", "ddl: [a.sql]\n")
    unreachable = ("--database", "postgresql://127.0.0.1:1/x?connect_timeout=2")
    shop.run("migrate", "pin", *unreachable, expect=3)
    assert not (shop.root / PIN).exists()
    shop.run("migrate", "pin", "--offline", *unreachable)
    assert (shop.root / PIN).exists()
