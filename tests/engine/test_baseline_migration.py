"""A baseline migration: recorded on the database that exists, and run on an empty one."""

from __future__ import annotations

from tests.support.projects import Project
from tests.support.servers import Database

SCHEMA = """
SET lock_timeout = 0;
SELECT pg_catalog.set_config('search_path', '', false);
CREATE TABLE public.w_orders (id bigint NOT NULL, code text);
ALTER TABLE ONLY public.w_orders ADD CONSTRAINT w_orders_pkey PRIMARY KEY (id);
CREATE INDEX w_orders_code ON public.w_orders USING btree (code);
"""


def _baseline(project: Project) -> None:
    project.write("migrations/000_baseline.yaml", "ddl: [schema.sql]\n")
    project.write("migrations/000_baseline/schema.sql", SCHEMA)
    project.ddl("orders.sql", "CREATE TABLE w_orders (id bigint PRIMARY KEY, code text, n int);\n")
    project.ddl("z_indexes.sql", "CREATE INDEX w_orders_code ON w_orders (code);\n")
    project.migration("001_n", "ddl:\n  - sql: ALTER TABLE w_orders ADD COLUMN n int\n")


def test_an_empty_database_runs_the_baseline_and_lint_begins_there(shop_18: Project) -> None:
    _baseline(shop_18)
    result = shop_18.run("lint", "--fail-on", "info", "--rule", "create_index_blocking", "--rule", "no_lock_timeout")
    assert "Nothing found" in result.out
    assert "Nothing found" in shop_18.run("lint", "--rule", "schema_files_differ").out
    assert shop_18.run("lint", "--format", "json", expect=None).json["before"]["source"] == "empty"
    shop_18.run("migrate", "up")
    assert [one["version"] for one in shop_18.run("migrate", "status", "--format", "json").json["applied"]] == [
        "000",
        "001",
    ]


def test_the_existing_database_records_the_baseline_even_after_later_migrations(
    shop_18: Project, database_18: Database
) -> None:
    database_18.execute(SCHEMA.split(";\n", 2)[2])
    shop_18.migration("001_n", "ddl:\n  - sql: ALTER TABLE w_orders ADD COLUMN n int\n")
    shop_18.run("migrate", "up")
    _baseline(shop_18)
    shop_18.run("migrate", "baseline", "000")
    applied = shop_18.run("migrate", "status", "--format", "json").json["applied"]
    assert {one["version"]: one["origin"] for one in applied} == {"000": "baseline", "001": "run"}
    assert "Nothing to do" in shop_18.run("migrate", "up").out


def test_a_baseline_of_another_database_is_refused(shop_18: Project) -> None:
    _baseline(shop_18)
    result = shop_18.run("migrate", "baseline", "000", expect=7)
    assert "the database has no table w_orders" in result.err
