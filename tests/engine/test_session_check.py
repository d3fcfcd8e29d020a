"""What code changes in a session that the plan does not show is refused before its segment commits, dry and for real.

Each case ended with exit 0 and a wrong result if the next segment began without the change.
"""

from __future__ import annotations

import pytest

from tests.support.engine import dry_run, history, migrate_down, migrate_up
from tests.support.projects import Project
from tests.support.servers import Database

_TABLES = """
CREATE SCHEMA app; CREATE TABLE app.orders (id int PRIMARY KEY); CREATE TABLE public.orders (id int PRIMARY KEY);
CREATE TABLE stage AS SELECT 99 AS x; CREATE TABLE z (x int); CREATE TABLE log (x text);
"""
_BODY = "RETURNS void LANGUAGE plpgsql AS $f$ BEGIN {} END $f$"
_TRIGGER = (
    "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN SET search_path = app; RETURN NEW; END $f$;"
    "CREATE TRIGGER t BEFORE INSERT ON log FOR EACH ROW EXECUTE FUNCTION f()"
)
_PATH = "perform set_config('search_path', 'app', false);"
# setup, statement, part of the message
_HIDDEN = {
    "two set_config": (
        "",
        "DO $$ BEGIN PERFORM set_config('search_path','app',false), set_config('lock_timeout','5s',true); END $$",
        "search_path",
    ),
    "expression as last argument": (
        "",
        "DO $$ BEGIN PERFORM set_config('search_path', 'app', 2 > 1 AND false), current_setting('x', true); END $$",
        "search_path",
    ),
    "string with dashes": ("", "DO $$ BEGIN RAISE NOTICE '-- x'; SET search_path = app; END $$", "search_path"),
    "strings like a comment": (
        "",
        "DO $$ BEGIN PERFORM '/*'; SET search_path = app; PERFORM '*/'; END $$",
        "search_path",
    ),
    "EXECUTE of a variable": (
        "",
        "DO $$ DECLARE q text; BEGIN q := 'SET search_path = app'; EXECUTE q; END $$",
        "search_path",
    ),
    "EXECUTE of two strings": ("", "DO $$ BEGIN EXECUTE 'SE' || 'T search_path = app'; END $$", "search_path"),
    "UPDATE pg_settings": ("", "UPDATE pg_settings SET setting = 'app' WHERE name = 'search_path'", "search_path"),
    "view": ("CREATE VIEW v AS SELECT set_config('search_path', 'app', false)", "SELECT * FROM v", "search_path"),
    "escaped name": ("", """SELECT U&"set\\005fconfig"('search_path', 'app', false)""", "search_path"),
    "function": (f"CREATE FUNCTION f() {_BODY.format(_PATH)}", "SELECT f()", "search_path"),
    "procedure": ("CREATE PROCEDURE p() LANGUAGE plpgsql AS 'BEGIN SET search_path = app; END'", "CALL p()", "path"),
    "trigger": (_TRIGGER, "INSERT INTO log VALUES ('x')", "search_path"),
    "custom setting in a function": (
        f"CREATE FUNCTION f() {_BODY.format('SET my.tenant = 7;')}",
        "SELECT f()",
        "my.tenant",
    ),
    "role": ("", "DO $$ BEGIN PERFORM 1; EXECUTE 'SE' || 'T ROLE pg_monitor'; END $$", "the role"),
    "EXECUTE of RESET": ("", "SET search_path = app; DO $$ BEGIN EXECUTE 'RE' || 'SET search_path'; END $$", "path"),
    "temporary table of a block": ("", "DO $$ BEGIN CREATE TEMP TABLE stage AS SELECT 5 AS x; END $$", "table stage"),
    "temporary table of a function": (
        f"CREATE FUNCTION f() {_BODY.format('CREATE TEMP TABLE stage AS SELECT 5 AS x;')}",
        "SELECT f()",
        "table stage",
    ),
    "temporary table by the path": (
        "",
        "SET search_path = pg_temp, public; CREATE TABLE stage AS SELECT 5 AS x",
        "table stage",
    ),
    "temporary view of a table": (
        "",
        "CREATE TEMP TABLE t AS SELECT 5 AS x; CREATE VIEW v AS SELECT * FROM t; DO $$ BEGIN END $$",
        "also: the temporary view v",
    ),
    "temporary sequence": ("", "DO $$ BEGIN CREATE TEMP SEQUENCE stage; END $$", "sequence stage"),
    "temporary function": (
        "",
        "DO $$ BEGIN CREATE FUNCTION pg_temp.g() RETURNS int LANGUAGE sql AS 'SELECT 1'; END $$",
        "function g",
    ),
    "temporary type": ("", "DO $$ BEGIN CREATE TYPE pg_temp.ty AS ENUM ('a'); END $$", "type ty"),
    "prepared in a block": ("", "DO $$ BEGIN EXECUTE 'PREPARE p AS SELECT 1'; END $$", "statement p"),
    "advisory lock of a function": (
        "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'SELECT pg_advisory_lock(77)'",
        "SELECT f()",
        "advisory lock",
    ),
    "shared lock by two keys": (
        "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'SELECT pg_advisory_lock_shared(-7, 8)'",
        "SELECT f()",
        "advisory lock",
    ),
    "ALTER DATABASE in a block": (
        "",
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = app', current_database()); END $$",
        "ALTER DATABASE ... SET search_path",
    ),
    "ALTER ROLE": ("", "ALTER ROLE postgres IN DATABASE {name} SET search_path = app", "ALTER ROLE"),
    "a role that is renamed": (
        "",
        "CREATE ROLE {name}_a; SET ROLE {name}_a; RESET ROLE; SET ROLE {name}_a; "
        "DO $$ BEGIN EXECUTE 'RE' || 'SET ROLE'; EXECUTE 'ALTER ROLE {name}_a RENAME TO {name}_b';"
        " EXECUTE 'SE' || 'T ROLE {name}_b'; END $$",
        "cannot make a setting of this one again",
    ),
}


