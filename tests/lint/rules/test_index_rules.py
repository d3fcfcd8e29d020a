"""Rules about indexes, case by case: what each finds, and above all what it leaves alone."""

from __future__ import annotations

from typing import Any

import pytest

from confiture.models.catalog import QualifiedName
from tests.support.schema_cases import assert_finds, case, lint

CUSTOMERS = "CREATE TABLE w_customers (id bigint PRIMARY KEY, tenant_id bigint NOT NULL, UNIQUE (tenant_id, id));"
_TWO = (
    "tenant_id bigint, customer_id bigint, FOREIGN KEY (tenant_id, customer_id) REFERENCES w_customers (tenant_id, id)"
)


@pytest.mark.parametrize(
    ("sql", "fragments", "options"),
    [
        case("none", "CREATE TABLE t (c bigint REFERENCES w_customers)", "no index of t begins with c"),
        case("an index", "CREATE TABLE t (c bigint REFERENCES w_customers); CREATE INDEX ON t (c)"),
        case(
            "before the key",
            "CREATE TABLE t (c bigint); CREATE INDEX ON t (c, a);"
            "ALTER TABLE t ADD FOREIGN KEY (c) REFERENCES w_customers",
        ),
        case("the primary key", "CREATE TABLE t (c bigint PRIMARY KEY REFERENCES w_customers)"),
        case("a unique key", "CREATE TABLE t (a int, c bigint REFERENCES w_customers, UNIQUE (c, a))"),
        case(
            "at the second place",
            "CREATE TABLE t (a int, c bigint REFERENCES w_customers); CREATE INDEX ON t (a, c)",
            "begins with c",
        ),
        case("by hash", "CREATE TABLE t (c bigint REFERENCES w_customers); CREATE INDEX ON t USING hash (c)"),
        case("by brin", "CREATE TABLE t (c bigint REFERENCES w_customers); CREATE INDEX ON t USING brin (c)", "begins"),
        case(
            "by an expression",
            "CREATE TABLE t (c bigint REFERENCES w_customers); CREATE INDEX ON t ((c + 0))",
            "begins",
        ),
        case(
            "partial",
            "CREATE TABLE t (c bigint REFERENCES w_customers, a int);CREATE INDEX ON t (c) WHERE a > 0",
            "begins with c",
        ),
        case(
            "partial, without NULLs",
            "CREATE TABLE t (c bigint REFERENCES w_customers);CREATE INDEX ON t (c) WHERE c IS NOT NULL",
        ),
        case(
            "partial, without NULLs of another",
            "CREATE TABLE t (c bigint REFERENCES w_customers, a int);"
            "CREATE INDEX ON t (c) WHERE c IS NOT NULL AND a IS NOT NULL",
            "begins with c",
        ),
        case("two columns", f"CREATE TABLE t ({_TWO}); CREATE INDEX ON t (tenant_id, customer_id)"),
        case("two columns, turned", f"CREATE TABLE t ({_TWO}); CREATE INDEX ON t (customer_id, tenant_id)"),
        case("two columns and more", f"CREATE TABLE t ({_TWO}, a int); CREATE INDEX ON t (tenant_id, customer_id, a)"),
        case(
            "two columns, one between",
            f"CREATE TABLE t ({_TWO}, a int); CREATE INDEX ON t (tenant_id, a, customer_id)",
            "begins with tenant_id, customer_id",
        ),
        case("two columns, only the tenant", f"CREATE TABLE t ({_TWO}); CREATE INDEX ON t (tenant_id)", "begins with"),
        case("two columns, one of which is unique there", f"CREATE TABLE t ({_TWO}); CREATE INDEX ON t (customer_id)"),
        case(
            "behind the tenant",
            "CREATE TABLE t (tenant_id bigint, c bigint REFERENCES w_customers);"
            "CREATE INDEX t_tenant_c ON t (tenant_id, c)",
            "t_tenant_c begins with tenant_id, which the foreign key",
        ),
        case(
            "two keys of one column",
            "CREATE TABLE t (c bigint REFERENCES w_customers,FOREIGN KEY (c) REFERENCES w_customers (id))",
            "begins with c",
        ),
        case("to itself", "CREATE TABLE t (id bigint PRIMARY KEY, above bigint REFERENCES t)", "begins with above"),
        case(
            "not validated",
            "CREATE TABLE t (c bigint);ALTER TABLE t ADD FOREIGN KEY (c) REFERENCES w_customers NOT VALID",
            "begins with c",
        ),
        case(
            "partitioned",
            "CREATE TABLE t (c bigint REFERENCES w_customers) PARTITION BY LIST (c);"
            "CREATE TABLE t1 PARTITION OF t FOR VALUES IN (1)",
            "no index of t begins",
        ),
        case(
            "partitioned, each part has one",
            "CREATE TABLE t (c bigint REFERENCES w_customers) PARTITION BY LIST (c);"
            "CREATE TABLE t1 PARTITION OF t FOR VALUES IN (1); CREATE INDEX ON t1 (c)",
        ),
        case(
            "partitioned, one lacks it",
            "CREATE TABLE t (c bigint REFERENCES w_customers) PARTITION BY LIST (c);"
            "CREATE TABLE t1 PARTITION OF t FOR VALUES IN (1); CREATE INDEX ON t1 (c);"
            "CREATE TABLE t2 PARTITION OF t FOR VALUES IN (2)",
            "no index of t begins",
        ),
        case(
            "a part with a key of its own",
            "CREATE TABLE t (c bigint) PARTITION BY LIST (c);"
            "CREATE TABLE t1 PARTITION OF t FOR VALUES IN (1);"
            "ALTER TABLE t1 ADD FOREIGN KEY (c) REFERENCES w_customers",
            "no index of t1 begins",
        ),
        case(
            "dropped index",
            "CREATE TABLE t (c bigint REFERENCES w_customers); CREATE INDEX i ON t (c); DROP INDEX i",
            "begins with c",
        ),
        case(
            "renamed column",
            "CREATE TABLE t (c bigint REFERENCES w_customers); CREATE INDEX i ON t (c);"
            "ALTER TABLE t RENAME c TO customer_id",
        ),
        case("temporary", "CREATE TEMPORARY TABLE t (c bigint)"),
    ],
)
def test_requires_indexes_on_foreign_keys(sql: str, fragments: tuple[str, ...], options: dict[str, Any]) -> None:
    sql = sql.replace("CREATE TABLE t (c bigint);", "CREATE TABLE t (c bigint, a int);")
    assert_finds(lint("requires_indexes_on_foreign_keys", f"{CUSTOMERS} {sql}", options=options), *fragments)


