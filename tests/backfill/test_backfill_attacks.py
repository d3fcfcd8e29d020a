"""Backfills under attack: what would silently give a wrong result is refused, or made right."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterator

import psycopg
import pytest

from confiture.core.db.blocking_monitor import BlockingMonitor
from confiture.models.events import BackfillProgressed, Notice, StepFinished
from tests.support.engine import migrate_down, migrate_up, wait_until
from tests.support.projects import Project
from tests.support.read_models import (
    CUSTOMERS,
    DIFFERENT,
    OURS,
    SMALL_BATCHES,
    SQL,
    WORKERS,
    fill,
    schema,
    slow_down,
    speed_up,
)
from tests.support.servers import PG15, Database, Roles, Server, server_folder, start_server_15, unprivileged_runner

pytestmark = pytest.mark.versions_alike


@pytest.fixture
def made(shop: Project, database: Database) -> Project:
    schema(database)
    return shop


@pytest.fixture
def made_18(shop_18: Project, database_18: Database) -> Project:
    schema(database_18)
    return shop_18


def once(work: Callable[[], object]) -> Callable[[object], None]:
    """A listener that does something when the backfill is under way."""
    done: list[bool] = []

    def listen(event: object) -> None:
        if isinstance(event, BackfillProgressed) and event.batches and not done:
            done.append(True)
            work()

    return listen


def meanwhile(database: Database, statements: str) -> Callable[[object], None]:
    """A listener that runs statements when the backfill, its brake on, is under way, and lets it go on without."""

    def work() -> None:
        database.execute(statements)
        speed_up(database)

    return once(work)


def step(shop: Project, text: str) -> None:
    shop.write("migrations/001_fill.yaml", f"after_ddl:\n  - name: fill\n    backfill:\n{text}")


KEYS = {
    "timestamptz": "timestamptz '2024-10-27 00:00:00+00' + n * interval '7 minutes'",
    "date": "date '2024-01-01' + n",
    "text": "'Ä''\\%%' || n % 7 || chr(97 + n % 26) || n",
    "numeric": "n / 10.0 + CASE n % 3 WHEN 0 THEN 0.00 ELSE 0 END",
    "uuid": "md5(n::text)::uuid",
    "real": "n / 7.0",
}


@pytest.mark.parametrize("kind", KEYS)
def test_keys_mean_the_same_in_every_session(shop, database, kind):
    """Each run, and each session of it, may have another time zone and another DateStyle."""
    database.execute(
        f"""
        CREATE SCHEMA "My. Schema";
        CREATE DOMAIN "My. Schema"."Key" AS {kind};
        CREATE TABLE "My. Schema"."From" ("Key" "My. Schema"."Key" PRIMARY KEY, n int);
        INSERT INTO "My. Schema"."From" SELECT ({KEYS[kind]})::{kind}, n FROM generate_series(1, 500) n;
        CREATE TABLE "My. Schema"."To" ("K" {kind} PRIMARY KEY, n int);
        ANALYZE;
        ALTER DATABASE {database.name} SET DateStyle = 'SQL, DMY';
        ALTER DATABASE {database.name} SET TimeZone = 'America/St_Johns';
        """
    )
    step(
        shop,
        """      into: '"My. Schema"."To"'
      from: '"My. Schema"."From"'
      alias: f
      batch_rows: 40
      batch_time: 5ms
      sql: |
        INSERT INTO "My. Schema"."To" ("K", n)
        SELECT f."Key", 1000 / (f.n - 300) FROM "My. Schema"."From" f WHERE {{ batch }}
""",
    )
    migrate_up(shop).expect(5)  # row 300 is wrong
    database.execute(
        f"ALTER DATABASE {database.name} SET DateStyle = 'Postgres, MDY';"
        f"ALTER DATABASE {database.name} SET TimeZone = 'Europe/Berlin';"
    )
    database.execute('DELETE FROM "My. Schema"."From" WHERE n = 300')
    migrate_up(shop).expect(0)
    assert database.value('SELECT count(*) FROM "My. Schema"."To"') == 499


def test_a_key_whose_type_an_extension_brings_fails_no_writer(shop_18, database_18):
    """The trigger looks up names in pg_catalog alone, which has no operator for such a type."""
    schema(database_18)
    slow_down(database_18)
    database_18.execute(
        """
        CREATE EXTENSION ltree;
        CREATE TABLE w_paths (path ltree PRIMARY KEY, size int);
        INSERT INTO w_paths SELECT format('top.n%s', n)::ltree, 1 FROM generate_series(1, 500) n;
        CREATE TABLE r_paths (path ltree PRIMARY KEY, size int);
        CREATE TRIGGER slowly AFTER INSERT ON r_paths EXECUTE FUNCTION slowly();
        ANALYZE;
        """
    )
    step(
        shop_18,
        """      into: r_paths
      from: w_paths
      alias: p
      batch_rows: 10
      batch_time: 60ms
      sql: INSERT INTO r_paths (path, size) SELECT p.path, p.size FROM w_paths p WHERE {{ batch }}