@pytest.mark.parametrize("case", _HIDDEN)
def test_a_hidden_change_is_refused_before_it_commits(shop_18: Project, database_18: Database, case: str) -> None:
    setup, statement, message = _HIDDEN[case]
    database_18.execute(f"{_TABLES}; {setup}")
    text = statement.replace("{name}", database_18.name)
    shop_18.migration(
        "001_a",
        f"ddl:\n  - sql: |\n      CREATE TABLE made ();\n      {text};\n  - sql: VACUUM public.z\n  - sql: SELECT 1\n",
    )
    for ran in (dry_run(shop_18), migrate_up(shop_18)):
        assert ran.expect(4).diagnostic.code == "lost-session-state"
        assert message in f"{ran.diagnostic.message} {ran.diagnostic.detail}"
        assert ran.diagnostic.span is not None and ran.diagnostic.hint
    assert database_18.value("SELECT to_regclass('made')") is None
    assert history(database_18) == []
    shop_18.migration(
        "001_a", f"ddl:\n  - sql: VACUUM public.z\n  - sql: |\n      CREATE TABLE made ();\n      {text};\n"
    )
    dry_run(shop_18).expect(0)
    database_18.execute(f"ALTER ROLE postgres IN DATABASE {database_18.name} RESET ALL")


_HOOK = """
from confiture.core import Hook, register_hook
from confiture.models import Migration

class Change(Hook):
    def execute(self, conn, context):
        conn.execute({statement!r})

register_hook("change", Change)

class Changes(Migration):
    def up(self):
        self.hook("change")
        self.execute("VACUUM public.z")
        self.execute("SELECT 1")
"""


@pytest.mark.parametrize(
    "statement", ["SET search_path = app", "SET ROLE pg_monitor", "CREATE TEMP TABLE stage (x int)", "SET my.x = 7"]
)
def test_a_hook_that_changes_the_session_is_refused(shop_18: Project, database_18: Database, statement: str) -> None:
    database_18.execute(_TABLES)
    shop_18.write("migrations/001_a.py", _HOOK.format(statement=statement))
    for ran in (dry_run(shop_18), migrate_up(shop_18)):
        assert ran.expect(4).diagnostic.code == "lost-session-state"
    assert history(database_18) == []


def test_down_is_checked_too(shop_18: Project, database_18: Database) -> None:
    database_18.execute(_TABLES)
    hidden = "DO $$ BEGIN EXECUTE 'SE' || 'T search_path = app'; END $$"
    shop_18.migration(
        "001_a", f"ddl: [sql: SELECT 1]\ndown:\n  - sql: {hidden}\n  - sql: VACUUM public.z\n  - sql: SELECT 1\n"
    )
    migrate_up(shop_18).expect(0)
    assert migrate_down(shop_18).expect(4).diagnostic.code == "lost-session-state"


