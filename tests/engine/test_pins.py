"""Pins and databases: what runs, what may change, and what `pin` refuses."""

from __future__ import annotations

import subprocess
import zlib

import pytest

from tests.support.engine import migrate_down, migrate_up
from tests.support.projects import Project
from tests.support.servers import Database

pytestmark = pytest.mark.versions_alike

PIN = "migrations/001_a/a.sql"


def pin_errors(shop: Project, *arguments: str) -> list[str]:
    result = shop.run("migrate", "pin", *arguments, "--format", "json", expect=2).json
    return [one["code"] for one in result.get("problems") or result["diagnostics"]]


def test_a_project_with_a_history_can_be_pinned(shop: Project, database: Database) -> None:
    shop.ddl("a.sql", "CREATE TABLE a (x int);")
    shop.migration("001_a", "ddl: [a.sql]\ndown: [{sql: DROP TABLE a}]\n")
    shop.migration("002_b", "ddl: [{file: schemas/b.sql}]\n")
    shop.ddl("b.sql", "CREATE TABLE b (x int);")
    shop.run("migrate", "up", "--to", "001")
    assert shop.run("migrate", "pin").out == (
        f"{PIN}: pinned from schemas/a.sql\nmigrations/002_b/b.sql: pinned from schemas/b.sql\n"
    )
    assert shop.run("migrate", "up", "--to", "001").out.startswith("Nothing to do")
    shop.ddl("a.sql", "CREATE TABLE a (x int, y int);")
    shop.ddl("b.sql", "CREATE TABLE b (x int, y int);")
    migrate_up(shop).expect(0)
    assert database.rows("SELECT relname::text FROM pg_class WHERE relname IN ('a', 'b') AND relnatts = 1") == [
        ("a",),
        ("b",),
    ]
    shop.run("migrate", "status")


A_1, A_2 = "CREATE TABLE a (x int); -- one\n", "CREATE TABLE a (x int, y int);\n"


def one_migration(shop: Project, *, more: str = "") -> None:
    shop.ddl("a.sql", A_1)
    shop.migration("001_a", f"ddl: [a.sql]\ndown: [{{sql: DROP TABLE a}}]\n{more}")


def test_the_text_that_ran_is_restored(shop: Project) -> None:
    one_migration(shop)
    shop.ddl("b.sql", "CREATE TABLE b (x int);")
    shop.write("sql/down.sql", "DROP TABLE b;")
    shop.migration("002_b", "ddl: [b.sql]\nafter_ddl: [schemas/f/c.sql]\ndown: [sql/down.sql, sql: DROP TABLE c]\n")
    shop.ddl("f/c.sql", "CREATE TABLE c (x int);")
    migrate_up(shop).expect(0)
    shop.ddl("a.sql", A_2)
    shop.ddl("b.sql", "CREATE TABLE b (x int) -- the same\n")
    shop.write("sql/down.sql", "DROP TABLE b CASCADE;")
    (shop.root / "schemas/f/c.sql").unlink()
    assert shop.run("migrate", "pin").out == (
        "migrations/001_a/a.sql: pinned from the history\n"
        "migrations/002_b/b.sql: pinned from schemas/b.sql\n"
        "migrations/002_b/f/c.sql: pinned from the history\n"
        "migrations/002_b/_project/sql/down.sql: pinned from the history\n"
    )
    assert (shop.root / PIN).read_text() == A_1
    assert (shop.root / "migrations/002_b/_project/sql/down.sql").read_text() == "DROP TABLE b;"
    migrate_up(shop).expect(0)
    shop.run("migrate", "validate")
    migrate_down(shop, to="0").expect(0)
    migrate_up(shop).expect(0)


def test_missing_files_from_elsewhere_are_restored_to_their_pins(shop: Project) -> None:
    shop.write("sql/a.sql", "CREATE TABLE a (x int);")
    shop.write("b.sql", "CREATE TABLE b (x int);")
    shop.ddl("c.sql", "CREATE TABLE c (x int);")
    shop.migration("001_a", "ddl: [sql/a.sql, b.sql, schemas/c.sql]\n")
    migrate_up(shop).expect(0)
    for path in ("sql/a.sql", "b.sql", "schemas/c.sql"):
        (shop.root / path).unlink()
    assert [one["pin"] for one in shop.run("migrate", "pin", "--format", "json").json["written"]] == [
        "migrations/001_a/_project/sql/a.sql",
        "migrations/001_a/_project/b.sql",
        "migrations/001_a/c.sql",
    ]
    assert shop.run("migrate", "up").out.startswith("Nothing to do")


