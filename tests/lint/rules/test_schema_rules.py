"""Rules about tables, case by case: what each finds, and above all what it leaves alone."""

from __future__ import annotations

from typing import Any

import pytest

from confiture.models.settings import RuleSettings, TenancySettings
from tests.support.schema_cases import assert_finds, case, lint


@pytest.mark.parametrize(
    ("sql", "fragments", "options"),
    [
        case("has one", "CREATE TABLE t (id bigint PRIMARY KEY)"),
        case("added later", "CREATE TABLE t (id bigint); ALTER TABLE t ADD PRIMARY KEY (id)"),
        case(
            "dropped later", "CREATE TABLE t (id bigint PRIMARY KEY); ALTER TABLE t DROP CONSTRAINT t_pkey", "t has no"
        ),
        case(
            "dropped with its column",
            "CREATE TABLE t (id bigint PRIMARY KEY, a int); ALTER TABLE t DROP id",
            "t has no",
        ),
        case("with quotes and a schema", 'CREATE SCHEMA s; CREATE TABLE s."T" (a int)', "s.T has no primary key"),
        case("temporary", "CREATE TEMPORARY TABLE t (a int)"),
        case("unlogged", "CREATE UNLOGGED TABLE t (a int)", "t has no primary key"),
        case("foreign", "CREATE FOREIGN TABLE t (a int) SERVER elsewhere"),
        case(
            "partitions are judged by the whole",
            "CREATE TABLE t (a int) PARTITION BY LIST (a); CREATE TABLE t1 PARTITION OF t FOR VALUES IN (1)",
            "t has no primary key",
        ),
        case(
            "partitions with keys of their own",
            "CREATE TABLE t (a int) PARTITION BY LIST (a);"
            "CREATE TABLE t1 PARTITION OF t (PRIMARY KEY (a)) FOR VALUES IN (1)",
        ),
        case(
            "children do not inherit it",
            "CREATE TABLE p (id bigint PRIMARY KEY); CREATE TABLE c () INHERITS (p)",
            "c has no primary key: it does not inherit the primary key of p",
        ),
        case("an abstract parent", "CREATE TABLE p (id int); CREATE TABLE c (PRIMARY KEY (id)) INHERITS (p)"),
        case("a unique key that could be it", "CREATE TABLE t (a int NOT NULL UNIQUE)", "only a unique index"),
        case("a nullable unique key could not", "CREATE TABLE t (a int UNIQUE)", "t has no primary key"),
        case(
            "a partial one could not",
            "CREATE TABLE t (a int NOT NULL); CREATE UNIQUE INDEX ON t (a) WHERE a > 0",
            "t has no primary key",
        ),
        case("LIKE with its indexes", "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (LIKE a INCLUDING ALL)"),
        case("LIKE without", "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (LIKE a)", "b has no primary key"),
        case("CREATE TABLE AS", "CREATE TABLE t AS SELECT 1 AS a", "t has no primary key"),
    ],
)
def test_requires_primary_key(sql: str, fragments: tuple[str, ...], options: dict[str, Any]) -> None:
    assert_finds(lint("requires_primary_key", sql, options=options), *fragments)


TWO = "CREATE TABLE a (k int, n int); CREATE TABLE b (k int, o int);"


def test_a_unique_index_becomes_the_primary_key() -> None:
    sql = "CREATE TABLE t (a int NOT NULL, b int NOT NULL); CREATE UNIQUE INDEX t_a_b ON t (a, b)"
    (finding,) = lint("requires_primary_key", sql)
    assert finding.remedy == "ALTER TABLE t\n    ADD CONSTRAINT t_a_b PRIMARY KEY USING INDEX t_a_b;"
    assert lint("requires_primary_key", f"{sql}; {finding.remedy}") == ()


@pytest.mark.parametrize(
    ("texts", "fragments"),
    [
        (
            ("CREATE TABLE t (a int)", "CREATE TABLE t (a int)"),
            ("relation t already exists: schemas/01.sql:1:14 creates it",),
        ),
        (("CREATE TABLE t (a int)", "CREATE TABLE IF NOT EXISTS t (a int)"), ()),
        (("CREATE TABLE t (a int)", "DROP TABLE t; CREATE TABLE t (a int)"), ()),
        (("CREATE TABLE t (a int)", "CREATE SCHEMA s; CREATE TABLE s.t (a int)"), ()),
        (("CREATE TABLE t (a int)", "CREATE VIEW t AS SELECT 1"), ("relation t already exists",)),
        (("CREATE VIEW v AS SELECT 1", "CREATE OR REPLACE VIEW v AS SELECT 1"), ()),
        (("CREATE TABLE t (a int, a int)",), ("column t.a already exists",)),
    ],
)
def test_duplicate_object(texts: tuple[str, ...], fragments: tuple[str, ...]) -> None:
    assert_finds(lint("duplicate_object", *texts), *fragments)