# setup, statement
_ALLOWED = {
    "set_config local in a function": (
        f"CREATE FUNCTION f() {_BODY.format(_PATH.replace('false', 'true'))}",
        "SELECT f()",
    ),
    "SET LOCAL in a procedure": (
        "CREATE PROCEDURE p() LANGUAGE plpgsql AS 'BEGIN SET LOCAL my.x = 1; END'",
        "CALL p()",
    ),
    "SET LOCAL ROLE in a block": ("", "DO $$ BEGIN SET LOCAL ROLE pg_monitor; END $$; RESET ROLE"),
    "SET LOCAL": ("", "SET search_path = app; SET LOCAL search_path = public; SET LOCAL statement_timeout = '9s'"),
    "local to a function": (
        "CREATE FUNCTION f() RETURNS void LANGUAGE sql SET search_path = app AS 'SELECT 1'",
        "SELECT f()",
    ),
    "undone": ("", "DO $$ BEGIN EXECUTE 'SE' || 'T search_path = app'; END $$; RESET search_path"),
    "dropped by a block": (
        "",
        "CREATE TEMP TABLE t (); PREPARE p AS SELECT 1; DO $$ BEGIN DISCARD TEMP; END $$; DEALLOCATE p",
    ),
    "lock of the transaction": ("", "SELECT pg_advisory_xact_lock(5); SELECT pg_advisory_xact_lock_shared(6, 7)"),
    "lock that is released": ("", "DO $$ BEGIN PERFORM pg_advisory_lock(5), pg_advisory_unlock(5); END $$"),
    "isolation level": ("", "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT 1"),
    "settings of another role": (
        "",
        "CREATE ROLE {name}_r; ALTER ROLE {name}_r SET search_path = app; DROP ROLE {name}_r",
    ),
    "DISCARD ALL": ("", "SET search_path = app; DISCARD ALL"),
    "a role that may not repeat a setting": (
        "",
        "SET session_replication_role = replica; SET ROLE pg_monitor;\n      VACUUM pg_class;\n      RESET ROLE",
    ),
    "encoding": ("", "SET client_encoding = 'LATIN1'"),
    "cursor of the transaction": ("", "DECLARE c CURSOR FOR SELECT 1; FETCH c"),
    "timeouts": ("", "SET statement_timeout = '50s'; SET lock_timeout = '40s'"),
}


@pytest.mark.parametrize("case", _ALLOWED)
def test_what_does_not_outlast_the_segment_is_allowed(shop_18: Project, database_18: Database, case: str) -> None:
    setup, statement = _ALLOWED[case]
    database_18.execute(f"{_TABLES}; {setup}")
    statement = statement.replace("{name}", database_18.name)
    shop_18.migration("001_a", f"ddl:\n  - sql: |\n      {statement};\n  - sql: VACUUM public.z\n  - sql: SELECT 1\n")
    dry_run(shop_18).expect(0)
    migrate_up(shop_18).expect(0)


def test_a_setting_below_a_local_one_shows_after_the_commit(shop_18: Project, database_18: Database) -> None:
    database_18.execute(_TABLES)
    hidden = "DO $$ BEGIN EXECUTE 'SE' || 'T search_path = app'; END $$"
    shop_18.migration(
        "001_a",
        f"ddl:\n  - sql: {hidden}\n  - sql: SET LOCAL search_path = public\n"
        "  - sql: VACUUM public.z\n  - sql: SELECT 1\n",
    )
    ran = migrate_up(shop_18).expect(5)
    assert ran.diagnostic.code == "lost-session-state"
    assert "this segment is committed" in str(ran.diagnostic.hint)


@pytest.mark.parametrize(
    "setting",
    ["extra_float_digits = -8", "default_transaction_isolation = serializable", "default_transaction_read_only = on"],
)
def test_settings_that_a_backfill_cannot_have_are_refused(
    shop_18: Project, database_18: Database, setting: str
) -> None:
    database_18.execute("CREATE TABLE w (id int PRIMARY KEY); CREATE TABLE r (id int)")
    insert = "INSERT INTO r (id) SELECT id FROM w WHERE {{ batch }}"
    fill = f"  - backfill:\n      into: r\n      from: w\n      sql: {insert}\n"
    shop_18.migration("001_a", f"ddl:\n  - sql: SET {setting}\n{fill}")
    assert "a backfill does not run with" in shop_18.run("migrate", "validate", expect=2).err
    shop_18.migration("001_a", f"ddl:\n  - sql: SET {setting}; RESET {setting.split()[0]}\n{fill}")
    migrate_up(shop_18).expect(0)