def test_the_remedy_of_a_foreign_key_satisfies_the_rule() -> None:
    for sql in (
        "CREATE TABLE t (c bigint REFERENCES w_customers)",
        "CREATE TABLE t (c bigint REFERENCES w_customers) PARTITION BY LIST (c)",
        "CREATE TABLE t (c bigint REFERENCES w_customers) PARTITION BY LIST (c);"
        " CREATE TABLE t_1 PARTITION OF t FOR VALUES IN (1) PARTITION BY HASH (c);"
        " CREATE TABLE t_1_0 PARTITION OF t_1 FOR VALUES WITH (MODULUS 1, REMAINDER 0)",
        'CREATE SCHEMA s; CREATE TABLE s."T" ("C" bigint REFERENCES w_customers)',
        f"CREATE TABLE {'t' * 60} (c bigint REFERENCES w_customers)",
    ):
        text = f"{CUSTOMERS} {sql}"
        (finding,) = lint("requires_indexes_on_foreign_keys", text)
        assert finding.remedy
        assert lint("requires_indexes_on_foreign_keys", f"{text}; {finding.remedy}") == ()


def test_a_small_table_needs_no_index_on_its_foreign_key() -> None:
    sql = f"{CUSTOMERS} CREATE TABLE t (c bigint REFERENCES w_customers)"
    assert lint("requires_indexes_on_foreign_keys", sql, rows={QualifiedName("public", "t"): 20}) == ()
    assert lint("requires_indexes_on_foreign_keys", sql, rows={QualifiedName("public", "t"): 20_000})


T = "CREATE TABLE t (id bigint PRIMARY KEY, a int, b int, c text, j jsonb);"


