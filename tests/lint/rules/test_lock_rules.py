"""The rules on locks, rewrites and narrower types where their examples do not reach: what they leave alone, and how."""

from __future__ import annotations

import pytest

from confiture.lint.registry import built_in_rules
from confiture.lint.remedies.commands import LATER
from confiture.lint.rule import Example
from confiture.models.findings import Finding
from tests.support.rule_examples import lint_example
from tests.support.servers import Database

BEFORE = """
CREATE TABLE w_customers (id bigint PRIMARY KEY, country varchar(40), seen timestamp, note text, number bigint);
CREATE TABLE w_orders (id bigint PRIMARY KEY, customer_id bigint REFERENCES w_customers, amount numeric(10,2));
CREATE TABLE w_jobs (id bigint PRIMARY KEY);
CREATE TABLE w_bills (customer_id bigint REFERENCES w_customers, job_id bigint REFERENCES w_jobs);
CREATE TABLE w_scans (job_id bigint REFERENCES w_jobs);
CREATE TABLE w_events (id bigint NOT NULL, at timestamptz NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE w_events_2024 PARTITION OF w_events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE w_old (id bigint NOT NULL, at timestamptz NOT NULL CHECK (at >= '2020-01-01' AND at < '2021-01-01'));
CREATE TABLE w_calls (kind bigint NOT NULL) PARTITION BY LIST (kind);
CREATE TABLE w_calls_rest PARTITION OF w_calls DEFAULT;
CREATE TABLE w_sums (one bigint, twice bigint GENERATED ALWAYS AS (one * 2) STORED);
CREATE DOMAIN price AS numeric CHECK (VALUE > 0);
CREATE TYPE "Stage" AS ENUM ('new');
CREATE TYPE "NewStage" AS ENUM ('new');
CREATE TABLE w_steps (id bigint PRIMARY KEY, stage "Stage", job_id bigint CONSTRAINT k REFERENCES w_jobs, note text);
CREATE FUNCTION name_of("Stage") RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'x' $$;
CREATE VIEW v_orders AS SELECT id FROM w_orders;
CREATE MATERIALIZED VIEW v_orders_2 AS SELECT id FROM v_orders;
CREATE VIEW v_orders_3 AS SELECT v_orders_2.id FROM v_orders_2 JOIN v_orders ON true;
CREATE FUNCTION one() RETURNS int LANGUAGE sql STABLE AS 'SELECT 1';
CREATE FUNCTION dice() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 4; END';
CREATE TEMPORARY TABLE scratch (id bigint);
"""


def found(rule: str, sql: str, version: int = 18) -> list[Finding]:
    """What one rule finds in a migration."""
    findings = lint_example(built_in_rules()[rule], Example(before=BEFORE, sql=(sql,)), version)
    return [finding for finding in findings if finding.rule == rule]


