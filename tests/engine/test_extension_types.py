"""Types of extensions are compared by their own operators, in whatever schema these are."""

from __future__ import annotations

import pytest

from tests.support.projects import Project
from tests.support.servers import Database

pytestmark = pytest.mark.versions_alike

SCHEMA = """
CREATE TABLE w_orders (tenant_id citext, id code, amount numeric, PRIMARY KEY (tenant_id, id));
CREATE TABLE w_lines (
    tenant_id citext, id code, n integer, PRIMARY KEY (tenant_id, id, n),
    FOREIGN KEY (tenant_id, id) REFERENCES w_orders
);
CREATE TABLE r_totals (kind citext, tenant_id citext, id code, total numeric, PRIMARY KEY (kind, tenant_id, id));
INSERT INTO w_orders
SELECT CASE WHEN n % 2 = 0 THEN 'T' ELSE 't' END || n % 3, CASE WHEN n % 5 = 0 THEN 'O' ELSE 'o' END || n, n
FROM generate_series(1, 2000) n;
INSERT INTO w_lines SELECT upper(tenant_id::text), id, 1 FROM w_orders;
CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.total = 7 AND to_regclass('confiture.backfill_1_keys') IS NOT NULL THEN
        UPDATE w_orders o SET amount = 8 WHERE o.tenant_id = NEW.tenant_id AND o.id = NEW.id;
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
          batch_rows: 150
          workers: 2
          sql: >-
            INSERT INTO r_totals (kind, tenant_id, id, total)
            SELECT 'Sum', o.tenant_id, o.id, o.amount FROM w_orders o WHERE {{ batch }}
            ON CONFLICT (kind, tenant_id, id) DO NOTHING
    after_validation:
      - check: SELECT count(*) FROM r_totals
        expect: 2000
      - name: totals
        reconcile:
          table: r_totals
          sql: SELECT tenant_id, id, amount AS total FROM w_orders
    """
CONFLICT = """
    ddl:
      - sql: >-
          INSERT INTO r_totals SELECT 'lines', tenant_id, id, n FROM w_lines
          ON CONFLICT (kind, tenant_id, id) DO NOTHING
    """


@pytest.mark.parametrize("schema", ["public", "ext"])
@pytest.mark.parametrize("identifiers", ["citext", "text"])
def test_keys_and_tenants_of_citext(shop: Project, database: Database, schema: str, identifiers: str) -> None:
    database.execute(f"CREATE SCHEMA IF NOT EXISTS ext; CREATE EXTENSION citext SCHEMA {schema}")
    database.execute(f"ALTER DATABASE {database.name} SET search_path = public, ext")
    database.execute(f"CREATE DOMAIN code AS {identifiers}")
    database.execute(SCHEMA)
    database.execute("ANALYZE")
    shop.migration("001_fill", FILL)
    shop.run("migrate", "up", "--dry-run")
    shop.run("migrate", "up")
    assert database.value("SELECT count(*) FROM r_totals WHERE total = 8") == 2
    shop.run("reconcile", "r_totals", "--sql", "SELECT tenant_id, id, amount AS total FROM w_orders")
    database.execute("UPDATE r_totals SET total = 0 WHERE tenant_id = 't1' AND total < 50")
    assert "1 of 3 groups by tenant_id differ" in shop.run("verify", expect=1).out
    shop.migration("002_conflict", CONFLICT)
    assert "not provable" not in shop.run("tenancy", "prove", "002").out