@pytest.mark.parametrize(
    ("texts", "fragments"),
    [
        (("CREATE TABLE b (a int REFERENCES a)",), ("table a does not exist",)),
        (
            ("CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE b (a int REFERENCES a (key))"),
            ("column a.key does not",),
        ),
        (("CREATE INDEX ON t (a)",), ("relation t does not exist",)),
        (("CREATE TABLE t (a int)", "CREATE INDEX ON t (b)"), ("column t.b does not exist",)),
        (("CREATE TABLE t (a int)", "CREATE INDEX ON t (ctid)"), ()),
        (("CREATE TABLE t (a stage)",), ("type stage does not exist",)),
        (("CREATE EXTENSION postgis", "CREATE TABLE t (a geometry(Point, 4326))"), ()),
        # something else makes schemas that no file makes
        (("CREATE TABLE b (a int REFERENCES auth.users)",), ()),
        (("CREATE SCHEMA auth; CREATE TABLE b (a int REFERENCES auth.users)",), ("table auth.users does not exist",)),
        (
            ("CREATE TABLE shop.b (a int); CREATE INDEX ON shop.b (a)", "CREATE VIEW shop.c AS SELECT 1"),
            ("schema shop does not exist in these files",),
        ),
        (("CREATE TABLE shop.b (a int)", "CREATE SCHEMA shop"), ()),
        # partitions
        (
            ("CREATE TABLE a (k int)", "CREATE TABLE b PARTITION OF a FOR VALUES IN (1)"),
            ("table a is not partitioned",),
        ),
        (
            ("CREATE TABLE a (k int); CREATE TABLE b (k int)", "ALTER TABLE a ATTACH PARTITION b FOR VALUES IN (1)"),
            ("table a is not partitioned",),
        ),
        # rows
        (
            (
                "INSERT INTO a VALUES (1); UPDATE b SET x = 1; DELETE FROM c; COPY d FROM STDIN; TRUNCATE e, pg_f;"
                "MERGE INTO g USING g AS h ON true WHEN MATCHED THEN DELETE; COPY (SELECT 1) TO STDOUT",
            ),
            tuple(f"relation {name} does not exist" for name in "abcdeg"),
        ),
        (
            ("CREATE TABLE a (k int)", "INSERT INTO a (k, n) VALUES (1, 2); UPDATE a SET k = 1, m = 2"),
            ("column a.n does not", "column a.m does not"),
        ),
        (("INSERT INTO a (k) VALUES (1)", "CREATE TABLE a (n int); ALTER TABLE a ADD k int"), ()),
        (("CREATE EXTENSION something; INSERT INTO its_table VALUES (1)",), ()),
        (("DO $$ BEGIN EXECUTE 'CREATE TABLE a (k int)'; END $$; INSERT INTO a VALUES (1)",), ()),
        (("CREATE TEMP TABLE a (k int); INSERT INTO a VALUES (1)",), ()),
        (("CREATE VIEW a AS SELECT 1 AS k; INSERT INTO a (k) VALUES (1)",), ()),
        # columns that views read
        ((f"{TWO} CREATE VIEW v AS SELECT k, m FROM a",), ("column a.m does not exist",)),
        ((f"{TWO} CREATE VIEW v AS SELECT a.k, x.m FROM a JOIN b AS x ON x.k = a.k",), ("column b.m does not exist",)),
        (
            (f"{TWO} CREATE VIEW v AS SELECT 1 FROM a WHERE EXISTS (SELECT FROM b WHERE b.k = a.m)",),
            ("column a.m does",),
        ),
        ((f"{TWO} CREATE VIEW v AS SELECT k FROM a UNION SELECT z FROM b ORDER BY k",), ("column b.z does not exist",)),
        ((f"{TWO} CREATE MATERIALIZED VIEW v AS SELECT a.m FROM a",), ("column a.m does not exist",)),
        ((f"{TWO} CREATE VIEW v AS SELECT k FROM a; CREATE VIEW w AS SELECT v.n FROM v",), ("column v.n does not",)),
        ((f"{TWO} CREATE VIEW v AS SELECT k, m FROM a", "ALTER TABLE a ADD m int"), ()),
        ((f"{TWO} CREATE VIEW v AS SELECT x, p.y FROM a AS p (x, y)",), ()),
        ((f"{TWO} CREATE VIEW v AS SELECT a, a.*, a.ctid, xmin, k AS j FROM a ORDER BY j",), ()),
        ((f"{TWO} CREATE VIEW v AS WITH a AS (SELECT 1 AS z) SELECT a.z, z FROM a",), ()),
        ((f"{TWO} CREATE VIEW v AS SELECT k, o FROM a JOIN b USING (k)",), ()),
        (
            (f"{TWO} CREATE VIEW v AS SELECT g, x.m FROM a, generate_series(1, a.n) AS g, LATERAL (SELECT 1 m) AS x",),
            (),
        ),
        ((f"{TWO} CREATE VIEW v AS SELECT (SELECT max(o) FROM a) FROM b",), ()),
        (
            (
                f"{TWO} CREATE FUNCTION label(a) RETURNS text LANGUAGE sql AS 'SELECT 1';"
                "CREATE VIEW v AS SELECT a.label FROM a",
            ),
            (),
        ),
        # migrations run files in an order of their own
        (("CREATE TABLE b (a int REFERENCES a)", "CREATE TABLE a (id int PRIMARY KEY)"), ()),
        (("CREATE TABLE t (a stage)", "CREATE TYPE stage AS ENUM ('open')"), ()),
        (("ALTER TABLE IF EXISTS t ADD COLUMN a int", "DROP TABLE IF EXISTS t"), ()),
    ],
)
def test_missing_reference(texts: tuple[str, ...], fragments: tuple[str, ...]) -> None:
    assert_finds(lint("missing_reference", *texts), *fragments)