@pytest.mark.parametrize(
    ("rule", "sql"),
    [
        ("volatile_default", "ALTER TABLE w_orders ADD COLUMN at timestamptz DEFAULT now()"),
        ("volatile_default", "ALTER TABLE w_orders ADD COLUMN n int DEFAULT one()"),
        ("volatile_default", "ALTER TABLE w_orders ALTER COLUMN id SET DEFAULT dice()"),
        ("volatile_default", "ALTER TABLE w_orders ADD COLUMN IF NOT EXISTS id uuid DEFAULT gen_random_uuid()"),
        ("volatile_default", "CREATE TABLE w_new (id bigint); ALTER TABLE w_new ADD COLUMN n int DEFAULT dice()"),
        ("volatile_default", "ALTER TABLE scratch ADD COLUMN n int DEFAULT dice()"),
        ("volatile_default", "ALTER TABLE w_orders ADD COLUMN p price DEFAULT dice()"),
        (
            "generated_or_identity_column",
            "ALTER TABLE w_orders ADD COLUMN n numeric GENERATED ALWAYS AS (amount) VIRTUAL",
        ),
        ("type_rewrite", "ALTER TABLE w_customers ALTER COLUMN country TYPE varchar(80)"),
        ("type_rewrite", "ALTER TABLE w_customers ALTER COLUMN country TYPE text USING country::text"),
        ("type_rewrite", "ALTER TABLE w_orders ALTER COLUMN amount TYPE numeric(12,2)"),
        ("type_rewrite", "SET timezone = 'UTC'; ALTER TABLE w_customers ALTER COLUMN seen TYPE timestamptz"),
        ("type_rewrite", 'ALTER TABLE w_steps ALTER COLUMN stage TYPE "Stage"'),
        ("narrowing_type", "ALTER TABLE w_customers ALTER COLUMN note TYPE varchar(5) USING left(note, 5)"),
        ("narrowing_type", "ALTER TABLE w_orders ALTER COLUMN amount TYPE double precision"),
        ("storage_rewrite", "ALTER TABLE w_orders SET LOGGED"),
        ("storage_rewrite", "ALTER TABLE w_events SET TABLESPACE pg_default"),
        (
            "attach_without_proof",
            "ALTER TABLE w_events ATTACH PARTITION w_old FOR VALUES FROM ('2019-01-01') TO ('2022-01-01')",
        ),
        ("detach_blocking", "ALTER TABLE w_events DETACH PARTITION w_events_2024 FINALIZE"),
        ("refresh_blocking", "REFRESH MATERIALIZED VIEW r_any WITH NO DATA"),
        ("foreign_key_locks_referenced", "DROP TABLE w_orders, w_customers"),
        ("foreign_key_locks_referenced", "ALTER TABLE w_orders DROP COLUMN amount"),
        ("foreign_key_locks_referenced", "CREATE TEMPORARY TABLE t (id bigint)"),
        ("policy_or_rule_lock", "CREATE TABLE w_new (id bigint); CREATE POLICY p ON w_new USING (true)"),
        ("attach_without_proof", "CREATE TABLE IF NOT EXISTS w_calls_rest PARTITION OF w_calls FOR VALUES IN (1)"),
        ("policy_or_rule_lock", "ALTER TABLE scratch DISABLE TRIGGER ALL"),
        ("vacuum_full_or_cluster", "VACUUM (FULL off) w_orders"),
    ],
)
def test_nothing_is_found_where_there_is_no_hazard(rule: str, sql: str) -> None:
    assert found(rule, sql) == []


@pytest.mark.parametrize(
    ("rule", "sql", "severity", "message"),
    [
        (
            "volatile_default",
            "ALTER TABLE w_orders ADD COLUMN n int DEFAULT dice()",
            "error",
            "w_orders is rewritten, because the default dice() of n is volatile",
        ),
        (
            "volatile_default",
            "ALTER TABLE w_orders ADD COLUMN n uuid DEFAULT ulid()",
            "warning",
            "w_orders is rewritten if the default ulid() of n is volatile",
        ),
        (
            "domain_constraint_scan",
            "ALTER TABLE w_orders ADD COLUMN p price DEFAULT dice()",
            "error",
            "w_orders is rewritten, because p has the domain type price, which has constraints",
        ),
        (
            "type_rewrite",
            "ALTER TABLE w_customers ALTER COLUMN seen TYPE timestamptz",
            "warning",
            "w_customers is rewritten to change seen to timestamp with time zone, unless the session's TimeZone is UTC"
            " (now timestamp without time zone)",
        ),
        (
            "narrowing_type",
            "ALTER TABLE w_customers ALTER COLUMN country TYPE varchar(2) USING country::varchar(2)",
            "error",
            "w_customers.country is character varying(40); values that character varying(2) cannot hold are"
            " truncated or rounded",
        ),
        (
            "attach_without_proof",
            "ALTER TABLE w_events ATTACH PARTITION w_old FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
            None,
            "",
        ),
        (
            "policy_or_rule_lock",
            "ALTER TABLE w_orders DISABLE TRIGGER ALL",
            "info",
            "DISABLE TRIGGER blocks writes to w_orders until it commits",
        ),
        (
            "generated_or_identity_column",
            "ALTER TABLE w_sums ALTER COLUMN twice SET EXPRESSION AS (one * 3)",
            "error",
            "w_sums is rewritten to recompute twice in every row",
        ),
        (
            "attach_without_proof",
            "CREATE TABLE w_calls_1 PARTITION OF w_calls FOR VALUES IN (1)",
            "error",
            "w_calls_rest is scanned under its lock, because it may contain rows of the new partition",
        ),
        (
            "foreign_key_locks_referenced",
            "DROP TABLE w_orders",
            "warning",
            "w_customers cannot be read from or written to until this migration commits, because"
            " w_orders references it (w_orders_customer_id_fkey)",
        ),
        (
            "foreign_key_locks_referenced",
            "DROP TABLE w_orders, w_bills, w_scans",
            "warning",
            "w_customers and w_jobs cannot be read from or written to until this migration commits, because"
            " w_orders (w_orders_customer_id_fkey), w_bills (w_bills_customer_id_fkey), w_bills (w_bills_job_id_fkey)"
            " and w_scans (w_scans_job_id_fkey) reference them",
        ),
        (
            "storage_rewrite",
            "ALTER INDEX w_orders_pkey SET TABLESPACE fast",
            "error",
            "SET TABLESPACE copies the whole index w_orders_pkey",
        ),
    ],
)
def test_what_is_found_says_how_sure_it_is(rule: str, sql: str, severity: str | None, message: str) -> None:
    told = [(finding.severity, finding.message) for finding in found(rule, sql)]
    assert told == ([(severity, message)] if severity else [])


