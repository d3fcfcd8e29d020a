"""Session state between segments: settings are made again, lost objects are refused before anything runs."""

from __future__ import annotations

import pytest

from tests.support.engine import dry_run, migrate_up
from tests.support.projects import Project
from tests.support.servers import Database

_TABLES = (
    "CREATE SCHEMA app; CREATE TABLE app.t (id int PRIMARY KEY, c int);"
    "CREATE TABLE public.t (id int PRIMARY KEY, c int);"
    "INSERT INTO app.t VALUES (1, 1); INSERT INTO public.t VALUES (1, 1)"
)
_CUTS = {
    "index": "CREATE INDEX CONCURRENTLY i ON app.t (c)",
    "vacuum": "VACUUM app.t",
    "two cuts": "CREATE INDEX CONCURRENTLY i ON app.t (c); VACUUM app.t",
}
_SETTINGS = {
    "search_path": ("SET search_path = app", "search_path", "app"),
    "session": ("SET SESSION search_path TO app, public", "search_path", "app, public"),
    "set_config": ("SELECT set_config('search_path', 'app', false)", "search_path", "app"),
    "set_config of pg_dump": ("SELECT pg_catalog.set_config('search_path', '', false)", "search_path", ""),
    "replication role": ("SET session_replication_role = replica", "session_replication_role", "replica"),
    "memory": ("SET maintenance_work_mem = '37MB'", "maintenance_work_mem", "37MB"),
    "time zone": ("SET TIME ZONE 'Asia/Tokyo'", "timezone", "Asia/Tokyo"),
    "custom": ("SET my.tenant = '7'", "my.tenant", "7"),
    "characteristics": (
        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        "default_transaction_isolation",
        "repeatable read",
    ),
    "the last of two": ("SET search_path = x; SET search_path = app", "search_path", "app"),
    "reset": ("SET work_mem = '37MB'; RESET work_mem", "work_mem", "4MB"),
    "to default": ("SET work_mem = '37MB'; SET work_mem TO DEFAULT", "work_mem", "4MB"),
    "reset all": ("SET work_mem = '37MB'; RESET ALL", "work_mem", "4MB"),
    "local": ("SET LOCAL work_mem = '37MB'", "work_mem", "4MB"),
    "local set_config": ("SELECT set_config('work_mem', '37MB', true)", "work_mem", "4MB"),
    "a failed lock's timeout": ("SET statement_timeout = '77s'", "statement_timeout", "77s"),
}


@pytest.mark.parametrize("cut", _CUTS)
@pytest.mark.parametrize("setting", _SETTINGS)
def test_settings_hold_until_the_migration_ends(
    shop_18: Project, database_18: Database, setting: str, cut: str
) -> None:
    database_18.execute(_TABLES)
    statement, name, value = _SETTINGS[setting]
    shop_18.migration(
        "001_a",
        f"""
        ddl:
          - sql: |
              {statement};
              {_CUTS[cut]};
          - name: still set
            check: SELECT current_setting('{name}')
            expect: "{value}"
        """,
    )
    dry_run(shop_18).expect(0)
    migrate_up(shop_18).expect(0)
    shop_18.migration(
        "002_b", f"ddl:\n  - check: SELECT current_setting('{name}', true) = '{value}'\n    expect: true\n"
    )
    if value not in ("4MB", ""):
        dry_run(shop_18).expect(1)


def test_statements_outside_a_transaction_see_the_settings(shop: Project, database: Database) -> None:
    database.execute(_TABLES)
    shop.migration(
        "001_a",
        "ddl:\n  - sql: |\n      SET search_path = app;\n      ALTER TABLE t ADD COLUMN d int;\n"
        "      CREATE INDEX CONCURRENTLY t_c ON t (c);\n      ALTER TABLE t ADD COLUMN e int;\n",
    )
    assert "set again: SET search_path = app" in shop.run("migrate", "show", "001").out
    dry_run(shop).expect(0)
    migrate_up(shop).expect(0)
    columns = (
        "SELECT string_agg(attname, ',' ORDER BY attnum) FROM pg_attribute"
        " WHERE attnum > 0 AND attrelid = '{}'::regclass"
    )
    assert database.value(columns.format("app.t")) == "id,c,d,e"
    assert database.value(columns.format("public.t")) == "id,c"
    assert (
        database.value("SELECT indrelid::regclass::text FROM pg_index WHERE indexrelid = 'app.t_c'::regclass")
        == "app.t"
    )