def test_a_missing_file_matters_only_to_what_still_runs(shop: Project) -> None:
    one_migration(shop)
    migrate_up(shop).expect(0)
    (shop.root / "schemas/a.sql").unlink()
    shop.migration("002_b", "ddl: [b.sql]\n")
    assert "missing-file" in shop.run("migrate", "up", expect=2).err
    assert "002_b.yaml:1:7" in shop.run("migrate", "up", expect=2).err, "only the one that would run"
    errors = shop.run("migrate", "validate", "--format", "json", expect=2).json["diagnostics"]
    assert [one["code"] for one in errors] == ["missing-file"] * 2
    assert "confiture migrate pin" in errors[1]["hint"]
    shop.run("migrate", "baseline", "002", "--force", expect=2)
    shop.ddl("b.sql", "CREATE TABLE b (x int);")
    shop.run("migrate", "up")


LOST = {
    "the text": ("DELETE FROM confiture.texts", "the stored text is missing or damaged"),
    "its end": (
        "UPDATE confiture.texts SET content = substr(content, 1, length(content) - 6)",
        "the stored text is missing or damaged",
    ),
    "its bytes": ("UPDATE confiture.texts SET content = 'x'", "the stored text is missing or damaged"),
    "another text": (
        f"UPDATE confiture.texts SET content = '\\x{zlib.compress(b'SELECT 1').hex()}'",
        "the stored text is missing or damaged",
    ),
    "an old row": ("UPDATE confiture.migrations SET texts = NULL", "a version of Confiture that did not store texts"),
}


@pytest.mark.parametrize(("statement", "reason"), LOST.values(), ids=LOST)
def test_a_lost_text_is_unknown(shop_18: Project, database_18: Database, statement: str, reason: str) -> None:
    one_migration(shop_18)
    migrate_up(shop_18).expect(0)
    database_18.execute(statement)
    shop_18.ddl("a.sql", A_2)
    result = shop_18.run("migrate", "pin", "--format", "json", expect=2).json
    (problem,) = result["problems"]
    assert (problem["code"], result["written"]) == ("unknown-text", [])
    assert reason in problem["detail"][0]
    assert not (shop_18.root / PIN).exists()
    shown = shop_18.run("migrate", "show", "001", "--applied").out
    assert reason in " ".join(shown.split())
    shop_18.ddl("a.sql", A_1)
    shop_18.run("migrate", "pin", "001")
    assert (shop_18.root / PIN).read_text() == A_1


def test_a_text_is_restored_from_git(shop_18: Project, database_18: Database) -> None:
    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        subprocess.run(["git", *identity, *arguments], cwd=shop_18.root, check=True, capture_output=True)

    one_migration(shop_18)
    git("init", "-q", "-b", "main")
    git("add", ".")
    git("commit", "-qm", "one")
    migrate_up(shop_18).expect(0)
    database_18.execute("UPDATE confiture.migrations SET texts = NULL")
    shop_18.ddl("a.sql", A_2)
    git("commit", "-qam", "two")
    hint = shop_18.run("migrate", "pin", "--format", "json", expect=2).json["problems"][0]["hint"]
    assert "confiture migrate pin 001 --from REV" in hint
    assert "ran another text" in shop_18.run("migrate", "pin", "001", "--from", "HEAD", expect=2).err
    assert "cannot find" in shop_18.run("migrate", "pin", "001", "--from", "nothing", expect=2).err
    for wrong in (("--from", "HEAD"), ("001", "--from=-x"), ("--replace", "001", "--from", "HEAD")):
        shop_18.run("migrate", "pin", *wrong, expect=2)
    assert not (shop_18.root / PIN).exists()
    (shop_18.root / "schemas/a.sql").unlink()
    assert "pinned from schemas/a.sql at HEAD~1" in shop_18.run("migrate", "pin", "001", "--from", "HEAD~1").out
    assert (shop_18.root / PIN).read_text() == A_1
    migrate_up(shop_18).expect(0)