""",
    )
    writes = "UPDATE w_paths SET size = 2; UPDATE w_paths SET path = 'moved' WHERE path = 'top.n7'"
    migrate_up(shop_18, meanwhile(database_18, f"{writes}; INSERT INTO w_paths VALUES ('new', 3)")).expect(0)
    assert database_18.value("SELECT count(*) FROM w_paths") == 501, "the writers failed"
    assert database_18.rows("TABLE w_paths EXCEPT ALL TABLE r_paths") == []
    assert database_18.value("SELECT count(*) FROM r_paths") == 501


PARTITIONED = """
    ALTER TABLE w_customers RENAME TO old;
    CREATE TABLE w_customers (tenant_id int, id int, name text, PRIMARY KEY (tenant_id, id)) PARTITION BY HASH (id);
    CREATE TABLE p0 PARTITION OF w_customers FOR VALUES WITH (MODULUS 2, REMAINDER 0);
    CREATE TABLE p1 PARTITION OF w_customers FOR VALUES WITH (MODULUS 2, REMAINDER 1);
    INSERT INTO w_customers SELECT * FROM old;
    ANALYZE w_customers;
"""


def test_a_partitioned_source_is_filled_and_noted_in_all_its_partitions(shop, database):
    schema(database)
    database.execute(PARTITIONED)
    slow_down(database)
    fill(shop, SMALL_BATCHES)
    migrate_up(shop, meanwhile(database, "DELETE FROM p0 WHERE id < 500; DELETE FROM p1 WHERE id < 500")).expect(0)
    assert database.value(DIFFERENT) == 0
    assert database.rows(OURS) == []


@pytest.mark.parametrize("before", ["SELECT", PARTITIONED], ids=["plain", "partitioned"])
def test_a_plan_that_reads_everything_for_each_batch_is_refused(made_18, database_18, before):
    database_18.execute(before)
    for setting in ("enable_indexscan", "enable_indexonlyscan", "enable_bitmapscan"):
        database_18.execute(f"ALTER DATABASE {database_18.name} SET {setting} = off")
    fill(made_18, "batch_rows: 10")
    ran = migrate_up(made_18)
    assert (ran.code, ran.codes) == (4, ["bad-plan"])
    assert "PostgreSQL plans Seq Scan on " in ran.diagnostic.message
    assert any("Seq Scan on " in line for line in ran.diagnostic.detail)


ONE_ROW = {
    "your own": "SELECT sum_of(o.v) FROM w_o o WHERE {{ batch }}",
    "having": "SELECT 1 FROM w_o o WHERE {{ batch }} HAVING count(*) > 0",
    "of a join": "SELECT regr_count(o.v, x.v) FROM w_o o JOIN w_o x USING (id) WHERE {{ batch }}",
}
A_ROW_EACH = {
    "subquery": "SELECT (SELECT sum_of(x.v) FROM w_o x WHERE x.id <= o.id % 3) FROM w_o o WHERE {{ batch }}",
    "lateral": "SELECT s.n FROM w_o o, LATERAL (SELECT sum_of(x.v) n FROM w_o x WHERE x.id = o.id) s WHERE {{ batch }}",
    "group": "SELECT sum_of(o.v) FROM w_o o WHERE {{ batch }} GROUP BY o.id",
}


@pytest.mark.parametrize("query", [*ONE_ROW.values(), *A_ROW_EACH.values()], ids=[*ONE_ROW, *A_ROW_EACH])
def test_every_aggregate_over_a_whole_batch_is_refused(shop, database, query):
    database.execute("CREATE AGGREGATE sum_of(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0')")
    database.execute("CREATE TABLE w_o (id int PRIMARY KEY, v int); CREATE TABLE r_o (n int)")
    database.execute("INSERT INTO w_o SELECT n, n FROM generate_series(1, 40) AS n; ANALYZE")
    backfill = {"into": "r_o", "from": "w_o", "alias": "o", "on_writes": "ignore", "batch_rows": 10}
    shop.migration(
        "001_fill", json.dumps({"after_ddl": [{"backfill": {**backfill, "sql": f"INSERT INTO r_o {query}"}}]})
    )
    ran = migrate_up(shop)
    refused = query in ONE_ROW.values()
    assert ran.code == (4 if refused else 0), ran.error
    assert not refused or ran.codes == ["backfill-groups"]
    assert database.value("SELECT count(*) FROM r_o") == (0 if refused else 40)


def test_a_truncated_partition_ends_it(shop, database):
    test_a_partitioned_source_is_filled_and_noted_in_all_its_partitions(shop, database)
    database.execute("DROP SCHEMA confiture CASCADE; TRUNCATE r_totals")
    slow_down(database)
    ran = migrate_up(shop, meanwhile(database, "TRUNCATE p0"))
    assert (ran.code, ran.codes) == (5, ["source-truncated"])


def test_partitions_that_come_and_go_are_seen(shop, database):
    schema(database)
    database.execute(
        """
        ALTER TABLE w_customers RENAME TO old;
        CREATE TABLE w_customers (LIKE old) PARTITION BY RANGE (id);
        ALTER TABLE w_customers ADD PRIMARY KEY (tenant_id, id);
        CREATE TABLE p0 PARTITION OF w_customers FOR VALUES FROM (0) TO (2000);
        CREATE TABLE p1 PARTITION OF w_customers FOR VALUES FROM (2000) TO (9000);
        INSERT INTO w_customers SELECT * FROM old;
        CREATE TABLE p2 (LIKE w_customers INCLUDING ALL);
        INSERT INTO p2 SELECT 1, 9000 + g, 'attached' FROM generate_series(1, 50) g;
        ANALYZE w_customers;
        """
    )
    slow_down(database)
    fill(shop, SMALL_BATCHES)
    attach = "ALTER TABLE w_customers ATTACH PARTITION p2 FOR VALUES FROM (9000) TO (10000)"
    ran = migrate_up(shop, meanwhile(database, attach)).expect(0)
    assert database.value(DIFFERENT) == 0
    assert database.value("SELECT count(*) FROM r_totals WHERE customer_id > 9000") == 50
    database.execute("DROP SCHEMA confiture CASCADE; TRUNCATE r_totals")
    slow_down(database)
    ran = migrate_up(shop, meanwhile(database, "DROP TABLE p0"))
    assert (ran.code, ran.codes) == (5, ["partitions-changed"]), ran.error


@pytest.mark.parametrize(
    ("before", "options", "sql", "captures", "code"),
    [
        ("INSERT INTO r_totals VALUES (1, 1, 1, 1)", "batch_rows: 10", SQL, None, "target-not-empty"),
        (
            "CREATE TABLE w_child (tenant_id int, customer_id int,"
            " FOREIGN KEY (tenant_id, customer_id) REFERENCES r_totals ON DELETE CASCADE)",
            "batch_rows: 10",
            SQL,
            None,
            "target-referenced",
        ),
        (
            "ALTER TABLE w_orders ADD COLUMN whose text",
            "batch_rows: 10",
            SQL,
            "w_orders: [tenant_id, whose]",
            "not-captured",
        ),
        ("SELECT", "batch_rows: 10", SQL, "w_orders: [tenant_id, nobody]", "not-captured"),
        (
            "DROP TABLE w_orders; CREATE FOREIGN DATA WRAPPER far; CREATE SERVER far FOREIGN DATA WRAPPER far;"
            "CREATE TABLE w_orders (id int, tenant_id int, customer_id int, amount int) PARTITION BY LIST (tenant_id);"
            "CREATE FOREIGN TABLE w_orders_far PARTITION OF w_orders FOR VALUES IN (7) SERVER far",
            "batch_rows: 10",
            SQL,
            None,
            "not-captured",
        ),
        (
            "ALTER TABLE w_customers ADD COLUMN a int, ADD CONSTRAINT n NOT NULL a NOT VALID;"
            "CREATE UNIQUE INDEX ON w_customers (a, id)",
            "key: [a, id]",
            SQL.replace("c.id\n", "c.id, c.a\n"),
            None,
            "no-batch-key",
        ),
        (
            "CREATE DOMAIN part AS int CHECK (VALUE > 0); CREATE TYPE pair AS (x part);"
            "ALTER TABLE w_customers ADD COLUMN a pair NOT NULL DEFAULT '(1)'; CREATE UNIQUE INDEX ON"
            " w_customers (a, id)",
            "key: [a, id]",
            SQL.replace("c.id\n", "c.id, c.a\n"),
            None,
            "no-batch-key",
        ),
        (
            "ALTER TABLE w_customers ADD COLUMN a int NOT NULL DEFAULT 1;CREATE INDEX ON w_customers (a DESC, id)",
            "key: [a, id]",
            SQL.replace("c.id\n", "c.id, c.a\n"),
            None,
            "no-batch-index",
        ),
        (
            "ALTER TABLE w_customers ALTER name SET NOT NULL; CREATE INDEX ON w_customers (name text_pattern_ops)",
            "key: [name]",
            SQL.replace("c.id\n", "c.id, c.name\n"),
            None,
            "no-batch-index",
        ),
        (
            'ALTER TABLE w_customers ALTER name SET NOT NULL; CREATE INDEX ON w_customers (name COLLATE "POSIX")',
            "key: [name]",
            SQL.replace("c.id\n", "c.id, c.name\n"),
            None,
            "no-batch-index",
        ),
    ],
)
def test_what_would_lose_data_is_refused_and_leaves_nothing(made_18, database_18, before, options, sql, captures, code):
    database_18.execute(before)
    fill(made_18, options, sql, captures or "w_orders: [tenant_id, customer_id]")
    before_it = database_18.rows("TABLE r_totals")
    ran = migrate_up(made_18)
    assert ran.codes == [code]
    ran.expect(4)  # nothing was begun
    assert ran.diagnostic.hint
    assert database_18.rows("TABLE r_totals") == before_it
    assert database_18.rows(OURS) == []
    assert database_18.rows("SELECT FROM confiture.backfills") == []


def test_rows_of_others_in_the_same_table_stay(made, database):
    database.execute(
        "ALTER TABLE r_totals ADD COLUMN kind text DEFAULT 'other';"
        "ALTER TABLE r_totals DROP CONSTRAINT r_totals_pkey, ADD PRIMARY KEY (kind, tenant_id, customer_id);"
        "INSERT INTO r_totals SELECT tenant_id, id, 0, 0, 'other' FROM w_customers;"
    )
    slow_down(database)
    mine = (
        SQL.replace("orders, total)", "orders, total, kind)")
        .replace("amount), 0)", "amount), 0), 'mine'")
        .replace(
            "c.tenant_id, c.id\n",
            "c.tenant_id, c.id\n          ON CONFLICT (kind, tenant_id, customer_id) DO NOTHING\n",
        )
    )
    fill(made, SMALL_BATCHES, mine)
    migrate_up(made, meanwhile(database, "DELETE FROM w_customers WHERE id < 900")).expect(0)
    assert database.value("SELECT count(*) FROM r_totals WHERE kind = 'other'") == CUSTOMERS
    assert database.value(DIFFERENT.replace("FROM r_totals", "FROM r_totals WHERE kind = 'mine'")) == 0


def test_a_value_that_moved_to_another_row_is_in_nobody_s_way(made, database):
    """The target is unique by name as well, and others swap names between what is filled and what is not."""
    database.execute("ALTER TABLE r_totals ADD COLUMN name text UNIQUE")
    slow_down(database)
    sql = SQL.replace("orders, total)", "orders, total, name)").replace("amount), 0)", "amount), 0), c.name")
    fill(made, SMALL_BATCHES, sql)
    swap = """
        UPDATE w_customers c SET name = o.name FROM w_customers o
        WHERE (c.tenant_id, c.id) IN (SELECT tenant_id, id FROM w_customers ORDER BY 1, 2 LIMIT 10)
          AND o.id = (SELECT id FROM w_customers ORDER BY tenant_id DESC, id DESC LIMIT 1) AND c.id =
          (SELECT id FROM w_customers ORDER BY tenant_id, id LIMIT 1);
        UPDATE w_customers SET name = 'n' || (SELECT id FROM w_customers ORDER BY tenant_id, id LIMIT 1)
        WHERE id = (SELECT id FROM w_customers ORDER BY tenant_id DESC, id DESC LIMIT 1)
    """
    migrate_up(made, meanwhile(database, swap)).expect(0)
    assert database.value(DIFFERENT) == 0
    wrong = "SELECT count(*) FROM r_totals r JOIN w_customers c ON c.id = r.customer_id WHERE r.name <> c.name"
    assert database.value(wrong) == 0


def test_two_rows_that_swap_a_unique_value_are_drained_together(made, database):
    database.execute("ALTER TABLE r_totals ADD COLUMN name text UNIQUE")
    slow_down(database)
    sql = SQL.replace("orders, total)", "orders, total, name)").replace("amount), 0)", "amount), 0), c.name")
    fill(made, SMALL_BATCHES, sql)
    rotate = """
        UPDATE w_customers c SET name = 'm' || o.n
        FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM w_customers) o WHERE o.id = c.id;
        UPDATE w_customers SET name = 'n' || (id % 3000) + 1
    """
    migrate_up(made, meanwhile(database, rotate)).expect(0)
    assert database.value(DIFFERENT) == 0
    wrong = "SELECT count(*) FROM r_totals r JOIN w_customers c ON c.id = r.customer_id WHERE r.name <> c.name"
    assert database.value(wrong) == 0


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        (
            "INSERT INTO t (id, n) SELECT c.id, p.n FROM s c JOIN s p ON p.id = c.parent WHERE {{ batch }}",
            "not-captured",
        ),
        ("UPDATE t SET n = n + 1 FROM s c WHERE c.id = t.id AND {{ batch }}", "backfill-compounds"),
        (
            "INSERT INTO t (id, n) SELECT c.id, o.n FROM s c RIGHT JOIN o ON o.id = c.id WHERE {{ batch }}",
            "backfill-source",
        ),
        (
            "INSERT INTO t (id, n) SELECT c.id, o.n FROM o FULL JOIN s c ON o.id = c.id WHERE {{ batch }}",
            "backfill-source",
        ),
    ],
)
def test_statements_whose_batches_do_not_add_up_are_refused(project, sql, code):
    step(project, f"      into: t\n      from: s\n      alias: c\n      key: [id]\n      sql: {sql}\n")
    assert f"error[{code}]" in project.run("migrate", "validate", expect=2).err


def test_an_update_that_moves_its_own_key_is_refused(project):
    step(
        project,
        "      into: s\n      from: s\n      key: [id]\n      sql: UPDATE s SET id = id + 1 WHERE {{ batch }}\n",
    )
    assert "error[backfill-key-written]" in project.run("migrate", "validate", expect=2).err


def test_rows_that_a_policy_hides_are_not_left_out_silently(made, roles: Roles):
    database = roles.database
    database.execute(
        f"""
        GRANT CREATE ON DATABASE {database.name} TO {roles.migrator};
        ALTER TABLE w_customers OWNER TO {roles.migrator};
        ALTER TABLE w_orders OWNER TO {roles.migrator};
        ALTER TABLE r_totals OWNER TO {roles.migrator};
        ALTER TABLE w_customers ENABLE ROW LEVEL SECURITY;
        ALTER TABLE w_customers FORCE ROW LEVEL SECURITY;
        CREATE POLICY mine ON w_customers USING (tenant_id = 7);
        """
    )
    fill(made)
    ran = migrate_up(made, url=roles.url(roles.migrator)).expect(4)
    assert ran.codes == ["row-security"]
    assert database.rows(OURS) == []


def test_a_role_that_owns_only_some_tables_leaves_nothing(made, roles: Roles):
    database = roles.database
    database.execute(
        f"""
        GRANT CREATE ON DATABASE {database.name} TO {roles.migrator};
        GRANT SELECT ON ALL TABLES IN SCHEMA public TO {roles.migrator};
        ALTER TABLE w_customers OWNER TO {roles.migrator};
        ALTER TABLE r_totals OWNER TO {roles.migrator};
        """
    )
    fill(made)
    ran = migrate_up(made, url=roles.url(roles.migrator))
    assert (ran.code, ran.codes) == (4, ["42501"])
    assert database.rows(OURS) == []


def test_a_delete_counts_the_rows_that_it_walked_over(made, database):
    step(
        made,
        """      into: w_customers
      from: w_customers
      alias: c
      batch_rows: 70
      captures: {}
      sql: DELETE FROM w_customers c WHERE {{ batch }} AND c.id > 5
