"""What a superuser does with a project calls nothing that a role has made which may only create in `public`.

The project's own SQL has no operator that theirs could take the place of; its key columns are of types for which
PostgreSQL has no operators of their own, `varchar` and a domain.
"""

from __future__ import annotations

import pytest

from confiture.testing.schema_snapshot import read_schema_snapshot
from tests.fix_projects import Project
from tests.fix_servers import Database
from tests.hostile import Attack, called, names_of_all_queries

SCHEMA = """
CREATE DOMAIN code AS varchar(20);
CREATE TABLE w_orders (
    tenant_id varchar(20) NOT NULL, id code NOT NULL, day date NOT NULL, amount numeric NOT NULL,
    PRIMARY KEY (tenant_id, id, day)
);
CREATE TABLE r_totals (
    kind varchar(5), tenant_id varchar(20), id code, day date, total numeric, PRIMARY KEY (kind, tenant_id, id, day)
);
CREATE TABLE w_lines (
    tenant_id varchar(20), id code, day date, n integer, PRIMARY KEY (tenant_id, id, day, n),
    FOREIGN KEY (tenant_id, id, day) REFERENCES w_orders
);
INSERT INTO w_orders
SELECT 't' || n % 3, 'o' || n, date '2026-01-01' + n % 50, n FROM generate_series(1, 3000) n;
INSERT INTO w_lines SELECT tenant_id, id, day, 1 FROM w_orders;
ANALYZE;
-- one row changes while it is filled: a real run fills it again
CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
BEGIN
    IF NEW.total = 7::numeric AND to_regclass('confiture.backfill_1_keys') IS NOT NULL THEN
        UPDATE w_orders o SET amount = 8
        WHERE ROW(o.tenant_id, o.id, o.day)::record = ROW(NEW.tenant_id, NEW.id, NEW.day)::record;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER change AFTER INSERT ON r_totals FOR EACH ROW EXECUTE FUNCTION change();
"""
FILL = """
    name: fill
    after_ddl:
      - name: fill
        backfill:
          into: r_totals
          from: w_orders
          alias: o
          batch_rows: 200
          workers: 2
          sql: >-
            INSERT INTO r_totals (kind, tenant_id, id, day, total)
            SELECT 'sum', o.tenant_id, o.id, o.day, o.amount FROM w_orders o WHERE {{ batch }}
            ON CONFLICT (kind, tenant_id, id, day) DO NOTHING
    after_validation:
      - check: SELECT count(*) FROM r_totals
        expect: 3000
      - name: totals
        reconcile:
          table: r_totals
          sql: SELECT tenant_id, id, day, amount AS total FROM w_orders
    down:
      - sql: DELETE FROM r_totals
"""
INDEX = """
    name: index
    ddl:
      - sql: CREATE TABLE w_new (tenant_id varchar(20), id code PRIMARY KEY, kind text)
      - sql: INSERT INTO w_new SELECT tenant_id, id, 'k' FROM w_lines ON CONFLICT (id) DO NOTHING
    after_ddl:
      - sql: CREATE INDEX CONCURRENTLY w_lines_n ON w_lines (n)
    down:
      - sql: DROP INDEX CONCURRENTLY w_lines_n
      - sql: DROP TABLE w_new
"""
TOTALS = "SELECT tenant_id, id, day, amount AS total FROM w_orders"
SPOILED = "UPDATE r_totals SET total = 0 WHERE total OPERATOR(pg_catalog.<) 20::numeric"


@pytest.fixture
def attacked(shop: Project, database: Database) -> Project:
    shop.migration("001_fill", FILL)
    shop.migration("002_index", INDEX)
    database.execute(SCHEMA)
    with database.connect() as connection:
        Attack(connection, names_of_all_queries()).make("code", "date")
    return shop


def test_nothing_of_others_is_called(attacked: Project, database: Database) -> None:
    with database.connect() as connection:

        def run(*arguments: str, expect: int | None = 0) -> str:
            result = attacked.run(*arguments, expect=expect)
            assert called(connection) is None, arguments
            return result.out + result.err

        called(connection)
        run("migrate", "status")
        run("lint", "--live", expect=None)
        run("migrate", "up", "--dry-run")
        run("migrate", "up", "--dry-run", "--full")
        run("migrate", "up")
        assert connection.execute("SELECT count(*) FROM r_totals WHERE total = 8::numeric").fetchone() == (2,)
        called(connection)
        run("migrate", "status")
        run("backfill", "status")
        run("locks")
        run("verify")
        run("reconcile", "r_totals", "--sql", TOTALS)
        connection.execute(SPOILED)
        assert "changed" in run("verify", expect=1)
        assert "changed" in run("reconcile", "r_totals", "--sql", TOTALS, "--by", "day", expect=1)
        run("tenancy", "map", "--live")
        assert "isolated" in run("tenancy", "prove")
        read_schema_snapshot(connection)
        assert called(connection) is None
        run("migrate", "down")