def test_what_ran_is_shown(shop: Project, database: Database) -> None:
    one_migration(shop, more="vars: {api_key: hunter22, table: a}\n")
    yaml = (shop.root / "migrations/001_a.yaml").read_text()
    shop.ddl("b.sql.j2", "CREATE TABLE b (x text DEFAULT {{ api_key | literal }});")
    shop.migration("002_b", 'ddl: [b.sql.j2]\nvars: {api_key: "{{ env.KEY }}"}\n')
    shop.environ["KEY"] = "from-outside"
    shop.run("migrate", "up")
    shop.ddl("a.sql", A_2)
    shop.migration("001_a", "ddl: [{sql: SELECT 1}]\n")
    shown = shop.run("migrate", "show", "001", "--applied").out
    assert shown.endswith(f"--- migrations/001_a.yaml\n{yaml.replace('hunter22', '********')}\n--- a.sql\n{A_1}")
    document = shop.run("migrate", "show", "002", "--applied", "--format", "json").json
    assert document["named_files"] == [
        {
            "path": "b.sql.j2",
            "text": "CREATE TABLE b (x text DEFAULT {{ api_key | literal }});",
            "problem": None,
        }
    ]
    everything = repr(database.rows("SELECT m::text FROM confiture.migrations m"))
    contents = [zlib.decompress(content) for (content,) in database.rows("SELECT content FROM confiture.texts")]
    assert not [one for one in (everything.encode(), *contents) if b"hunter22" in one or b"from-outside" in one]
    assert "not applied" in shop.run("migrate", "show", "003", "--applied", expect=2).err
    shop.run("migrate", "show", "001", "--applied", "--down", expect=2)


def test_equal_texts_are_stored_once(shop: Project, database: Database) -> None:
    shop.ddl("n.sql.j2", "CREATE TABLE {{ table }} (x int);")
    for number in range(3):
        shop.migration(f"00{number}_n", f"ddl: [n.sql.j2]\nvars: {{table: t{number}}}\n")
    migrate_up(shop).expect(0)
    assert database.value("SELECT count(*) FROM confiture.texts") == 4
    assert database.value("SELECT count(DISTINCT texts -> 'named_files') FROM confiture.migrations") == 1


def test_a_text_is_stored_in_the_transaction_of_its_segment(shop: Project, database: Database) -> None:
    shop.ddl("mixed.sql", "CREATE TABLE t (x int); CREATE INDEX CONCURRENTLY i ON t (x); SELECT 1 / 0;")
    shop.migration("001_a", "ddl: [mixed.sql]\n")
    shop.ddl("b.sql", "SELECT 1 / 0;")
    shop.migration("000_b", "ddl: [b.sql]\n")
    migrate_up(shop).expect(4)
    # the tables contain the failure only
    assert database.value("SELECT count(*) FROM confiture.texts") == 0
    (shop.root / "migrations/000_b.yaml").unlink()
    migrate_up(shop).expect(5)
    assert database.value("SELECT count(*) FROM confiture.texts") == 2
    before = (shop.root / "schemas/mixed.sql").read_text()
    # what is not committed may change, and is pinned as it is
    shop.ddl("mixed.sql", before.replace("1 / 0", "1"))
    assert shop.run("migrate", "pin").out == "migrations/001_a/mixed.sql: pinned from schemas/mixed.sql\n"
    (shop.root / "migrations/001_a/mixed.sql").unlink()
    # what is committed may not
    shop.ddl("mixed.sql", before.replace("(x int)", "(x text)").replace("1 / 0", "1"))
    migrate_up(shop).expect(7)
    assert shop.run("migrate", "pin").out == "migrations/001_a/mixed.sql: pinned from the history\n"
    assert (shop.root / "migrations/001_a/mixed.sql").read_text() == before
    shop.write("migrations/001_a/mixed.sql", before.replace("1 / 0", "1"))
    migrate_up(shop).expect(0)
    assert "SELECT 1;" in shop.run("migrate", "show", "001", "--applied").out


def test_a_baseline_stores_texts(shop: Project, database: Database) -> None:
    one_migration(shop)
    database.execute(A_1)
    shop.run("migrate", "baseline", "001")
    shop.ddl("a.sql", A_2)
    assert "from the history" in shop.run("migrate", "pin").out
    assert (shop.root / PIN).read_text() == A_1