def test_a_role_holds_and_the_history_is_written_by_the_own_role(shop: Project, database: Database) -> None:
    owner = f"{database.name}_owner"
    database.execute(f"CREATE ROLE {owner}; GRANT CREATE ON SCHEMA public TO {owner}")
    try:
        shop.migration(
            "001_a",
            f"ddl:\n  - sql: |\n      SET ROLE {owner};\n      CREATE TABLE a (id int);\n"
            "      CREATE INDEX CONCURRENTLY i ON a (id);\n      CREATE TABLE b (id int);\n      VACUUM a;\n"
            "      RESET ROLE;\n      CREATE TABLE c (id int);\n",
        )
        dry_run(shop).expect(0)
        migrate_up(shop).expect(0)
        owners = database.rows(
            "SELECT tablename::text, tableowner::text FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
        )
        assert owners == [("a", owner), ("b", owner), ("c", "postgres")]
    finally:
        database.execute(f"DROP OWNED BY {owner}; DROP ROLE {owner}")


def test_a_resumed_migration_has_the_settings(shop: Project, database: Database) -> None:
    database.execute(_TABLES)
    head = "ddl:\n  - sql: SET search_path = app\n  - sql: CREATE INDEX CONCURRENTLY t_c ON t (c)\n"
    shop.migration("001_a", f"{head}  - sql: SELECT 1 / 0\n")
    migrate_up(shop).expect(5)
    shop.migration("001_a", f"{head}  - sql: ALTER TABLE t ADD COLUMN e int\n")
    dry_run(shop).expect(0)
    migrate_up(shop).expect(0)
    assert database.value("SELECT attrelid::regclass::text FROM pg_attribute WHERE attname = 'e'") == "app.t"


def test_a_backfill_has_the_settings(shop: Project, database: Database) -> None:
    database.execute(
        _TABLES + "; CREATE TABLE app.r (id int PRIMARY KEY, c text);"
        "INSERT INTO app.t SELECT g, g FROM generate_series(2, 500) g"
    )
    shop.migration(
        "001_a",
        "ddl:\n  - sql: SET search_path = app\n  - sql: SET my.tenant = '7'\n"
        "  - backfill:\n      into: r\n      from: t\n"
        "      workers: 2\n      batch_rows: 50\n"
        "      sql: INSERT INTO r (id, c) SELECT id, current_setting('my.tenant') FROM t WHERE {{ batch }}\n",
    )
    dry_run(shop).expect(0)
    migrate_up(shop).expect(0)
    assert database.rows("SELECT c, count(*) FROM app.r GROUP BY c") == [("7", 500)]


@pytest.mark.parametrize("statement", ["SET ROLE postgres", "SET SESSION AUTHORIZATION postgres"])
def test_a_backfill_under_another_role_is_refused(shop_18: Project, database_18: Database, statement: str) -> None:
    database_18.execute("CREATE TABLE w (id int PRIMARY KEY); CREATE TABLE r (id int)")
    fill = "  - backfill:\n      into: r\n      from: w\n      sql: INSERT INTO r SELECT id FROM w WHERE {{ batch }}\n"
    shop_18.migration("001_a", f"ddl:\n  - sql: {statement}\n{fill}")
    assert "a backfill runs as the role that connects" in shop_18.run("migrate", "up", expect=2).err
    for reset in ("RESET ROLE; RESET SESSION AUTHORIZATION", "SET ROLE NONE; SET SESSION AUTHORIZATION DEFAULT"):
        shop_18.migration("001_a", f"ddl:\n  - sql: {statement}; {reset}\n{fill}")
        shop_18.run("migrate", "validate")


_LOST = {
    "temporary table": ("CREATE TEMP TABLE x (id int)", "INSERT INTO x VALUES (1)"),
    "in pg_temp": ("CREATE TABLE pg_temp.x (id int)", "SELECT * FROM pg_temp.x"),
    "dropped on commit": ("CREATE TEMPORARY TABLE x (id int) ON COMMIT DROP", "SELECT * FROM x"),
    "temporary view": ("CREATE TEMP VIEW x AS SELECT 1 AS id", "SELECT * FROM (SELECT * FROM x) AS y"),
    "temporary sequence": ("CREATE TEMP SEQUENCE x", "SELECT * FROM x"),
    "CREATE TABLE AS": ("CREATE TEMP TABLE x AS SELECT 1 AS id", "DELETE FROM x"),
    "SELECT INTO": ("SELECT 1 AS id INTO TEMP x", "UPDATE x SET id = 2"),
    "prepared statement": ("PREPARE x AS SELECT 1", "EXECUTE x"),
    "cursor": ("DECLARE x CURSOR WITH HOLD FOR SELECT 1", "FETCH ALL FROM x"),
    "channel": ("LISTEN x", "NOTIFY x"),
    "temporary function": ("CREATE FUNCTION pg_temp.x() RETURNS int LANGUAGE sql AS 'SELECT 1'", "SELECT pg_temp.x()"),
    "temporary type": ("CREATE TYPE pg_temp.x AS (a int)", "SELECT '(1)'::pg_temp.x"),
    "if it exists": ("CREATE TEMP TABLE x (id int)", "DROP TABLE IF EXISTS x"),
    "renamed": ("CREATE TEMP TABLE y (id int); ALTER TABLE y RENAME TO x", "INSERT INTO x VALUES (1)"),
    "advisory lock": ("SELECT pg_advisory_lock(1)", "SELECT 1"),
}
_ENDED = {
    "temporary table": "DROP TABLE x",
    "in pg_temp": "DROP TABLE pg_temp.x",
    "temporary view": "DROP VIEW x",
    "temporary sequence": "DROP SEQUENCE IF EXISTS x",
    "CREATE TABLE AS": "DISCARD TEMP",
    "prepared statement": "DEALLOCATE x",
    "cursor": "CLOSE ALL",
    "channel": "UNLISTEN *",
    "temporary function": "DROP FUNCTION pg_temp.x()",
    "temporary type": "DROP TYPE pg_temp.x",
    "renamed": "DROP TABLE x",
    "advisory lock": "SELECT pg_advisory_unlock(1)",
    "SELECT INTO": "DO $$ BEGIN DROP TABLE x; END $$",
}


