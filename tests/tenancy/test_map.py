"""`confiture tenancy map`: how each table belongs to tenants, from files and from a database alike."""

from __future__ import annotations

from tests.support.projects import Project
from tests.support.servers import Database

SETTINGS = """
migrations: migrations
schemas: schemas
tenancy:
  tables: [w_*, r_*]
  except: [r_static_*]
"""
SCHEMA = """
CREATE TABLE tenants (id bigint PRIMARY KEY, name text);
CREATE TABLE w_orders (
    tenant_id bigint REFERENCES tenants, id bigint, parts bigint[], PRIMARY KEY (tenant_id, id), UNIQUE (id));
CREATE TABLE w_lines (id bigint PRIMARY KEY, order_id bigint NOT NULL REFERENCES w_orders (id));
CREATE TABLE w_line_notes (line_id bigint REFERENCES w_lines, body text);
CREATE TABLE log (tenant_id bigint, body text);
CREATE TABLE r_static_kinds (id bigint PRIMARY KEY);
CREATE TABLE countries (code text PRIMARY KEY);
CREATE TABLE w_parts (tenant_id bigint, id bigint) PARTITION BY LIST (tenant_id);
CREATE TABLE p_1 PARTITION OF w_parts FOR VALUES IN (1);
"""


def test_map_of_files_and_of_the_database(project: Project, database: Database) -> None:
    project.write("confiture.yaml", SETTINGS)
    project.ddl("01.sql", SCHEMA)
    database.execute(SCHEMA)
    project.environ["DATABASE_URL"] = database.url
    of_files = project.run("tenancy", "map", "--format", "json").json
    of_database = project.run("tenancy", "map", "--live", "--format", "json").json
    assert of_files["source"] == "files" and of_files["tables"] == of_database["tables"]
    tables = {table["name"]: table for table in of_files["tables"]}
    assert {name: table["belonging"] for name, table in tables.items()} == {
        "countries": "shared",
        "log": "left out",
        "r_static_kinds": "left out",
        "tenants": "registry",
        "w_line_notes": "by foreign key",
        "w_lines": "by foreign key",
        "w_orders": "tenant",
        "w_parts": "tenant",
    }
    assert [(hop["table"], hop["columns"], hop["target"]) for hop in tables["w_line_notes"]["path"]] == [
        ("w_line_notes", ["line_id"], "w_lines"),
        ("w_lines", ["order_id"], "w_orders"),
    ]
    assert tables["log"]["why"] == "has tenant_id, but no pattern in tenancy.tables matches it"
    assert tables["r_static_kinds"]["why"] == "`r_static_*` in tenancy.except excludes it"
    assert tables["w_lines"]["why"] == (
        "has no tenant_id; order_id → w_orders(id), whose rows name it: w_orders.tenant_id"
    )


def test_map_as_a_table(project: Project) -> None:
    project.ddl("01.sql", SCHEMA)
    out = project.run("tenancy", "map").out
    assert "tenant_id in other tables refers to its id, so each row is a tenant" in out
    assert "8 tables in files, tenant column tenant_id: 3 tenant, 1 registry, 2 by foreign key, 2 shared." in out


def test_map_of_nothing(project: Project) -> None:
    assert project.run("tenancy", "map").out == "No tables in files.\n"


def test_mistakes_in_files_are_told(project: Project) -> None:
    project.ddl("01.sql", "CREATE TABEL x ()")
    assert "01.sql:1" in project.run("tenancy", "map", expect=2).err