def test_only_a_pending_migration_gets_other_pins(shop: Project) -> None:
    shop.ddl("a.sql", "CREATE TABLE a (x int);")
    shop.migration("001_a", "ddl: [a.sql]\n")
    shop.run("migrate", "pin")
    shop.ddl("a.sql", "CREATE TABLE a (x int, y int);")
    assert shop.run("migrate", "pin", "001").out == "Nothing to do: everything is pinned.\n"
    assert shop.run("migrate", "pin", "--replace", "001").out == f"{PIN}: pinned from schemas/a.sql\n"
    assert (shop.root / PIN).read_text() == "CREATE TABLE a (x int, y int);"
    migrate_up(shop).expect(0)
    shop.ddl("a.sql", "CREATE TABLE a (x int, y int, z int);")
    assert pin_errors(shop, "--replace", "001") == ["not-pending"]
    shop.write(PIN, "CREATE TABLE a (x text);")
    ran = migrate_up(shop).expect(7)
    assert ran.diagnostic.code == "drift"


# --- drift


def test_a_schema_file_that_changed_is_no_drift(shop: Project) -> None:
    one_migration(shop)
    shop.ddl("b.sql", "CREATE TABLE b (x int);")
    shop.migration("002_b", "ddl: [b.sql]\n")
    migrate_up(shop).expect(0)
    shop.run("migrate", "validate", "--live")
    shop.ddl("a.sql", A_2)
    (shop.root / "schemas/b.sql").unlink()
    status = shop.run("migrate", "status")
    assert "001 a can no longer be replayed: schemas/a.sql differs from what ran." in status.out
    assert "Next: restore the text that ran: `confiture migrate pin 001`." in " ".join(status.out.split())
    document = shop.run("migrate", "status", "--format", "json").json
    assert document["drift"] == []
    assert document["unreplayable"] == [
        {"version": "001", "name": "a", "files": ["schemas/a.sql"], "command": "confiture migrate pin 001"},
        {"version": "002", "name": "b", "files": ["schemas/b.sql"], "command": "confiture migrate pin 002"},
    ]
    assert "001 a, 002 b can no longer be replayed" in shop.run("migrate", "up").err
    assert "2 migrations can no longer be replayed" in shop.run().out
    shop.ddl("b.sql", "CREATE TABLE b (x int);")
    result = shop.run("migrate", "validate", "--live", "--format", "json", expect=1).json
    assert [(one["code"], one["hint"]) for one in result["diagnostics"]] == [
        ("not-replayable", "restore the text that ran: `confiture migrate pin 001`")
    ]
    shop.run("migrate", "pin", "001")
    shop.run("migrate", "validate", "--live")
    assert not migrate_up(shop).expect(0).notes
    assert "replayed" not in shop.run("migrate", "status").out


def test_commands_in_hints_reach_the_same_environment_and_database(shop: Project, database: Database) -> None:
    shop.write("confiture.yaml", "environments: {staging: {}}")
    one_migration(shop)
    options = ("--env", "staging")
    command = "confiture migrate pin 001 --env staging"
    assert f"run `{command}`" in _words(shop.run("migrate", "up", *options).err)
    shop.ddl("a.sql", A_2)
    assert f"the text that ran: `{command}`" in _words(shop.run("migrate", "status", *options).out)
    assert f"run `{command}` to restore" in _words(shop.run("migrate", "up", *options).err)
    document = shop.run("migrate", "status", *options, "--format", "json").json
    assert [one["command"] for one in document["unreplayable"]] == [command]
    # the URL may contain a password
    other = shop.run("migrate", "status", *options, "--database", database.url)
    assert f"`{command} --database URL`" in _words(other.out)
    shop.run(*command.split()[1:])
    shop.write(PIN, A_2)
    assert f"`rm {PIN} && {command}`" in _words(shop.run("migrate", "up", *options, expect=7).err)
    (shop.root / PIN).unlink()
    shop.migration("001_a", "ddl: [a.sql, sql: SELECT 1]\n")
    ran = _words(shop.run("migrate", "up", *options, expect=7).err)
    assert "`confiture migrate show 001 --applied --env staging` prints what ran" in ran


def test_a_command_names_the_default_environment_if_a_variable_names_another(shop: Project) -> None:
    shop.write("confiture.yaml", "environments: {staging: {}}")
    one_migration(shop)
    shop.environ["CONFITURE_ENV"] = "staging"
    err = _words(shop.run("migrate", "up", "--env", "development").err)
    assert "run `confiture migrate pin 001 --env development`" in err


def _words(text: str) -> str:
    return " ".join(text.split())