@pytest.mark.parametrize(
    ("rule", "sql"),
    [
        ("volatile_default", "ALTER TABLE w_orders ADD COLUMN a int, ADD COLUMN t uuid DEFAULT gen_random_uuid()"),
        ("generated_or_identity_column", "ALTER TABLE w_orders ADD COLUMN n bigserial"),
        (
            "generated_or_identity_column",
            "ALTER TABLE w_orders ADD COLUMN n numeric GENERATED ALWAYS AS (amount * 2) STORED",
        ),
        ("type_rewrite", "ALTER TABLE w_orders ALTER COLUMN amount TYPE text USING amount || ' CHF'"),
        (
            "generated_or_identity_column",
            "ALTER TABLE w_steps ADD COLUMN label text GENERATED ALWAYS AS (name_of(stage)) STORED",
        ),
        (
            "generated_or_identity_column",
            'ALTER TABLE w_steps ADD COLUMN other "Stage" GENERATED ALWAYS AS (stage) STORED, ADD extra int',
        ),
        ("type_rewrite", 'ALTER TABLE w_steps ALTER COLUMN stage TYPE "NewStage" USING stage::text::"NewStage"'),
        (
            "type_rewrite",
            'ALTER TABLE w_steps ALTER stage DROP DEFAULT, ALTER stage TYPE "NewStage" USING stage::text::"NewStage",'
            """ ALTER stage SET DEFAULT 'new'::"NewStage", ADD extra int""",
        ),
        (
            "narrowing_type",
            "ALTER TABLE w_customers ALTER number DROP DEFAULT, ALTER number TYPE varchar(10),"
            " ALTER number SET DEFAULT '1', ADD extra int",
        ),
        (
            "foreign_key_locks_referenced",
            "ALTER TABLE w_steps DROP CONSTRAINT k, DROP COLUMN note, ADD COLUMN extra int",
        ),
        (
            "foreign_key_locks_referenced",
            "ALTER TABLE w_bills DROP COLUMN customer_id, DROP CONSTRAINT w_bills_job_id_fkey",
        ),
        ("cascade_or_truncate", "DROP VIEW v_orders CASCADE"),
        ("type_rewrite", "ALTER TABLE w_customers ALTER COLUMN seen TYPE timestamptz"),
        ("narrowing_type", "ALTER TABLE w_customers ALTER COLUMN number TYPE varchar(10)"),
        (
            "foreign_key_locks_referenced",
            "CREATE TABLE w_new (id bigint PRIMARY KEY, c bigint CONSTRAINT k REFERENCES w_customers ON DELETE CASCADE"
            " DEFERRABLE INITIALLY DEFERRED, o bigint, FOREIGN KEY (o) REFERENCES w_orders)",
        ),
        ("detach_blocking", "ALTER TABLE w_events DETACH PARTITION w_events_2024"),
    ],
)
def test_what_to_write_instead_runs(rule: str, sql: str, database: Database) -> None:
    database.execute(BEFORE)
    version = database.server.version
    (remedy, *_) = {finding.remedy for finding in found(rule, sql, version)}
    assert remedy
    with database.connect() as connection:
        for statement in statements_of(remedy):
            connection.execute(statement.encode())