@pytest.mark.parametrize("case", _LOST)
def test_state_that_is_lost_is_refused_before_anything_runs(shop_18: Project, database_18: Database, case: str) -> None:
    database_18.execute("CREATE TABLE t (id int)")
    make, use = _LOST[case]
    shop_18.migration("001_a", f"ddl:\n  - sql: {make}\n  - sql: VACUUM t\n  - sql: {use}\n")
    errors = shop_18.run("migrate", "validate", expect=2).err
    assert "error[lost-session-state]" in errors
    assert "001_a.yaml:2:10" in errors
    assert "error[lost-session-state]" in shop_18.run("migrate", "up", expect=2).err
    assert database_18.value("SELECT to_regclass('confiture.migrations')") is None


@pytest.mark.parametrize("case", _ENDED)
def test_state_that_ends_within_its_segment_is_not(shop_18: Project, database_18: Database, case: str) -> None:
    database_18.execute("CREATE TABLE t (id int)")
    make, use = _LOST[case]
    shop_18.migration("001_a", f"ddl:\n  - sql: {make}\n  - sql: {use}\n  - sql: {_ENDED[case]}\n  - sql: VACUUM t\n")
    dry_run(shop_18).expect(0)
    migrate_up(shop_18).expect(0)


def test_state_of_the_last_segment_is_not(shop_18: Project, database_18: Database) -> None:
    database_18.execute("CREATE TABLE t (id int)")
    makes = "CREATE TEMP TABLE x (id int); PREPARE x AS SELECT 1; LISTEN x; SELECT pg_advisory_lock(1)"
    shop_18.migration("001_a", f"ddl:\n  - sql: VACUUM t\n  - sql: {makes}\n")
    migrate_up(shop_18).expect(0)


_UNREPEATABLE = {
    "a query with effects": "SELECT set_config('my.tenant', (SELECT max(c) FROM log)::text, false) FROM log",
    "a modifying query": (
        "WITH w AS (INSERT INTO log VALUES (1) RETURNING c) SELECT set_config('my.tenant', c::text, false) FROM w"
    ),
    "a function": "SELECT set_config('search_path', current_setting('my.path', true), false)",
    "SELECT INTO": "SELECT set_config('my.tenant', '7', false) AS value INTO saved",
    "a block": "DO $$ BEGIN PERFORM set_config('my.tenant', '7', false); END $$",
    "SET in a block": "DO $$ BEGIN SET my.tenant = '7'; END $$",
    "SET after a comment": "DO $$ BEGIN /* path */ SET my.tenant = '7'; END $$",
    "RESET in a block": "DO $$ BEGIN RESET my.tenant; END $$",
    "EXECUTE in a block": "DO $$ BEGIN EXECUTE 'SET my.tenant = 7'; END $$",
}


@pytest.mark.parametrize("statement", _UNREPEATABLE)
def test_a_setting_that_cannot_be_repeated_is_refused(shop_18: Project, database_18: Database, statement: str) -> None:
    database_18.execute("CREATE TABLE log (c int)")
    shop_18.migration("001_a", f"ddl:\n  - sql: {_UNREPEATABLE[statement]}\n  - sql: VACUUM log\n")
    assert "001_a.yaml:2:10" in shop_18.run("migrate", "validate", expect=2).err
    shop_18.migration("001_a", f"ddl:\n  - sql: VACUUM log\n  - sql: {_UNREPEATABLE[statement]}\n")
    shop_18.run("migrate", "validate")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE log SET c = 1",
        "SELECT set_config('my.tenant', c::text, true) FROM log",
        "DO $$ BEGIN UPDATE log SET c = 1; PERFORM set_config('my.tenant', '7', true); SET LOCAL my.x = 1; END $$",
        "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$ SELECT set_config('my.tenant', '7', false) $$",
        "SELECT 'set_config(1)'",
        "DO $$ BEGIN RAISE NOTICE 'set aside'; END $$",
    ],
)
def test_statements_that_make_no_setting_for_the_session_are_not_refused(
    shop_18: Project, database_18: Database, statement: str
) -> None:
    database_18.execute("CREATE TABLE log (c int)")
    shop_18.migration("001_a", f'ddl:\n  - sql: "{statement}"\n  - sql: VACUUM log\n')
    migrate_up(shop_18).expect(0)