@pytest.mark.parametrize(
    ("sql", "fragments", "options"),
    [
        case("has it", "CREATE TABLE r_a (id int, tenant_id int)"),
        case("has none", "CREATE TABLE r_a (id int)", "r_a has no column tenant_id"),
        case("added later", "CREATE TABLE r_a (id int); ALTER TABLE r_a ADD tenant_id int"),
        case("inherits it", "CREATE TABLE p (tenant_id int); CREATE TABLE r_a (id int) INHERITS (p)"),
        case("another case", 'CREATE TABLE r_a (id int, "Tenant_id" int)', "r_a has no column"),
        case(
            "parts",
            "CREATE TABLE r_a (id int) PARTITION BY LIST (id);CREATE TABLE r_a1 PARTITION OF r_a FOR VALUES IN (1)",
            "r_a has no column",
        ),
        case(
            "what tenants are",
            "CREATE TABLE w_tenants (id int PRIMARY KEY);CREATE TABLE r_a (tenant_id int REFERENCES w_tenants)",
        ),
        case("temporary", "CREATE TEMPORARY TABLE r_a (id int)"),
    ],
)
def test_requires_tenant_id(sql: str, fragments: tuple[str, ...], options: dict[str, Any]) -> None:
    assert_finds(lint("requires_tenant_id", sql, options=options), *fragments)


def test_the_tenancy_settings_say_which_column_and_which_tables() -> None:
    sql = (
        "CREATE TABLE r_a (id int); CREATE TABLE r_static_b (id int); CREATE TABLE countries (id int);"
        "CREATE TABLE w_a (shop uuid)"
    )
    tenancy = TenancySettings(column="shop", tables=("w_*", "r_*"), exempt=("r_static_*",))
    (finding,) = lint("requires_tenant_id", sql, tenancy=tenancy)
    assert (finding.relation, finding.remedy) == ("r_a", "ALTER TABLE r_a ADD COLUMN shop uuid;")
    patterns = RuleSettings(type="requires_tenant_id", tables=("*",))
    findings = lint("requires_tenant_id", sql, tenancy=tenancy, entries=[patterns])
    assert [finding.relation for finding in findings] == ["r_a", "countries"]


