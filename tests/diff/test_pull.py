"""`confiture pull`: files that create the same schema, in an order in which they can be loaded, without secrets."""

from __future__ import annotations

import pytest

from confiture.core.db.connection import ConnectionTarget
from confiture.core.dump.pg_dump import dump_schema
from tests.support.every_kind import EVERY_KIND, SECRETS

_VARIABLES = """\
vars:
  wrapper_secret: hidden-password
  remote_host: hidden-host
  user_mapping_public_server_remote_user: u
  user_mapping_public_server_remote_password: hidden-password
  public_far_column_name: hidden-column
  public_far_table_name: hidden-table
"""


@pytest.fixture
def every_kind(database):
    database.execute(EVERY_KIND)
    return database


def test_pull_then_diff_is_empty(every_kind, project):
    pulled = project.run("pull", "--database", every_kind.url, "--format", "json").json
    files = {path: (project.root / path).read_text() for path in pulled["files"]}
    assert not [secret for secret in SECRETS for text in (*files.values(), str(pulled)) if secret in text]
    (orders,) = [text for path, text in files.items() if path.endswith("public.w_orders.sql")]
    for part in (
        "CREATE INDEX",
        "CREATE TRIGGER",
        "COMMENT ON COLUMN",
        "GRANT SELECT",
        "ADD GENERATED",
        "ATE STATISTICS",
    ):
        assert part in orders
    assert "remote_host" in " ".join(pulled["notes"])

    project.write("confiture.yaml", _VARIABLES)
    result = project.run("diff", "--database", every_kind.url)
    assert "no differences" in result.out
    assert not [secret for secret in SECRETS if secret in result.out + result.err]


def test_pull_never_overwrites(every_kind, project):
    project.ddl("10_tables/w_a.sql", "CREATE TABLE w_a (id int);")
    result = project.run("pull", "--database", every_kind.url, expect=2)
    assert "schemas already contains 1 schema file" in result.err
    assert len([*project.root.rglob("*.sql")]) == 1
    project.run("pull", "--database", every_kind.url, "--to", "pulled")
    assert len([*project.root.rglob("*.sql")]) > 50


def test_the_baseline_migration_creates_the_schema(every_kind, project):
    project.write("confiture.yaml", _VARIABLES)
    project.run("pull", "--database", every_kind.url)
    project.run("pull", "--database", every_kind.url, "--baseline")
    pin = (project.root / "migrations/000_baseline/schema.sql.j2").read_text()
    assert not [secret for secret in SECRETS if secret in pin]
    assert "no differences" in project.run("diff", "--migrations", "--database", every_kind.url).out
    assert (
        "000_baseline.yaml already exists"
        in project.run("pull", "--database", every_kind.url, "--baseline", expect=2).err
    )


def test_every_entry_of_pg_dump_is_a_difference_from_an_empty_database(every_kind, project):
    """Found by name: an entry describes one object, a comment on it, or its privileges."""
    target = ConnectionTarget(conninfo=every_kind.url, label="all", origin="test")
    dump = dump_schema(target, every_kind.server.version * 10_000)
    every_kind.server.execute("CREATE DATABASE nothing TEMPLATE template0")
    try:
        empty = every_kind.server.url("nothing")
        changes = project.run(
            "diff", "--database", empty, "--against", every_kind.url, "--format", "json", expect=7
        ).json
    finally:
        every_kind.server.execute("DROP DATABASE nothing")
    created = {(change["kind"], change["identity"]) for change in changes["changes"]}
    kinds = {kind for kind, _ in created}
    expected = {
        *("access method", "aggregate", "cast", "collation", "composite type", "conversion", "event trigger"),
        *("extension", "foreign table", "foreign-data wrapper", "function", "language", "materialized view"),
        *("operator", "operator class", "operator family", "procedure", "publication", "schema", "sequence", "server"),
        *("table", "text search configuration", "text search dictionary", "text search parser"),
        *("text search template", "transform", "type", "view", "default acl"),
    }
    assert expected <= kinds, expected - kinds
    names = " ".join(identity for _, identity in created)
    parts = {
        "COMMENT",
        "ACL",
        "INDEX",
        "CONSTRAINT",
        "FK CONSTRAINT",
        "TRIGGER",
        "POLICY",
        "RULE",
        "DEFAULT",
        "STATISTICS",
    }
    missing = [
        (entry.kind, entry.tag)
        for entry in dump.entries
        if entry.kind in ("TABLE", "VIEW", "FUNCTION", "SEQUENCE", "TYPE", "DOMAIN")
        and entry.tag.partition("(")[0] not in names
        and entry.kind not in parts
        and not entry.tag.endswith("_seq")
    ]
    assert missing == []


def test_values_of_options_cannot_leave_their_literal(database, project):
    """Names of variables are unique in the whole schema, and the template quotes their values."""
    database.execute("""
        CREATE SCHEMA x1; CREATE SCHEMA x2; CREATE FOREIGN DATA WRAPPER w;
        CREATE SERVER "a b" FOREIGN DATA WRAPPER w OPTIONS (password 'one''s \\ secret');
        CREATE SERVER a_b FOREIGN DATA WRAPPER w OPTIONS (password 'two');
        CREATE SERVER "日本" FOREIGN DATA WRAPPER w OPTIONS (password 'three');
        CREATE FOREIGN TABLE x1.ft (i int) SERVER a_b OPTIONS (name 'four');
        CREATE FOREIGN TABLE x2.ft (i int) SERVER a_b OPTIONS (name 'five');
    """)
    project.run("pull", "--database", database.url)
    project.write(
        "confiture.yaml",
        r"""
        vars:
          a_b_password: "one's \\ secret"
          a_b_password_2: two
          object_password: three
          x1_ft_name: four
          x2_ft_name: five
        """,
    )
    assert "no differences" in project.run("diff", "--database", database.url).out