def test_a_login_trigger_sets_what_every_session_has(shop_18: Project, database_18: Database) -> None:
    database_18.execute(
        "CREATE SCHEMA app; CREATE TABLE app.w (id int PRIMARY KEY); CREATE TABLE app.r (id int, path text);"
        "INSERT INTO app.w SELECT generate_series(1, 20);"
        "CREATE FUNCTION f() RETURNS event_trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM set_config('search_path', 'app', false); END $$;"
        "CREATE EVENT TRIGGER t ON login EXECUTE FUNCTION f(); ALTER EVENT TRIGGER t ENABLE ALWAYS"
    )
    shop_18.migration(
        "001_a",
        "ddl:\n  - sql: ALTER TABLE w ADD c int\n  - backfill:\n      into: r\n      from: w\n"
        "      sql: INSERT INTO r (id, path) SELECT id, current_setting('search_path') FROM w WHERE {{ batch }}\n"
        "  - sql: INSERT INTO r SELECT 0, current_setting('search_path')\n",
    )
    try:
        dry_run(shop_18).expect(0)
        migrate_up(shop_18).expect(0)
        assert database_18.rows("SELECT path, count(*) FROM app.r GROUP BY path") == [("app", 21)]
    finally:
        database_18.execute("DROP EVENT TRIGGER t")


def test_a_later_migration_begins_with_new_settings_of_the_database(shop: Project, database: Database) -> None:
    database.execute(_TABLES)
    alter = f"ALTER DATABASE {database.name} SET search_path = app, public"
    shop.migration("001_a", f"ddl: [sql: '{alter}']")
    shop.migration("002_b", "ddl: [sql: ALTER TABLE orders ADD c int, sql: VACUUM orders, sql: SELECT 1]")
    dry_run(shop).expect(0)
    migrate_up(shop).expect(0)
    assert database.value("SELECT attrelid::regclass::text FROM pg_attribute WHERE attname = 'c'") == "orders"
    database.execute(f"ALTER DATABASE {database.name} RESET search_path")


def test_a_timeout_that_a_migration_sets_outlasts_a_step_with_another(shop_18: Project, database_18: Database) -> None:
    look = "INSERT INTO seen SELECT current_setting('statement_timeout'), current_setting('lock_timeout')"
    shop_18.migration(
        "001_a",
        f"""
        ddl:
          - sql: CREATE TABLE seen (a text, b text); SET statement_timeout = '44s'; SET lock_timeout = '45s'
          - {{sql: &look "{look}", timeout: 7s, lock_timeout: 3s}}
          - sql: *look
          - {{sql: SET statement_timeout = '33s', timeout: 7s}}
          - sql: *look
          - sql: VACUUM seen
          - sql: *look
        """,
    )
    dry_run(shop_18).expect(0)
    migrate_up(shop_18).expect(0)
    assert database_18.rows("SELECT * FROM seen") == [("7s", "3s"), ("44s", "45s"), ("33s", "45s"), ("33s", "45s")]


def test_a_timeout_at_the_end_does_not_end_the_record(shop_18: Project, database_18: Database) -> None:
    shop_18.migration("001_a", "ddl:\n  - sql: CREATE TABLE a ()\n  - sql: SET statement_timeout = '1ms'\n")
    migrate_up(shop_18).expect(0)
    assert history(database_18) == [("001", "applied")]


_CHECKS = {
    "search_path": ("SET search_path = app", "SELECT count(*) FROM orders", "0"),
    "SET LOCAL": ("SET LOCAL search_path = app", "SELECT count(*) FROM orders", "0"),
    "after a cut": ("SET search_path = app; VACUUM app.orders", "SELECT count(*) FROM orders", "0"),
    "role": ("SET ROLE pg_monitor", "SELECT current_user::text", "pg_monitor"),
}


@pytest.mark.parametrize("case", _CHECKS)
def test_verify_repeats_the_settings_of_each_step(shop_18: Project, database_18: Database, case: str) -> None:
    database_18.execute(f"{_TABLES}; INSERT INTO public.orders VALUES (1)")
    setting, check, expected = _CHECKS[case]
    shop_18.migration(
        "001_a", f"ddl: [sql: {setting}]\nafter_validation:\n  - check: {check}\n    expect: {expected}\n"
    )
    migrate_up(shop_18).expect(0)
    shop_18.run("verify", expect=0)
    database_18.execute("INSERT INTO app.orders VALUES (1)")
    shop_18.run("verify", expect=0 if case == "role" else 1)


