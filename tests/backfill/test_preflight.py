"""Backfills that would be refused are refused before an earlier segment of their migration commits."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.engine import dry_run, migrate_up
from tests.support.projects import Project
from tests.support.servers import Database

_TARGET = (
    "  - sql: CREATE TABLE r_orders (tenant_id bigint NOT NULL, order_id bigint NOT NULL, PRIMARY KEY (order_id))\n"
)
_FILL = (
    "after_ddl:\n  - name: fill\n    backfill:\n      into: r_orders\n      from: w_orders\n      alias: o\n"
    "      key: [{}]\n      sql: INSERT INTO r_orders (tenant_id, order_id) SELECT o.tenant_id, o.id FROM w_orders o"
    " WHERE {{{{ batch }}}}\n"
)


@pytest.fixture
def orders(shop: Project, database: Database) -> Project:
    database.execute(
        "CREATE TABLE w_orders (id bigint PRIMARY KEY, tenant_id bigint NOT NULL, x int);"
        "INSERT INTO w_orders SELECT g, g % 5 FROM generate_series(1, 100) g"
    )
    return shop


def test_a_key_without_an_index_leaves_nothing_behind(orders: Project, database: Database) -> None:
    orders.migration("001_fill", f"ddl:\n{_TARGET}{_FILL.format('tenant_id, id')}")
    for ran in (dry_run(orders), migrate_up(orders)):
        ran.expect(4)
        assert ran.diagnostic.code == "no-batch-index"
        assert ran.diagnostic.span is not None
        assert ran.diagnostic.span.path == "migrations/001_fill.yaml"
    assert database.value("SELECT to_regclass('r_orders')") is None
    # the history contains the failed run, but no migration
    assert database.value("SELECT count(*) FROM confiture.migrations") == 0
    assert database.value("SELECT count(*) FROM confiture.history_events WHERE event = 'failed'") == 1


@pytest.mark.parametrize(
    "earlier",
    [
        "  - sql: CREATE INDEX i ON w_orders (tenant_id, id)\n",
        "  - sql: DO $$ BEGIN EXECUTE 'CREATE INDEX i ON w_' || 'orders (tenant_id, id)'; END $$\n",
    ],
    ids=["index", "opaque"],
)
def test_what_earlier_segments_change_is_not_judged_before(orders: Project, database: Database, earlier: str) -> None:
    orders.migration("001_fill", f"ddl:\n{_TARGET}{earlier}{_FILL.format('tenant_id, id')}")
    dry_run(orders).expect(0)
    migrate_up(orders).expect(0)
    assert database.value("SELECT count(*) FROM r_orders") == 100


@pytest.fixture
def secured(orders: Project, database: Database) -> Iterator[Project]:
    """The role that migrates owns the table, and is subject to its policy."""
    owner = f"{database.name}_owner"
    database.execute(
        f"CREATE ROLE {owner} LOGIN; GRANT ALL ON SCHEMA public TO {owner}; ALTER TABLE w_orders OWNER TO {owner};"
        f"ALTER DATABASE {database.name} OWNER TO {owner}; ALTER TABLE w_orders ENABLE ROW LEVEL SECURITY;"
        "ALTER TABLE w_orders FORCE ROW LEVEL SECURITY; CREATE POLICY p ON w_orders USING (tenant_id = 1)"
    )
    orders.environ["DATABASE_URL"] = database.url.replace("://postgres@", f"://{owner}@")
    yield orders
    database.execute(
        f"ALTER DATABASE {database.name} OWNER TO postgres; DROP OWNED BY {owner} CASCADE; DROP ROLE {owner}"
    )


def test_row_security_is_refused_before_anything_commits(secured: Project, database: Database) -> None:
    secured.migration("001_fill", f"ddl:\n{_TARGET}{_FILL.format('id')}")
    for command in ("--dry-run", "up"):
        errors = secured.run("migrate", command, expect=4).err
        assert "row security hides rows in w_orders from this role" in errors
        assert "001_fill.yaml:10:" in errors
        assert "NO FORCE ROW LEVEL SECURITY" in errors
    assert database.value("SELECT to_regclass('r_orders')") is None
    database.execute("ALTER TABLE w_orders NO FORCE ROW LEVEL SECURITY")
    secured.run("migrate", "up")
    assert database.value("SELECT count(*) FROM r_orders") == 100
