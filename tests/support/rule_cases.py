"""Asks lint what one rule finds in migrations of a schema that has something of everything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import psycopg

from confiture.lint.engine.configuration import default_active_rule
from confiture.lint.engine.context import LintTarget
from confiture.lint.engine.replay import RULE_FAILED, MigrationReplay
from confiture.lint.registry import built_in_rules
from confiture.lint.rule import Violation
from confiture.models.catalog import PUBLIC, QualifiedName
from confiture.sql.parsing import parse_statements
from tests.support.rule_examples import SETTINGS, planned
from tests.support.servers import Database

BEFORE = """
CREATE TABLE w_customers (id bigint PRIMARY KEY, name text, email text UNIQUE);
CREATE TABLE w_orders (
    id bigint PRIMARY KEY,
    tenant_id bigint NOT NULL,
    number text NOT NULL,
    customer_id bigint CONSTRAINT w_orders_customer_id_fkey REFERENCES w_customers (id),
    status text,
    amount numeric,
    quantity integer,
    CONSTRAINT w_orders_number_key UNIQUE (tenant_id, number)
);
CREATE INDEX w_orders_status_idx ON w_orders (status);
CREATE TABLE "w_Odd Names" ("Id" bigint PRIMARY KEY, "select" text);
CREATE TABLE w_events (id bigint, happened_at date NOT NULL, kind text, PRIMARY KEY (id, happened_at))
    PARTITION BY RANGE (happened_at);
CREATE TABLE w_events_2026 PARTITION OF w_events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE VIEW v_orders AS SELECT id, status FROM w_orders;
CREATE SCHEMA stock;
CREATE TABLE stock.items (id bigint PRIMARY KEY, name text);
CREATE MATERIALIZED VIEW r_totals AS SELECT tenant_id, sum(amount) AS total FROM w_orders GROUP BY tenant_id;
CREATE SEQUENCE order_numbers;
CREATE TABLE w_numbers (id serial PRIMARY KEY);
CREATE TYPE order_stage AS ENUM ('placed', 'printed');
CREATE TABLE w_jobs (id bigint PRIMARY KEY, stage order_stage, label text, stages order_stage[]);
CREATE FUNCTION total(bigint) RETURNS numeric LANGUAGE sql AS 'SELECT 1.0';
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE FUNCTION run_all() RETURNS void LANGUAGE plpgsql AS 'BEGIN EXECUTE ''SELECT 1''; END';
CREATE FUNCTION run_one() RETURNS void LANGUAGE plpgsql AS 'BEGIN PERFORM 1; END';
"""


@dataclass(frozen=True)
class Asked:
    """What lint is asked: migrations by their SQL, a server's version, and the rows of its tables."""

    migrations: tuple[str, ...]
    before: str = BEFORE
    version: int = 18
    rows: Mapping[str, int] | None = None

    def hits(self, rule: str) -> list[Violation]:
        """What one rule finds in the migrations."""
        rows = {QualifiedName(PUBLIC, name): count for name, count in (self.rows or {}).items()}
        surroundings = LintTarget(settings=SETTINGS, postgres_version=self.version, table_rows=rows)
        replay = MigrationReplay((default_active_rule(built_in_rules()[rule]),), surroundings)
        replay.apply(planned("0", "before.sql", self.before))
        numbered = enumerate(self.migrations, 1)
        judged = [
            one.violation
            for number, text in numbered
            for one in replay.check(planned(str(number), f"{number}.sql", text))
        ]
        for hit in judged:
            assert RULE_FAILED not in hit.message, hit.message
            if hit.remedy:
                _, problems = parse_statements(hit.remedy)
                assert not problems, hit.remedy
        return judged


def relations(rule: str, *migrations: str, **options: object) -> list[str | None]:
    return [hit.relation for hit in Asked(migrations, **options).hits(rule)]  # type: ignore[arg-type]


def messages(rule: str, *migrations: str, **options: object) -> list[str]:
    return [hit.message for hit in Asked(migrations, **options).hits(rule)]  # type: ignore[arg-type]


def sqlstate(database: Database, text: str) -> str | None:
    """The error that a text ends with when it runs in one transaction."""
    with database.connect() as connection:
        try:
            with connection.transaction():
                for statement in parse_statements(text)[0]:
                    connection.execute(statement.text.encode())
        except psycopg.Error as error:
            return error.sqlstate
    return None
