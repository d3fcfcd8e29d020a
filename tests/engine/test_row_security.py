"""Row security never hides rows from a migration: what it would hide is an error."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.projects import Project
from tests.support.servers import Database

_SETUP = """
CREATE TABLE w_orders (id int PRIMARY KEY, tenant_id int NOT NULL, total int, cents int);
INSERT INTO w_orders SELECT g, g % 10, g FROM generate_series(1, 100) g;
ALTER TABLE w_orders ENABLE ROW LEVEL SECURITY;
CREATE POLICY t ON w_orders USING (tenant_id = current_setting('app.tenant', true)::int);
CREATE VIEW v_orders WITH (security_invoker) AS SELECT * FROM w_orders;
"""
_HINT = "NO FORCE ROW LEVEL SECURITY"


@pytest.fixture
def owned(shop: Project, database: Database) -> Iterator[Project]:
    """A project whose role owns a table with forced row security, and neither is a superuser nor has BYPASSRLS."""
    owner = f"{database.name}_owner"
    database.execute(f"CREATE ROLE {owner} LOGIN; GRANT ALL ON SCHEMA public TO {owner}")
    database.execute(f"ALTER DATABASE {database.name} OWNER TO {owner}; SET ROLE {owner}; {_SETUP}")
    shop.environ["DATABASE_URL"] = database.url.replace("://postgres@", f"://{owner}@")
    yield shop
    database.execute(
        f"ALTER DATABASE {database.name} OWNER TO postgres; DROP OWNED BY {owner} CASCADE; DROP ROLE {owner}"
    )


_STEPS = {
    "update": "sql: UPDATE w_orders SET cents = total * 100",
    "delete": "sql: DELETE FROM w_orders",
    "insert": "sql: INSERT INTO w_orders VALUES (101, 1, 1)",
    "select": "sql: CREATE TABLE r AS SELECT * FROM w_orders",
    "view": "sql: CREATE TABLE r AS SELECT * FROM v_orders",
    "function": "sql: DO $$ BEGIN UPDATE w_orders SET cents = 0; END $$",
    "check": "check: SELECT count(*) FROM w_orders WHERE cents IS NOT NULL\n    expect: 0",
}


@pytest.mark.parametrize("step", _STEPS)
def test_rows_are_not_hidden_from_steps(owned: Project, database: Database, step: str) -> None:
    owned.migration("001_a", f"after_ddl:\n  - {_STEPS[step]}\n")
    for command in ("--dry-run", "up"):
        owned.run("migrate", command)
    owned.migration("002_b", f"after_ddl:\n  - {_STEPS[step]}\n".replace("TABLE r", "TABLE r2"))
    database.execute("ALTER TABLE w_orders FORCE ROW LEVEL SECURITY")
    for command in ("--dry-run", "up"):
        errors = owned.run("migrate", command, expect=4).err
        assert "would be affected by row-level security" in errors
        assert "002_b.yaml:2:" in errors
        assert _HINT in errors


def test_a_migration_may_ask_for_row_security(owned: Project, database: Database) -> None:
    database.execute("ALTER TABLE w_orders FORCE ROW LEVEL SECURITY")
    owned.migration(
        "001_a",
        "after_ddl:\n  - sql: SET row_security = on; SET app.tenant = 3\n  - sql: UPDATE w_orders SET cents = 1\n",
    )
    owned.run("migrate", "up")
    assert database.rows("SELECT DISTINCT tenant_id FROM w_orders WHERE cents = 1") == [(3,)]


def test_end_checks_do_not_overlook_rows(owned: Project, database: Database) -> None:
    owned.migration("001_a", "after_validation:\n  - check: SELECT count(*) FROM w_orders\n    expect: 100\n")
    owned.run("migrate", "up")
    owned.run("verify")
    database.execute("ALTER TABLE w_orders FORCE ROW LEVEL SECURITY")
    assert "row-level security" in owned.run("verify", expect=1).out