def statements_of(remedy: str) -> list[str]:
    return [line for line in remedy.splitlines() if not line.startswith("--")]


@pytest.mark.parametrize(
    ("rule", "sql"),
    [
        ("generated_or_identity_column", "ALTER TABLE w_orders ADD COLUMN n bigint GENERATED ALWAYS AS IDENTITY"),
        ("foreign_key_locks_referenced", "CREATE TABLE w_new (id bigint PRIMARY KEY, c bigint REFERENCES w_customers)"),
    ],
)
@pytest.mark.parametrize("version", [15, 18])
def test_what_to_write_instead_has_no_errors(rule: str, sql: str, version: int) -> None:
    remedy = found(rule, sql, version)[0].remedy or ""
    steps = tuple(remedy.split(f"{LATER}\n"))
    findings = lint_example(built_in_rules()[rule], Example(before=BEFORE, sql=steps), version)
    assert [finding.rule for finding in findings if finding.severity == "error"] == []


@pytest.mark.parametrize(
    ("rule", "sql", "remedy"),
    [
        (
            "foreign_key_locks_referenced",
            "DROP TABLE orders, w_jobs",
            "ALTER TABLE shop.orders DROP CONSTRAINT orders_customer_id_fkey;\n"
            f"{LATER}\nDROP TABLE shop.orders, public.w_jobs;",
        ),
        (
            "check_without_not_valid",
            "ALTER TABLE orders ADD CHECK (id > 0), ADD FOREIGN KEY (id) REFERENCES w_jobs",
            "ALTER TABLE shop.orders ADD CONSTRAINT orders_id_check CHECK (id > 0) NOT VALID,"
            " ADD CONSTRAINT orders_id_fkey FOREIGN KEY (id) REFERENCES public.w_jobs NOT VALID;\n"
            f"{LATER}\nALTER TABLE shop.orders VALIDATE CONSTRAINT orders_id_check;\n"
            "ALTER TABLE shop.orders VALIDATE CONSTRAINT orders_id_fkey;",
        ),
        ("drop_or_reindex_blocking", "DROP INDEX orders_i", "DROP INDEX CONCURRENTLY shop.orders_i;"),
        (
            "create_index_blocking",
            "CREATE INDEX ON /* é */ orders (id)",
            "CREATE INDEX CONCURRENTLY orders_id_idx ON /* é */ shop.orders (id);",
        ),
    ],
)
def test_remedies_name_the_schema_that_a_search_path_leaves_out(rule: str, sql: str, remedy: str) -> None:
    """What is committed apart from the rest does not have its search path."""
    shop = (
        "CREATE SCHEMA shop; CREATE TABLE shop.orders (id bigint, customer_id bigint REFERENCES w_customers);"
        "CREATE INDEX orders_i ON shop.orders (id)"
    )
    example = Example(before=f"{BEFORE};{shop}", sql=(f"SET search_path = shop, public; {sql}",))
    findings = lint_example(built_in_rules()[rule], example, 18)
    assert {finding.remedy for finding in findings if finding.rule == rule} == {remedy}


def test_a_column_of_the_primary_key_is_not_to_be_made_nullable() -> None:
    """PostgreSQL refuses that."""
    (of_key,) = found("drop_object", "ALTER TABLE w_steps DROP COLUMN id")
    (other,) = found("drop_object", "ALTER TABLE w_old DROP COLUMN id")
    assert of_key.remedy is None
    assert "DROP NOT NULL" in (other.remedy or "")