""",
    )
    migrate_up(made).expect(0)
    done = database.rows("SELECT sum(source_rows), sum(written_rows) FROM confiture.backfill_ranges")
    assert done == [(CUSTOMERS, CUSTOMERS - 5)]


def test_writes_between_two_runs_are_seen_where_nobody_was_to_write(made, database):
    fill(made, "batch_rows: 512\non_writes: ignore", SQL.replace("count(o.id)", "100 / (c.id - 2000)"), "")
    migrate_up(made).expect(5)
    with database.connect() as connection:
        connection.execute("DELETE FROM w_customers WHERE id = 2000")
        if database.server.version > 14:
            connection.execute("SELECT pg_stat_force_next_flush()")
            connection.execute("SELECT 1")
    wait_until(
        lambda: database.value("SELECT n_tup_del FROM pg_stat_user_tables WHERE relname = 'w_customers'"), "it is told"
    )
    ran = migrate_up(made)
    assert (ran.code, ran.codes) == (5, ["source-written"])


@pytest.mark.parametrize("end", ["ROLLBACK", "PREPARE TRANSACTION 'late'"])
def test_a_writer_that_has_not_committed_is_seen_where_nobody_was_to_write(made, database, end):
    if end != "ROLLBACK" and database.value("SHOW max_prepared_transactions") == "0":
        pytest.skip("this server prepares no transactions")
    fill(made, "batch_rows: 500\non_writes: ignore", captures="")
    with database.connect(application_name="the shop") as writer:
        writer.execute("BEGIN")
        writer.execute("DELETE FROM w_orders WHERE customer_id = 1")
        if end != "ROLLBACK":
            writer.execute(end.encode())
        ran = migrate_up(made)
        assert (ran.code, ran.codes) == (5, ["source-written"])
        who = f"the shop (process {writer.info.backend_pid})" if end == "ROLLBACK" else "a prepared transaction"
        assert f"{who} writes to w_orders" in ran.diagnostic.message
        writer.execute("ROLLBACK" if end == "ROLLBACK" else "ROLLBACK PREPARED 'late'")


def test_ctrl_c_leaves_what_the_next_run_goes_on_with(made, database):
    """While a batch is under way that would take a minute."""
    slow = SQL.replace("count(o.id)", "count(o.id) + CASE WHEN c.id = 2000 THEN length(pg_sleep(60)::text) ELSE 0 END")
    fill(made, "batch_rows: 100\nworkers: 2", slow)
    running = made.start("migrate", "up")
    wait_until(
        lambda: database.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"),
        "it is in the batch",
    )
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=120)
    assert running.returncode == 5, err
    assert "interrupted" in err
    assert database.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == 0
    filled = database.value("SELECT count(*) FROM r_totals")
    database.execute("DELETE FROM w_customers WHERE id = 2000")
    migrate_up(made).expect(0)
    assert filled and database.value(DIFFERENT) == 0


def test_ctrl_c_between_two_workers_leaves_none_at_work(made_18, database_18, monkeypatch):
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        if thread.name == "backfill 2":
            wait_until(lambda: database_18.value(WORKERS), "the first one is at work")
            raise KeyboardInterrupt
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    slow_down(database_18)
    fill(made_18, SMALL_BATCHES + "\nworkers: 2")
    migrate_up(made_18).expect(5)
    wait_until(lambda: database_18.value(WORKERS) == 0, "its session ends")
    assert database_18.value("SELECT count(*) FROM r_totals") < CUSTOMERS, "it was sent home"


def test_a_lost_lock_stops_the_fill(made, database):
    slow_down(database)
    fill(made, SMALL_BATCHES)
    cut = (
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    ran = migrate_up(made, once(lambda: database.rows(cut))).expect(5)
    assert "holds the lock was lost" in ran.diagnostic.message
    speed_up(database)
    migrate_up(made).expect(0)
    assert database.value(DIFFERENT) == 0


def test_a_lost_main_connection_leaves_what_the_next_run_goes_on_with(made, database):
    slow_down(database)
    fill(made, SMALL_BATCHES)
    cut = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name LIKE 'confiture migrate%' AND datname = current_database()"
    )
    migrate_up(made, once(lambda: database.rows(cut))).expect(5)
    speed_up(database)
    migrate_up(made).expect(0)
    assert database.value(DIFFERENT) == 0


def test_a_worker_that_nobody_watches_any_more_says_so(made_18, database_18):
    """Its watch loses its connection, and gets no other."""
    slow_down(database_18)
    fill(made_18, SMALL_BATCHES)
    name = database_18.name

    def cut() -> None:
        database_18.server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        database_18.server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            f" WHERE application_name LIKE 'confiture watch%' AND datname = '{name}'"
        )

    def let_go(event: object) -> None:
        if isinstance(event, Notice) and "a worker's blocking is no longer monitored: " in event.text:
            database_18.server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
            speed_up(database_18)

    ran = migrate_up(made_18, once(cut), let_go)
    database_18.server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    ran.expect(0)
    assert ran.notes.count("a worker's blocking is no longer monitored: ") == 1
    assert "not currently accepting connections" in ran.notes
    assert database_18.value(DIFFERENT) == 0


def test_the_rollback_of_a_batch_is_not_watched(made_18, database_18, monkeypatch):
    """A cancel that arrives at a ROLLBACK would break it off."""
    states: list[str] = []
    release = BlockingMonitor.stop_enforcing

    def released(watch: BlockingMonitor) -> None:
        of_workers = f"SELECT state FROM pg_stat_activity WHERE pid IN ({WORKERS.replace('count(*)', 'pid')})"
        states.extend(state for (state,) in database_18.rows(of_workers))
        release(watch)

    monkeypatch.setattr(BlockingMonitor, "stop_enforcing", released)
    fill(made_18, "batch_rows: 512", SQL.replace("count(o.id)", "100 / (c.id - 2000)"))
    migrate_up(made_18).expect(5)
    assert "idle in transaction (aborted)" in states


def test_triggers_that_somebody_dropped_are_missed(made, database):
    fill(made, "batch_rows: 512", SQL.replace("count(o.id)", "100 / (c.id - 2000)"))
    migrate_up(made).expect(5)
    (trigger, *_) = database.rows(OURS)
    database.execute(f"DROP TRIGGER {trigger[0].removesuffix('_truncate')} ON w_orders")
    ran = migrate_up(made)
    assert (ran.code, ran.codes) == (5, ["capture-lost"])


def test_what_is_undone_midway_takes_its_triggers_with_it(made, database):
    fill(made, "batch_rows: 512", SQL.replace("count(o.id)", "100 / (c.id - 2000)"))
    made.write(
        "migrations/001_fill.yaml",
        (made.root / "migrations/001_fill.yaml").read_text() + "down:\n  - sql: TRUNCATE r_totals\n",
    )
    migrate_up(made).expect(5)
    assert len(database.rows(OURS)) == 4
    migrate_down(made).expect(0)
    assert database.rows(OURS) == []
    assert database.rows("SELECT FROM confiture.backfills") == []


def test_a_writer_that_stays_open_is_waited_for(made, database):
    slow_down(database)
    fill(made, SMALL_BATCHES)
    writer = psycopg.connect(database.url)

    def write() -> None:
        writer.execute("DELETE FROM w_orders WHERE customer_id < 100")
        speed_up(database)

    def commit(event: object) -> None:
        if isinstance(event, BackfillProgressed) and event.source_rows >= CUSTOMERS:
            writer.commit()

    ran = migrate_up(made, once(write), commit)
    writer.close()
    ran.expect(0)
    assert database.value(DIFFERENT) == 0
    note = next(event.note for event in ran.events if isinstance(event, StepFinished))
    assert note and "writers were blocked for" in note


def test_the_session_of_the_run_is_as_it_was(made, database):
    """What comes after a backfill sees none of its settings."""
    fill(made)
    text = (made.root / "migrations/001_fill.yaml").read_text()
    after = "".join(
        f"  - check: SELECT current_setting('{name}')\n    expect: {value}\n"
        for name, value in {"lock_timeout": "2s", "row_security": '"off"', "statement_timeout": '"0"'}.items()
    )
    made.write("migrations/001_fill.yaml", f"{text}after_validation:\n{after}")
    migrate_up(made).expect(0)


def test_more_workers_than_there_is_to_do(made, database):
    database.execute("DELETE FROM w_customers WHERE id > 3")
    fill(made, "workers: 9")
    migrate_up(made).expect(0)
    assert database.value(DIFFERENT) == 0


@pytest.fixture
def crashing(project: Project, uses_server: None) -> Iterator[tuple[Project, Database, Callable[[], None]]]:
    """A server of its own, that can be stopped without any warning and started again."""
    if not (PG15 / "pg_ctl").exists():
        pytest.skip("PostgreSQL 15 is not installed")
    with server_folder() as folder:
        servers = start_server_15(folder)
        server: Server = next(servers)
        run = unprivileged_runner(folder)
        options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off"
        control = [PG15 / "pg_ctl", "-D", folder / "data", "-l", folder / "log", "-w"]

        def crash() -> None:
            run([*control, "-m", "immediate", "stop"])
            run([*control, "-o", options, "start"])

        server.execute("CREATE DATABASE shop")
        database = Database(server, "shop")
        project.environ["DATABASE_URL"] = database.url
        schema(database)
        yield project, database, crash
        servers.close()


def test_a_crash_of_the_server_takes_back_no_more_than_its_own_progress(crashing):
    """Batches do not wait for the disk: what is lost of them is lost together with how far they came."""
    shop, database, crash = crashing
    slow_down(database)
    fill(shop, SMALL_BATCHES + "\nworkers: 2")
    for _ in range(3):
        running = shop.start("migrate", "up")
        wait_until(lambda: database.value(WORKERS), "it fills")
        crash()
        _, err = running.communicate(timeout=120)
        assert running.returncode == 5, err
        filled = database.value("SELECT count(*) FROM r_totals")
        assert filled == database.value("SELECT coalesce(sum(written_rows), 0) FROM confiture.backfill_ranges")
        database.execute("UPDATE w_orders SET amount = amount + 1 WHERE customer_id % 100 = 0")
    speed_up(database)
    migrate_up(shop).expect(0)
    assert database.value(DIFFERENT) == 0


def test_a_writer_that_never_ends_is_told_of_and_what_it_wrote_is_not_lost(made_18, database_18):
    """Nobody is kept out for longer than `max_blocking` while the last drain waits for it."""
    settings = "migrations: migrations\nschemas: schemas\ndatabase: {max_blocking: 200ms, retries: 2}\n"
    made_18.write("confiture.yaml", settings)
    fill(made_18, SMALL_BATCHES)
    slow_down(database_18)
    writer = psycopg.connect(database_18.url)

    def write() -> None:
        writer.execute("DELETE FROM w_orders WHERE customer_id < 100")
        speed_up(database_18)

    ran = migrate_up(made_18, once(write))
    assert (ran.code, ran.codes) == (5, ["not-drained"])
    assert "draining" in made_18.run("backfill", "status").out
    writer.commit()
    writer.close()
    migrate_up(made_18).expect(0)
    assert database_18.value(DIFFERENT) == 0


def test_a_flood_of_notes_is_drained_piece_by_piece(made_18, database_18):
    """Every row is written ten times over while the batches run, with a trigger of the user's in the way."""
    fill(made_18, SMALL_BATCHES)
    slow_down(database_18)
    flood = "".join("UPDATE w_orders SET amount = amount + 1;" for _ in range(10))
    ran = migrate_up(made_18, meanwhile(database_18, flood)).expect(0)
    assert database_18.value(DIFFERENT) == 0
    note = next(event.note for event in ran.events if isinstance(event, StepFinished))
    assert note and "60,000 concurrent writes applied" in note


def test_giving_up_does_not_queue_in_front_of_others(made_18, database_18):
    """The triggers' tables are in use: it tries again and again, and others pass between."""
    fill(made_18, "batch_rows: 512", SQL.replace("count(o.id)", "100 / (c.id - 2000)"))
    migrate_up(made_18).expect(5)
    reader = psycopg.connect(database_18.url)
    reader.execute("SELECT FROM w_orders LIMIT 1")
    running = made_18.start("backfill", "cancel")
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'DROP TRIGGER%'"
    wait_until(lambda: database_18.value(waits), "it waits for the lock")
    assert database_18.value("SELECT count(*) FROM w_orders") == 2 * CUSTOMERS
    reader.close()
    _, err = running.communicate(timeout=120)
    assert running.returncode == 0, err
    assert database_18.rows(OURS) == []