def test_a_pin_or_a_migration_that_changed_is_drift(shop: Project) -> None:
    one_migration(shop)
    shop.run("migrate", "pin")
    migrate_up(shop).expect(0)
    shop.write(PIN, A_2)
    shop.ddl("a.sql", A_2)
    ran = migrate_up(shop).expect(7)
    assert str(ran.diagnostic.span) == f"{PIN}:1:1"
    assert ran.diagnostic.hint == f"restore the text that ran: `rm {PIN} && confiture migrate pin 001 --database URL`"
    shop.run("migrate", "validate", "--live", expect=7)
    # the command helps
    (shop.root / PIN).unlink()
    shop.run("migrate", "pin", "001")
    migrate_up(shop).expect(0)
    # both: only what is the migration's own is named
    (shop.root / PIN).unlink()
    shop.migration("001_a", "ddl: [a.sql, sql: SELECT 1]\n")
    ran = migrate_up(shop).expect(7)
    assert ran.diagnostic.detail == ("ddl: added: SELECT 1",)
    assert "`confiture migrate show 001 --applied --database URL` prints what ran" in str(ran.diagnostic.hint)


def test_one_of_two_pins_missing(shop: Project) -> None:
    shop.ddl("a.sql", A_1)
    shop.ddl("b.sql", "CREATE TABLE b (x int);")
    shop.migration("001_a", "ddl: [a.sql, b.sql]\n")
    shop.run("migrate", "pin")
    migrate_up(shop).expect(0)
    (shop.root / PIN).unlink()
    migrate_up(shop).expect(0)
    shop.ddl("a.sql", A_2)
    shop.ddl("b.sql", "CREATE TABLE b (x int, y int);")
    assert "pin 001" in migrate_up(shop).expect(0).notes
    assert shop.run("migrate", "pin").out == f"{PIN}: pinned from the history\n"


def test_a_renamed_migration_finds_its_text_again(shop: Project) -> None:
    one_migration(shop)
    shop.run("migrate", "pin")
    migrate_up(shop).expect(0)
    shop.ddl("a.sql", A_2)
    (shop.root / "migrations/001_a.yaml").rename(shop.root / "migrations/001_renamed.yaml")
    assert "confiture migrate pin 001" in migrate_up(shop).expect(0).notes
    shop.run("migrate", "pin")
    assert (shop.root / "migrations/001_renamed/a.sql").read_text() == A_1
    # a renamed schema file is another step
    (shop.root / "schemas/a.sql").rename(shop.root / "schemas/z.sql")
    migrate_up(shop).expect(0)


def test_two_migrations_pin_one_file_differently(shop: Project, database: Database) -> None:
    shop.ddl("f.sql", "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';")
    shop.migration("001_f", "ddl: [f.sql]\n")
    migrate_up(shop).expect(0)
    shop.ddl("f.sql", "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 2';")
    shop.migration("002_f", "ddl: [f.sql]\n")
    migrate_up(shop).expect(0)
    assert database.value("SELECT f()") == 2
    shop.run("migrate", "pin")
    texts = [(shop.root / f"migrations/00{n}_f/f.sql").read_text()[-11:-1] for n in (1, 2)]
    assert texts == ["'SELECT 1'", "'SELECT 2'"]
    (shop.root / "schemas/f.sql").unlink()
    shop.run("migrate", "validate", "--live")


def test_an_environment_can_require_pins(shop: Project, database: Database) -> None:
    shop.write(
        "confiture.yaml",
        "environments: {production: {protected: true}, staging: {pins: required}, test: {protected: true, pins: warn}}",
    )
    one_migration(shop)
    for environment in ("production", "staging"):
        confirm = ("--confirm", environment)
        ran = shop.run("migrate", "up", "--env", environment, *confirm, "--format", "json", expect=2).json
        (problem,) = ran["diagnostics"]
        assert (problem["code"], problem["hint"]) == (
            "not-pinned",
            f"run `confiture migrate pin 001 --env {environment}` and commit the result",
        )
    assert database.value("SELECT to_regclass('a')") is None
    assert "001 a is not pinned: run `confiture migrate pin 001 --env staging`" in " ".join(
        shop.run("migrate", "up", "--env", "staging", "--dry-run").err.split()
    )
    shop.run("migrate", "pin")
    shop.run("migrate", "up", "--env", "staging")
    shop.migration("002_b", "ddl: [sql: SELECT 1]\n")
    shop.run("migrate", "up", "--env", "staging")
    # what has run need not be pinned
    (shop.root / PIN).unlink()
    shop.ddl("a.sql", A_2)
    shop.migration("003_c", "ddl: [sql: SELECT 1]\n")
    shop.run("migrate", "up", "--env", "staging")


