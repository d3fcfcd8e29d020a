"""A read model to be filled in batches: its tables, its migration, and a brake for tests that act meanwhile."""

from __future__ import annotations

from tests.support.projects import Project
from tests.support.servers import Database

CUSTOMERS = 3_000
DIFFERENT = """
    WITH made AS (
        SELECT c.tenant_id, c.id, count(o.id) AS orders, coalesce(sum(o.amount), 0) AS total
        FROM w_customers c LEFT JOIN w_orders o ON o.tenant_id = c.tenant_id AND o.customer_id = c.id
        GROUP BY 1, 2
    ), found AS (SELECT tenant_id, customer_id, orders, total FROM r_totals)
    SELECT count(*) FROM (
        (SELECT * FROM made EXCEPT ALL SELECT * FROM found)
        UNION ALL (SELECT * FROM found EXCEPT ALL SELECT * FROM made)
    ) AS x
"""
SQL = """
          INSERT INTO r_totals (tenant_id, customer_id, orders, total)
          SELECT c.tenant_id, c.id, count(o.id), coalesce(sum(o.amount), 0)
          FROM w_customers c
          LEFT JOIN w_orders o ON o.tenant_id = c.tenant_id AND o.customer_id = c.id
          WHERE {{ batch }}
          GROUP BY c.tenant_id, c.id
"""
SMALL_BATCHES = "batch_rows: 10\nbatch_time: 60ms"
"""Of the brake's length: they stay small while it is on, and grow when it is off."""
OURS = "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgname LIKE 'confiture%'"
"""The triggers that note what others write."""
WORKERS = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE application_name LIKE 'confiture backfill (%' AND datname = current_database()"
)
_BRAKE_S = 0.05


def schema(database: Database) -> None:
    """One huge tenant beside tiny ones."""
    database.execute(
        f"""
        CREATE TABLE w_customers (tenant_id int, id int, name text, PRIMARY KEY (tenant_id, id));
        CREATE TABLE w_orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, tenant_id int, customer_id int,
                               amount numeric NOT NULL);
        CREATE INDEX ON w_orders (tenant_id, customer_id);
        CREATE TABLE r_totals (tenant_id int, customer_id int, orders bigint, total numeric,
                               PRIMARY KEY (tenant_id, customer_id));
        INSERT INTO w_customers SELECT CASE WHEN g % 3 = 0 THEN g % 500 ELSE 7 END, g, 'n' || g
        FROM generate_series(1, {CUSTOMERS}) g;
        INSERT INTO w_orders (tenant_id, customer_id, amount)
        SELECT tenant_id, id, 1 FROM w_customers, generate_series(1, 2);
        ANALYZE;
        """
    )


def fill(
    shop: Project,
    options: str = "batch_rows: 100",
    sql: str = SQL,
    captures: str = "w_orders: [tenant_id, customer_id]",
) -> None:
    """Writes the migration that fills."""
    lines = "\n".join(f"      {line}" for line in options.splitlines())
    shop.write(
        "migrations/001_fill.yaml",
        f"""after_ddl:
  - name: fill
    backfill:
      into: r_totals
      from: w_customers
      alias: c
{lines}
      captures: {{{captures}}}
      sql: |{sql}
""",
    )


def slow_down(database: Database) -> None:
    """Makes every batch take a moment longer."""
    _brake(database, f"PERFORM pg_sleep({_BRAKE_S});")
    database.execute("CREATE OR REPLACE TRIGGER slowly AFTER INSERT ON r_totals EXECUTE FUNCTION slowly()")


def speed_up(database: Database) -> None:
    """Takes the brake off, also while batches run: it waits for none of their locks."""
    _brake(database, "")


def _brake(database: Database, work: str) -> None:
    database.execute(
        f"CREATE OR REPLACE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN {work} RETURN NULL; END'"
    )