@pytest.mark.parametrize(
    ("sql", "fragments", "options"),
    [
        case("the same", "CREATE INDEX i1 ON t (a); CREATE INDEX i2 ON t (a)", "i2 of t is a duplicate of i1"),
        case(
            "three of one kind",
            "CREATE INDEX i1 ON t (a); CREATE INDEX i2 ON t (a); CREATE INDEX i3 ON t (a)",
            "i2 of t is a duplicate of i1",
            "i3 of t is a duplicate of i1",
        ),
        case("of a key", "CREATE INDEX i1 ON t (id)", "i1 of t is a duplicate of t_pkey"),
        case("of a key, unique", "CREATE UNIQUE INDEX i1 ON t (id)", "i1 of t is a duplicate of t_pkey"),
        case(
            "the plain one goes", "CREATE INDEX i1 ON t (a); CREATE UNIQUE INDEX i2 ON t (a)", "i1 of t is a duplicate"
        ),
        case("a beginning", "CREATE INDEX i1 ON t (a); CREATE INDEX i2 ON t (a, b)", "i1 of t is redundant: i2"),
        case("no beginning", "CREATE INDEX i1 ON t (b); CREATE INDEX i2 ON t (a, b)"),
        case("a unique beginning is a rule", "CREATE UNIQUE INDEX i1 ON t (a); CREATE INDEX i2 ON t (a, b)"),
        case("another order", "CREATE INDEX i1 ON t (a, b); CREATE INDEX i2 ON t (b, a)"),
        case("another direction of the second", "CREATE INDEX i1 ON t (a, b); CREATE INDEX i2 ON t (a, b DESC)"),
        case(
            "read backwards",
            "CREATE INDEX i1 ON t (a, b); CREATE INDEX i2 ON t (a DESC, b DESC)",
            "i2 of t is a duplicate",
        ),
        case("one column, descending", "CREATE INDEX i1 ON t (a DESC); CREATE INDEX i2 ON t (a, b)", "i1 of t"),
        case("NULLS LAST is not DESC", "CREATE INDEX i1 ON t (a DESC NULLS LAST); CREATE INDEX i2 ON t (a)"),
        case(
            "what is the default, said",
            "CREATE INDEX i1 ON t (a ASC NULLS LAST); CREATE INDEX i2 ON t (a)",
            "i2 of t is a duplicate",
        ),
        case("another operator class", "CREATE INDEX i1 ON t (c); CREATE INDEX i2 ON t (c text_pattern_ops)"),
        case(
            "the default class, said",
            "CREATE INDEX i1 ON t (c); CREATE INDEX i2 ON t (c text_ops)",
            "i2 of t is a duplicate",
        ),
        case("another collation", 'CREATE INDEX i1 ON t (c); CREATE INDEX i2 ON t (c COLLATE "C")'),
        case("another method", "CREATE INDEX i1 ON t (a); CREATE INDEX i2 ON t USING hash (a)"),
        case(
            "gin twice",
            "CREATE INDEX i1 ON t USING gin (j); CREATE INDEX i2 ON t USING gin (j)",
            "i2 of t is a duplicate",
        ),
        case("gin by paths", "CREATE INDEX i1 ON t USING gin (j); CREATE INDEX i2 ON t USING gin (j jsonb_path_ops)"),
        case("partial", "CREATE INDEX i1 ON t (a); CREATE INDEX i2 ON t (a) WHERE b > 0"),
        case(
            "partial twice",
            "CREATE INDEX i1 ON t (a) WHERE b > 0; CREATE INDEX i2 ON t (a) WHERE (b > 0)",
            "i2 of t is a duplicate",
        ),
        case("expressions", "CREATE INDEX i1 ON t (lower(c)); CREATE INDEX i2 ON t (lower(c), a)", "i1 of t"),
        case("other expressions", "CREATE INDEX i1 ON t (lower(c)); CREATE INDEX i2 ON t (upper(c))"),
        case(
            "INCLUDE more", "CREATE INDEX i1 ON t (a) INCLUDE (b); CREATE INDEX i2 ON t (a)", "i2 of t is a duplicate"
        ),
        case("INCLUDE as a key", "CREATE INDEX i1 ON t (a) INCLUDE (b); CREATE INDEX i2 ON t (a, b)", "i1 of t"),
        case(
            "NULLs that are one", "CREATE UNIQUE INDEX i1 ON t (a); CREATE UNIQUE INDEX i2 ON t (a) NULLS NOT DISTINCT"
        ),
        case(
            "constraints", "ALTER TABLE t ADD UNIQUE (a); ALTER TABLE t ADD UNIQUE (a)", "t_a_key1 of t is a duplicate"
        ),
    ],
)
def test_duplicate_index(sql: str, fragments: tuple[str, ...], options: dict[str, Any]) -> None:
    assert_finds(lint("duplicate_index", f"{T} {sql}", options=options), *fragments)


def test_the_remedies_of_duplicate_indexes() -> None:
    keys = "ALTER TABLE t ADD UNIQUE (a); ALTER TABLE t ADD UNIQUE (a)"
    sql = f"{T} {keys}; CREATE INDEX i ON t (c); CREATE INDEX j ON t (c)"
    findings = lint("duplicate_index", sql)
    assert [finding.remedy for finding in findings] == [
        "ALTER TABLE t DROP CONSTRAINT t_a_key1;",
        "DROP INDEX CONCURRENTLY j;",
    ]


def test_an_index_of_a_part_cannot_be_dropped_alone() -> None:
    whole = (
        "CREATE TABLE t (a int, b int) PARTITION BY LIST (a); CREATE TABLE t1 PARTITION OF t FOR VALUES IN (1);"
        "CREATE INDEX i ON t (a)"
    )
    assert lint("duplicate_index", whole) == ()
    findings = lint("duplicate_index", f"{whole}; CREATE INDEX j ON t (a)")
    assert [(finding.relation, finding.remedy) for finding in findings] == [("t", "DROP INDEX j;")]


@pytest.mark.parametrize(
    ("sql", "fragments", "options"),
    [
        case("four", "CREATE INDEX ON t (id, a, b, c)"),
        case("five", "CREATE INDEX i ON t (id, a, b, c, j)", "i of t has 5 key columns; the limit is 4"),
        case("five, unique", "CREATE UNIQUE INDEX ON t (id, a, b, c, j)"),
        case("included columns are none of its keys", "CREATE INDEX ON t (id, a) INCLUDE (b, c, j)"),
        case("set", "CREATE INDEX i ON t (id, a, b)", "3 key columns; the limit is 2", max_columns=2),
    ],
)
def test_too_many_index_columns(sql: str, fragments: tuple[str, ...], options: dict[str, Any]) -> None:
    assert_finds(lint("too_many_index_columns", f"{T} {sql}", options=options), *fragments)