def test_pins_takes_one_of_two_words(shop_18: Project) -> None:
    shop_18.write("confiture.yaml", "environments: {production: {pins: always}}")
    assert "one of required, warn" in shop_18.run("migrate", "validate", expect=2).err


def test_without_a_database_only_offline_pins(shop: Project) -> None:
    shop.ddl("a.sql", "SELECT 1;")
    shop.migration("001_a", "ddl: [a.sql]\n")
    unreachable = ("--database", "postgresql://127.0.0.1:1/x?connect_timeout=2")
    shop.run("migrate", "pin", *unreachable, expect=3)
    assert not (shop.root / PIN).exists()
    shop.run("migrate", "pin", "--offline", *unreachable)
    assert (shop.root / PIN).exists()


# --- what is not reproducible


def test_what_comes_from_outside_is_recorded_by_hash(shop: Project, database: Database) -> None:
    shop.write("confiture.yaml", "vars: {size: 1, unused: 2, note: x, db_password: hunter22}\nhooks: [team_hooks]\n")
    shop.write(
        "team_hooks.py",
        """
        from confiture.core import Hook, HookPhase, HookResult, register_hook

        class Count(Hook):
            phase = HookPhase.CLEANUP
            def execute(self, conn, context):
                return HookResult(phase="CLEANUP", hook_name="count")

        register_hook("count", Count)
        """,
    )
    shop.write("helpers/names.py", "from helpers import more\n\nTABLE = 'b'\n")
    shop.write("helpers/more.py", "")
    shop.migration("001_a", 'vars: {note: y, out: "{{ env.OUT }}"}\nddl: [{sql: "CREATE TABLE a{{ size }} (x int)"}]\n')
    shop.write(
        "migrations/002_b.py",
        """
        from confiture.models import Migration
        from helpers.names import TABLE

        class B(Migration):
            def up(self):
                self.execute(f"CREATE TABLE {TABLE} (x int)", when="confiture.environment == 'development'")
        """,
    )
    shop.environ["OUT"] = "from-outside"
    shop.run("migrate", "up")
    rows = dict(database.rows("SELECT version, inputs FROM confiture.migrations"))
    names = {version: [(kind, name) for kind, name, _ in row] for version, row in rows.items()}
    # the hook may read every variable, but secrets are not recorded
    outside = [("variable", name) for name in ("confiture.environment", "note", "size", "unused")]
    assert names == {
        "001": [("hook", "count"), outside[0], ("variable", "out"), *outside[2:]],
        "002": [("hook", "count"), ("module", "helpers/more.py"), ("module", "helpers/names.py"), *outside],
    }
    assert "hunter22" not in repr(rows) and "from-outside" not in repr(rows)
    assert shop.run("migrate", "status", "--format", "json").json["unreproducible"] == []
    shop.write("helpers/more.py", "X = 1\n")
    shop.write("confiture.yaml", "vars: {size: 1, unused: 2, note: z, db_password: other}\nhooks: [team_hooks]\n")
    shop.environ["OUT"] = "another"
    status = shop.run("migrate", "status", "--format", "json").json
    assert {one["version"]: one["changed"] for one in status["unreproducible"]} == {
        "001": [{"kind": "variable", "name": "out"}],
        "002": [{"kind": "module", "name": "helpers/more.py"}, {"kind": "variable", "name": "note"}],
    }
    assert "002 b is not reproducible: the module helpers/more.py, variable note changed" in " ".join(
        shop.run("migrate", "status").out.split()
    )
    assert status["drift"] == []
    shop.run("migrate", "up")
    del shop.environ["OUT"]
    assert len(shop.run("migrate", "status", "--format", "json").json["unreproducible"]) == 1


def test_only_variables_that_templates_use_are_recorded(shop: Project, database: Database) -> None:
    shop.write("confiture.yaml", "vars: {size: 1, unused: 2}\n")
    shop.migration("001_a", 'ddl: [{sql: "CREATE TABLE a{{ size }} (x int)"}]\n')
    shop.migration("002_b", "ddl: [sql: CREATE TABLE b (x int)]\n")
    migrate_up(shop).expect(0)
    inputs = database.rows("SELECT inputs #>> '{0,1}' FROM confiture.migrations ORDER BY version")
    assert inputs == [("size",), (None,)]