@pytest.mark.parametrize(
    "setting", ["CREATE TEMP TABLE stage AS SELECT 5 AS x", "DO $$ BEGIN SET search_path = app; END $$"]
)
def test_verify_does_not_judge_with_other_settings(shop_18: Project, database_18: Database, setting: str) -> None:
    database_18.execute(_TABLES)
    shop_18.migration(
        "001_a", f"ddl:\n  - sql: {setting}\nafter_validation:\n  - check: SELECT count(*) FROM stage\n    expect: 1\n"
    )
    if "search_path" in setting:
        database_18.execute("CREATE TABLE app.stage AS SELECT 1")
    migrate_up(shop_18).expect(0)
    assert "1 cannot run" in shop_18.run("verify", "--strict", expect=1).out


_RESETS = ["RESET row_security", "DO $$ BEGIN RESET ALL; END $$", "RESET ALL", "SET row_security TO DEFAULT"]


@pytest.mark.parametrize("reset", _RESETS)
def test_a_reset_does_not_let_policies_hide_rows(shop: Project, database: Database, reset: str) -> None:
    role = f"{database.name}_rows"
    database.execute(
        f"CREATE ROLE {role}; CREATE TABLE t (x int); INSERT INTO t VALUES (1), (2);"
        f"ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t USING (x = 1);"
        f"GRANT ALL ON t TO {role}; GRANT CREATE ON SCHEMA public TO {role}"
    )
    try:
        shop.migration(
            "001_a", f"ddl:\n  - sql: SET ROLE {role}\n  - sql: {reset}\n  - sql: CREATE TABLE n AS SELECT * FROM t\n"
        )
        for ran in (dry_run(shop), migrate_up(shop)):
            assert "row-level security" in ran.expect(4).diagnostic.message
        shop.migration(
            "001_a",
            f"ddl:\n  - sql: SET ROLE {role}; SET row_security = on\n  - sql: CREATE TABLE n AS SELECT * FROM t\n",
        )
        migrate_up(shop).expect(0)
        assert database.value("SELECT count(*) FROM n") == 1
    finally:
        database.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


_REJECTED = {
    "two indexes": "DROP INDEX CONCURRENTLY i, j",
    "CASCADE": "DROP INDEX CONCURRENTLY i CASCADE",
    "catalog": "REINDEX TABLE CONCURRENTLY pg_class",
    "exclusion constraint": "REINDEX INDEX CONCURRENTLY ex",
    "VACUUM of nothing": "VACUUM nope",
}


@pytest.mark.parametrize("case", _REJECTED)
def test_the_dry_run_rejects_what_only_the_real_form_rejects(shop: Project, database: Database, case: str) -> None:
    database.execute(
        "CREATE TABLE p (a int, b int4range, CONSTRAINT ex EXCLUDE USING gist (b WITH &&));"
        "CREATE INDEX i ON p (a); CREATE INDEX j ON p (b)"
    )
    shop.migration("001_a", f"ddl:\n  - sql: {_REJECTED[case]}\n")
    dry, real = dry_run(shop).expect(4), migrate_up(shop).expect(4)
    assert dry.diagnostic.code == real.diagnostic.code
    assert dry.diagnostic.message.replace('"', "") == real.diagnostic.message.replace('"', "")


def test_the_name_of_the_dry_runs_own_statement_is_free(shop_18: Project, database_18: Database) -> None:
    shop_18.migration("001_a", "ddl:\n  - sql: PREPARE confiture_touched AS SELECT 1; CREATE TABLE a ()\n")
    dry_run(shop_18).expect(0)


def test_a_role_with_too_few_connections_is_refused_before_anything_runs(shop: Project, database: Database) -> None:
    role = f"{database.name}_few"
    database.execute(
        f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 3; GRANT ALL ON SCHEMA public TO {role};"
        f"GRANT CREATE ON DATABASE {database.name} TO {role}; SET ROLE {role};"
        "CREATE TABLE w (id int PRIMARY KEY); CREATE TABLE r (id int)"
    )
    insert = "INSERT INTO r (id) SELECT id FROM w WHERE {{ batch }}"
    shop.migration("001_a", f"ddl:\n  - backfill:\n      into: r\n      from: w\n      sql: {insert}\n")
    shop.environ["DATABASE_URL"] += f"&user={role}"
    try:
        for ran in (dry_run(shop), migrate_up(shop)):
            assert (ran.expect(4).diagnostic.code, ran.steps) == ("too-few-connections", [])
        database.execute(f"ALTER ROLE {role} CONNECTION LIMIT 5")
        dry_run(shop).expect(0)
        migrate_up(shop).expect(0)
    finally:
        database.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")