@pytest.mark.parametrize(
    ("sql", "fragments", "options"),
    [
        case("has it", "CREATE TABLE t (at date)", column="at"),
        case("has none", "CREATE TABLE t (id int)", "t has no column at", column="at"),
        case("other spelling", "CREATE TABLE t (at int8)", column="at", column_type="bigint"),
        case("other spelling in the settings", "CREATE TABLE t (at bigint)", column="at", column_type="INT8"),
        case("with time zone", "CREATE TABLE t (at timestamptz)", column="at", column_type="timestamp with time zone"),
        case(
            "another type",
            "CREATE TABLE t (at date)",
            "t.at is date, not timestamptz",
            column="at",
            column_type="timestamptz",
        ),
        case("any length", "CREATE TABLE t (at varchar(5))", column="at", column_type="varchar"),
        case(
            "another length", "CREATE TABLE t (at varchar(5))", "not varchar(9)", column="at", column_type="varchar(9)"
        ),
        case("a domain over it", "CREATE DOMAIN d AS bigint; CREATE TABLE t (at d)", column="at", column_type="bigint"),
        case("the domain itself", "CREATE DOMAIN d AS bigint; CREATE TABLE t (at d)", column="at", column_type="d"),
        case("an array", "CREATE TABLE t (at int[])", "t.at is integer[], not int", column="at", column_type="int"),
        case("NULLs", "CREATE TABLE t (at date)", "t.at is nullable", column="at", not_null=True),
        case("no NULLs", "CREATE TABLE t (at date NOT NULL)", column="at", not_null=True),
        case("no NULLs in a key", "CREATE TABLE t (at date PRIMARY KEY)", column="at", not_null=True),
        case(
            "no NULLs in a domain",
            "CREATE DOMAIN d AS date NOT NULL; CREATE TABLE t (at d)",
            column="at",
            not_null=True,
        ),
        case(
            "both",
            "CREATE TABLE t (at date)",
            "t.at is date, not time and is nullable",
            column="at",
            column_type="time",
            not_null=True,
        ),
    ],
)
def test_requires_column(sql: str, fragments: tuple[str, ...], options: dict[str, Any]) -> None:
    options = {"column_type": None, "not_null": False, **options}
    assert_finds(lint("requires_column", sql, options=options), *fragments)


_SIDES = {"write_side_prefix": "w_", "read_side_prefix": "r_", "static_prefix": "r_static_"}


@pytest.mark.parametrize(
    ("sql", "fragments", "options"),
    [
        case("write side", "CREATE TABLE w_a (id int)", **_SIDES),
        case("read side", "CREATE TABLE r_a (id int); CREATE TABLE r_static_a (id int)", **_SIDES),
        case("neither", "CREATE TABLE a (id int)", "a does not begin with w_ or r_ or r_static_", **_SIDES),
        case(
            "parts",
            "CREATE TABLE w_a (id int) PARTITION BY LIST (id);CREATE TABLE a1 PARTITION OF w_a FOR VALUES IN (1)",
            **_SIDES,
        ),
        case("one side's prefix alone", "CREATE TABLE a (id int)", read_side_prefix="r_"),
        case(
            "style",
            'CREATE TABLE "Order" ("customerId" int, id int)',
            "table Order",
            "column Order.customerId",
            style="snake_case",
        ),
        case(
            "style of indexes", 'CREATE TABLE t (a int); CREATE INDEX "byA" ON t (a)', "index byA", style="snake_case"
        ),
        case(
            "plural",
            "CREATE TABLE w_order (id int); CREATE TABLE w_order_items (id int)",
            "w_order is not in the plural",
            number="plural",
            **_SIDES,
        ),
        case(
            "singular",
            "CREATE TABLE w_order (id int); CREATE TABLE w_order_items (id int)",
            "w_order_items is not",
            number="singular",
            **_SIDES,
        ),
        case(
            "words that may be either",
            "CREATE TABLE w_series (id int); CREATE TABLE w_history (id int)",
            number="plural",
            **_SIDES,
        ),
        case(
            "length",
            "CREATE TABLE t_1234567890 (id int, a1234567890123 int)",
            "column t_1234567890.a1234567890123",
            max_length=12,
        ),
    ],
)
def test_naming_convention(sql: str, fragments: tuple[str, ...], options: dict[str, Any]) -> None:
    assert_finds(lint("naming_convention", sql, options=options), *fragments)


def test_the_folder_says_which_side_a_table_is_of() -> None:
    sql = "CREATE TABLE w_a (id int); CREATE TABLE r_b (id int); CREATE TABLE r_static_c (id int)"
    for folder, expected in {
        "schemas/01_write_side": ["r_b", "r_static_c"],
        "schemas/02_query_side": ["w_a"],
        "schemas/read/models": ["w_a"],
        "schemas/03_common": [],
        "schemas/spreadsheets": [],
    }.items():
        findings = lint("naming_convention", sql, options=_SIDES, folder=folder)
        assert [finding.relation for finding in findings] == expected, folder


def test_table_comments() -> None:
    sql = "CREATE TABLE a (id int); CREATE TABLE b (id int); COMMENT ON TABLE b IS 'One row a b'"
    assert [finding.relation for finding in lint("table_comment", sql)] == ["a"]
    assert lint("table_comment", f"{sql}; COMMENT ON TABLE a IS 'One row an a'") == ()
    assert len(lint("table_comment", f"{sql}; COMMENT ON TABLE b IS NULL")) == 2