_IN_ORDER = {
    "a role for a setting": "SET ROLE postgres; SET my.a = '1'; RESET ROLE",
    "set_config of a role": "SELECT set_config('role', 'postgres', false); SELECT set_config('role', 'none', false)",
    "all reset, then set": "SET my.a = '0'; RESET ALL; SET my.a = '1'",
    "two in one query": "SELECT set_config('my.a', '1', false), set_config('my.b', E'\\\\', false)",
    "modes of two statements": (
        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ;"
        " SET SESSION CHARACTERISTICS AS TRANSACTION DEFERRABLE"
    ),
}
_SESSION = (
    "SELECT concat_ws('|', current_user, session_user, nullif(current_setting('my.a', true), ''),"
    " nullif(current_setting('my.b', true), ''), current_setting('default_transaction_isolation'),"
    " current_setting('default_transaction_deferrable'), current_setting('row_security'),"
    " current_setting('client_min_messages'), current_setting('idle_session_timeout'))"
)


@pytest.mark.parametrize("case", _IN_ORDER)
def test_settings_are_repeated_in_order(shop_18: Project, database_18: Database, case: str) -> None:
    database_18.execute("CREATE TABLE log (c text)")
    save = f"INSERT INTO log {_SESSION}"
    shop_18.migration(
        "001_a", f"ddl:\n  - sql: |\n      {_IN_ORDER[case]};\n      {save};\n      VACUUM log;\n      {save};\n"
    )
    dry_run(shop_18).expect(0)
    migrate_up(shop_18).expect(0)
    assert len(database_18.rows("SELECT c, count(*) FROM log GROUP BY c")) == 1
    assert "|off|" in str(database_18.value("SELECT c FROM log LIMIT 1"))


def test_the_encoding_of_a_dump_is_not_repeated(shop_18: Project, database_18: Database) -> None:
    database_18.execute("CREATE TABLE log (c text)")
    shop_18.migration(
        "001_a",
        "ddl:\n  - sql: SET client_encoding = 'LATIN1'\n  - sql: VACUUM log\n"
        "  - sql: INSERT INTO log VALUES ('naïve')\n",
    )
    migrate_up(shop_18).expect(0)
    assert database_18.value("SELECT c FROM log") == "naïve"


def test_a_role_that_is_gone_is_not_repeated(shop_18: Project, database_18: Database) -> None:
    role = f"{database_18.name}_gone"
    database_18.execute("CREATE TABLE log (c text)")
    shop_18.migration(
        "001_a",
        f"ddl:\n  - sql: CREATE ROLE {role}; SET ROLE {role}; RESET ROLE; DROP ROLE {role}\n  - sql: VACUUM log\n",
    )
    migrate_up(shop_18).expect(0)


@pytest.mark.parametrize(
    "statement",
    [
        "COMMENT ON TABLE t IS 'pg_advisory_lock(1)'",
        "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $$ SELECT pg_advisory_lock(1) $$",
        "SELECT pg_advisory_xact_lock(1)",
    ],
)
def test_text_about_an_advisory_lock_is_no_lock(shop_18: Project, database_18: Database, statement: str) -> None:
    database_18.execute("CREATE TABLE t (id int)")
    shop_18.migration("001_a", f'ddl:\n  - sql: "{statement}"\n  - sql: VACUUM t\n')
    migrate_up(shop_18).expect(0)


def test_an_advisory_lock_can_be_acquired_again(shop_18: Project, database_18: Database) -> None:
    database_18.execute("CREATE TABLE t (id int)")
    lock = "  - sql: SELECT pg_advisory_lock(1)\n"
    add = "  - sql: ALTER TABLE t ADD COLUMN {} int\n"
    shop_18.migration("001_a", f"ddl:\n{lock}  - sql: VACUUM t\n")
    shop_18.run("migrate", "validate", expect=2)
    unlock = "  - sql: SELECT pg_advisory_unlock(1)\n"
    shop_18.migration("001_a", f"ddl:\n{lock}{add.format('a')}{unlock}  - sql: VACUUM t\n{lock}{add.format('b')}")
    migrate_up(shop_18).expect(0)
