"""What a superuser does with a project calls nothing that a role has made which may only create in `public`.

The project's own SQL has no operator that theirs could take the place of; its key columns are of types for which
PostgreSQL has no operators of their own, `varchar` and a domain.
"""

from __future__ import annotations

import pytest
from psycopg import sql

from confiture.core.db.operators import FIRST_USER_OID, to_text
from confiture.core.schema_facts.reader import read_schema_facts
from tests.support.hostile_role import Attack, called, names_of_all_queries
from tests.support.projects import Project
from tests.support.servers import Database

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
        read_schema_facts(connection)
        assert called(connection) is None
        run("migrate", "down")


# a role owns the types of a superuser's columns, or may create where an extension has its operators; what its functions
# are called for is written down where no rollback takes it back
OWNED_TYPES = """
CREATE EXTENSION citext SCHEMA public;
CREATE SEQUENCE calls;
CREATE SCHEMA app;
CREATE DOMAIN app.code AS public.citext;
CREATE SCHEMA m;
CREATE DOMAIN m.number AS bigint;
CREATE TYPE m.tenant AS ENUM ('a', 'b');
CREATE TABLE app.w_orders (tenant_id m.tenant, id app.code, number m.number, PRIMARY KEY (tenant_id, id, number));
CREATE TABLE app.r_orders (
    tenant_id m.tenant, id app.code, number bigint, kind m.tenant, PRIMARY KEY (tenant_id, id, number)
);
INSERT INTO app.w_orders SELECT (ARRAY['a', 'b'])[n % 2 + 1]::m.tenant, 'k' || n, n FROM generate_series(1, 100) n;
ANALYZE app.w_orders;
CREATE FUNCTION m.text(m.tenant) RETURNS text LANGUAGE plpgsql AS
    $$ BEGIN PERFORM nextval('public.calls'); RETURN 'a'; END $$;
CREATE FUNCTION m.tenant(text) RETURNS m.tenant LANGUAGE plpgsql AS
    $$ BEGIN PERFORM nextval('public.calls'); RETURN 'a'; END $$;
CREATE CAST (m.tenant AS text) WITH FUNCTION m.text(m.tenant);
CREATE CAST (text AS m.tenant) WITH FUNCTION m.tenant(text);
CREATE FUNCTION m.json(m.tenant) RETURNS json LANGUAGE plpgsql AS
    $$ BEGIN PERFORM nextval('public.calls'); RETURN '1'; END $$;
CREATE CAST (m.tenant AS json) WITH FUNCTION m.json(m.tenant);
CREATE FUNCTION m.is_fine(bigint) RETURNS boolean LANGUAGE plpgsql AS
    $$ BEGIN PERFORM nextval('public.calls'); RETURN true; END $$;
ALTER DOMAIN m.number ADD CHECK (m.is_fine(VALUE)) NOT VALID;
ALTER FUNCTION m.tenant(text) OWNER TO pg_monitor;
"""
OPERATORS = """
CREATE FUNCTION public.{1}(a app.code, b {2}) RETURNS boolean LANGUAGE plpgsql AS
    $$ BEGIN PERFORM nextval('public.calls'); RETURN a::public.citext OPERATOR(public.{0}) b::public.citext; END $$;
CREATE OPERATOR public.{0} (LEFTARG = app.code, RIGHTARG = {2}, FUNCTION = public.{1});
"""
OWNED_FILL = """
after_ddl:
  - name: fill
    backfill:
      into: app.r_orders
      from: app.w_orders
      alias: w
      batch_rows: 10
      sql: >-
        INSERT INTO app.r_orders (tenant_id, id, number)
        SELECT w.tenant_id, w.id, w.number FROM app.w_orders w WHERE {{ batch }}
        ON CONFLICT (tenant_id, id, number) DO NOTHING
  - name: proof
    reconcile:
      table: app.r_orders
      sql: SELECT tenant_id, id, number FROM app.w_orders
      by: tenant_id
"""


def test_owners_of_types_are_not_called(shop: Project, database: Database) -> None:
    operators = (("=", "eq"), ("<", "lt"), (">", "gt"), ("<=", "le"), (">=", "ge"))
    made = (OPERATORS.format(*one, right) for one in operators for right in ("app.code", "public.citext"))
    database.execute(OWNED_TYPES + "".join(made))
    shop.migration("001_fill", OWNED_FILL)
    database.execute("ALTER SEQUENCE calls RESTART")
    shop.run("migrate", "up", "--dry-run")
    shop.run("migrate", "up")
    shop.run("verify")
    assert "isolated" in shop.run("tenancy", "prove").out
    database.execute("UPDATE app.r_orders SET number = number + 1000 WHERE number = 7")
    assert "k7" in shop.run("verify", expect=1).out
    assert not database.value("SELECT is_called FROM calls")
    err = " ".join(
        shop.run(
            "reconcile", "app.r_orders", "--sql", "SELECT id, 'a'::text AS kind FROM app.w_orders", expect=None
        ).err.split()
    )
    assert "kind needs a cast by the function m.tenant(text), which belongs to the role pg_monitor" in err
    assert not database.value("SELECT is_called FROM calls")


def test_texts_are_those_of_casts(database: Database) -> None:
    """Stored hashes and batch bounds are made of them."""
    database.execute(
        "CREATE EXTENSION citext SCHEMA public; CREATE TYPE mood AS ENUM ('a b', '');"
        "CREATE DOMAIN code AS varchar(5); CREATE TYPE pair AS (x int, y mood);"
        "CREATE TYPE span AS RANGE (subtype = date);"
        "CREATE TABLE t (a mood, b citext, c code, d mood[], e pair, f span, g code[], h boolean, i char(4), j int[]);"
        "INSERT INTO t VALUES ('a b', 'aB', 'x', '{a b,\"\",NULL}', '(1,a b)', '[2026-01-01,)', '{a,\"b c\"}', true,"
        " 'a', '{1}'), ('', '', '', '{}', '(,)', 'empty', '{}', false, '', '{}'); INSERT INTO t DEFAULT VALUES"
    )
    with database.connect() as connection:
        for column in connection.execute("SELECT * FROM t LIMIT 0").description or ():
            name = sql.Identifier(column.name)
            text = to_text(name, is_builtin=column.type_code < FIRST_USER_OID)
            differing = sql.SQL("SELECT count(*) FROM t WHERE ({}) IS DISTINCT FROM {}::text").format(text, name)
            assert connection.execute(differing).fetchone() == (0,), column.name
