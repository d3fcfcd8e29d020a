"""Passwords and values of variables appear in no output, no file of ours and no table of ours."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from confiture.files.settings import SettingsOverrides, load_settings
from confiture.plan.project import load_project
from confiture.secrets import (
    SECRET_CONNECTION_KEYS,
    add_public_value,
    add_secret,
    clear_secrets,
    hide_secrets,
    hide_secrets_in_json,
    is_secret_name,
)
from confiture.text import cut, shorten_sql
from tests.support.matrix import sample
from tests.support.projects import Project, Result
from tests.support.servers import Database

SECRET = "hunter2secret"
FORMATS = ["text", "json", "github", "junit", "markdown"]
LINT_FORMATS = [*FORMATS, "sarif", "gitlab"]
STEP = "ddl: [sql: SELECT 1]"


@pytest.fixture(autouse=True)
def nothing_secret():
    yield
    clear_secrets()


def everything(project: Project, result: Result) -> str:
    files = [path for path in project.root.glob("out.*") if path.is_file()]
    return result.out + result.err + "".join(path.read_text(encoding="utf-8") for path in files)


def history(database: Database) -> str:
    if not database.value("SELECT to_regclass('confiture.migrations') IS NOT NULL"):
        return ""
    tables = database.rows(
        "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
        " WHERE nspname = 'confiture' AND relkind = 'r'"
    )
    return "".join(str(database.rows(f"TABLE {table}")) for (table,) in tables)


def literal_step(project: Project) -> None:
    project.migration("001_a", "ddl:\n  - sql: CREATE TABLE t AS SELECT {{ value | literal }} AS v\n")


def quoted_step(project: Project) -> None:
    project.migration("001_a", "ddl:\n  - sql: CREATE TABLE t AS SELECT 'a {{ value }} b' AS v\n")


def code_step(project: Project) -> None:
    project.migration("001_a", "ddl:\n  - sql: \"DO $$ BEGIN PERFORM '{{ value }}'; END $$\"\n")


def several_steps(project: Project) -> None:
    project.migration(
        "001_a",
        """
        ddl:
          - sql: CREATE TABLE t (v text PRIMARY KEY); INSERT INTO t VALUES ({{ value | literal }})
        after_validation:
          - {check: "SELECT v FROM t WHERE v = {{ value | literal }}", expect: other}
        """,
    )


def key_of_an_error(project: Project) -> None:
    project.migration(
        "001_a",
        "ddl:\n  - sql: CREATE TABLE t (v text PRIMARY KEY);"
        " INSERT INTO t VALUES ({{ value | literal }}), ({{ value | literal }})\n",
    )


def cast_of_an_error(project: Project) -> None:
    project.migration("001_a", "ddl:\n  - sql: SELECT ({{ value | literal }} || '!')::int\n")


def context_of_an_error(project: Project) -> None:
    statement = "'SELECT 1 / 0, ''{{ value }}'''"
    project.migration("001_a", f'ddl:\n  - sql: "DO $$ BEGIN EXECUTE {statement}; END $$"\n')


def raised(project: Project) -> None:
    project.migration(
        "001_a", "ddl:\n  - sql: \"DO $$ BEGIN RAISE EXCEPTION 'no: %', {{ value | literal }}; END $$\"\n"
    )


def notice(project: Project) -> None:
    project.migration("001_a", "ddl:\n  - sql: \"DO $$ BEGIN RAISE NOTICE 'so: %', {{ value | literal }}; END $$\"\n")


def not_quoted(project: Project) -> None:
    project.migration("001_a", "ddl:\n  - sql: ALTER ROLE CURRENT_USER PASSWORD {{ value }}\n")


def no_condition(project: Project) -> None:
    project.migration("001_a", "ddl:\n  - {sql: SELECT 1, when: value}\n")


def no_attribute(project: Project) -> None:
    project.migration("001_a", "ddl:\n  - sql: SELECT {{ vars[value] }}\n")


def batched(project: Project) -> None:
    project.migration(
        "001_a",
        """
        ddl:
          - sql: CREATE TABLE w (id int PRIMARY KEY, v text); INSERT INTO w SELECT i, 'x' FROM generate_series(1, 9) i
        after_ddl:
          - backfill: UPDATE w SET v = {{ value | literal }} WHERE {{ batch }}
            into: w
            from: w
        """,
    )


SCENES = [
    literal_step, quoted_step, code_step, several_steps, key_of_an_error, cast_of_an_error, context_of_an_error,
    raised, notice, not_quoted, no_condition, no_attribute, batched,
]  # fmt: skip


@pytest.mark.matrix
@pytest.mark.parametrize(
    "value", [SECRET, "it's \\ a 'secret' %20", "zwölf Boxkämpfer\tjagen"], ids=["plain", "odd", "wide"]
)
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_the_value_of_an_option(
    shop_18: Project, database_18: Database, scene: Callable[[Project], None], value: str
) -> None:
    scene(shop_18)
    if scene in (context_of_an_error, quoted_step, code_step) and "'" in value:
        return
    shown = {value, value.replace("'", "''")}
    for form in sample(FORMATS, scene.__name__ + value):
        for command in (["--dry-run"], ["up"], ["validate"]):
            files = ["--report", "out.html", "--events", "out.jsonl"] if command != ["validate"] else []
            result = shop_18.run("migrate", *command, "--var", f"value={value}", "--format", form, *files, expect=None)
            assert "Traceback" not in result.err
            said = everything(shop_18, result)
            assert not any(one in said or json.dumps(one)[1:-1] in said for one in shown), said
        for command in (["show", "001"], ["status"]):
            said = str(shop_18.run("migrate", *command, "--var", f"value={value}", expect=None))
            assert not any(one in said for one in shown), said
    assert value not in history(database_18)


@pytest.mark.matrix
@pytest.mark.parametrize("name", ["APP_PW", "WHO"])
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
@pytest.mark.parametrize("where", ["settings", "environment", "migration"])
def test_a_value_of_the_environment(
    shop_18: Project, database_18: Database, scene: Callable[[Project], None], where: str, name: str
) -> None:
    scene(shop_18)
    variables = f'vars: {{value: "{{{{ env.{name} }}}}"}}\n'
    if where == "settings":
        shop_18.write("confiture.yaml", variables)
    elif where == "environment":
        shop_18.write("confiture.yaml", f"environments: {{development: {{{variables.strip()}}}}}\n")
    else:
        path = shop_18.root / "migrations" / "001_a.yaml"
        path.write_text(variables + path.read_text(encoding="utf-8"), encoding="utf-8")
    shop_18.environ[name] = SECRET
    for command in sample((["--dry-run"], ["up"], ["validate"], ["show", "001"], ["status"]), scene.__name__ + where):
        files = ["--report", "out.html", "--events", "out.jsonl"] if command[0] in ("--dry-run", "up") else []
        result = shop_18.run("migrate", *command, *files, expect=None)
        assert SECRET not in everything(shop_18, result)
    assert SECRET not in history(database_18)


def test_it_is_what_the_statement_gets(shop_18: Project, database_18: Database) -> None:
    shop_18.write("confiture.yaml", 'vars: {who: "{{ env.WHO }}", both: ["{{env.WHO}}-{{ env.PLACE }}"]}\n')
    shop_18.migration(
        "001_a", "ddl: [sql: 'CREATE TABLE t AS SELECT {{ who | literal }} || {{ both[0] | literal }} AS v']"
    )
    shop_18.environ |= {"WHO": "alice", "PLACE": "here"}
    shop_18.run("migrate", "up")
    assert database_18.rows("TABLE t") == [("alicealice-here",)]


@pytest.mark.parametrize("command", [["up"], ["--dry-run"], ["validate"], ["show", "001"]], ids=lambda c: c[0])
@pytest.mark.parametrize("text", ["{{ who | literal }}", "{{ vars.who | literal }}", "{{ vars['who'] | literal }}"])
def test_one_that_is_not_set(shop_18: Project, text: str, command: list[str]) -> None:
    shop_18.write("confiture.yaml", 'vars:\n  who: "{{ env.WHO }}"\n')
    shop_18.migration("001_a", f'ddl: [sql: "SELECT {text}"]')
    err = shop_18.run("migrate", *command, expect=2).err
    assert "error[unset-variable]: the environment 'development' requires WHO, which is not set" in err
    assert "--> confiture.yaml:2:9" in err and "next: export WHO=" in err


@pytest.mark.parametrize(
    "text", ["{{ env.A | upper }}", "{{ env['A'] }}", "{% if env.A %}x{% endif %}", "{{ENV.A}}", "{{ env.A }}{{ b }}"]
)
def test_only_names_are_read_from_the_environment(project: Project, text: str) -> None:
    project.write("confiture.yaml", f"vars: {{a: {json.dumps(text)}}}\n")
    err = project.run("migrate", "validate", expect=2).err
    assert "error[bad-template]: the variable's template is not supported" in err
    assert "next: use only {{ env.NAME }} here" in err


def test_checksums_do_not_depend_on_the_environment(project: Project) -> None:
    """Nor do they differ from those of a version that took the text as it is."""
    project.migration(
        "001_a", 'vars: {who: "{{ env.WHO }}", n: [1, "{{ env.WHO }}"]}\nddl: [sql: "SELECT {{ who | literal }}"]'
    )
    project.write("confiture.yaml", "{}")
    sums = []
    for environ in ({"WHO": "a"}, {"WHO": "b"}):
        loaded = load_project(load_settings(project.root, SettingsOverrides(database="embedded"), environ), {})
        sums.append(loaded.ups[0].checksum)
    assert sums == ["63d205f43f13624d6748c398e1bd7ba5a82e008fa8888c05a985aecf601fbf18"] * 2


# --- what is applied needs no variables


def test_an_applied_migration_needs_no_variables(shop_18: Project, database_18: Database) -> None:
    shop_18.migration("001_a", "ddl: [sql: 'SELECT {{ pw | literal }}']\ndown: [sql: 'SELECT {{ pw | literal }}']")
    shop_18.run("migrate", "up", "--var", f"pw={SECRET}")
    (steps,) = database_18.rows("SELECT steps FROM confiture.journal")[0]
    assert [step["name"] for step in steps] == ["SELECT {{ pw | literal }}"]
    for command in (["migrate", "status"], ["migrate", "up"], ["migrate", "--dry-run"], ["verify"], []):
        shop_18.run(*command)
    shop_18.run("migrate", "down", expect=2)
    shop_18.migration(
        "002_b", "ddl: [sql: 'SELECT {{ other }}', {sql: 'SELECT {{ other }}, 2'}]\ndown: [sql: SELECT 2]"
    )
    shop_18.migration("003_c", "ddl: [sql: SELECT 3]\ndown: [sql: SELECT 3]")
    status = shop_18.run("migrate", "status")
    assert status.out.count("002 b cannot run yet: template: 'other' is not defined.") == 1
    (two, three) = shop_18.run("migrate", "status", "--format", "json").json["pending"]
    assert [one["code"] for one in two["missing"]] == ["undefined-name"] * 2 and not three["missing"]
    err = shop_18.run("migrate", "up", expect=2).err
    assert "'other' is not defined" in err and "'pw'" not in err
    for command in (["migrate", "validate"], ["lint"]):
        said = shop_18.run(*command, expect=None)
        assert said.code and "'pw' is not defined" in said.out + said.err
    shop_18.run("migrate", "up", "--var", "other=1")
    shop_18.run("migrate", "down", "--to", "0", "--var", "pw=x")


def test_a_run_that_stopped_midway_goes_on(shop_18: Project, database_18: Database) -> None:
    """Also one of a version whose journal has names as rendered."""
    shop_18.migration(
        "001_a",
        """
        ddl:
          - sql: CREATE TABLE t AS SELECT {{ pw | literal }} AS v
          - sql: CREATE INDEX CONCURRENTLY i ON t (v)
          - sql: SELECT 1 / 0
        """,
    )
    shop_18.run("migrate", "up", "--var", f"pw={SECRET}", expect=5)
    database_18.execute(f"UPDATE confiture.journal SET steps = replace(steps::text, '{{{{ pw', '{SECRET}')::jsonb")
    assert "stopped midway" in shop_18.run("migrate", "status").out
    shop_18.run("migrate", "up", expect=2)
    path = shop_18.root / "migrations" / "001_a.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("1 / 0", "1"), encoding="utf-8")
    shop_18.run("migrate", "up", "--var", f"pw={SECRET}")


CHANGED = {
    "upper": "{{ pw | upper | literal }}",
    "part": "{{ pw[:9] | literal }}",
    "method": "{{ pw.title() | literal }}",
    "joined": "{{ ('x' ~ pw[2:]) | literal }}",
    "quoted": "'{{ pw | upper }}'",
    "assigned": "{% set ns = namespace(x='') %}{% set ns.x = pw %}{{ ns.x | upper | literal }}",
    "in vars": "{{ vars['pw'] | upper | literal }}",
    "of a part": "{% for part in pw.split('-') %}{% if loop.first %}{{ part | literal }}{% endif %}{% endfor %}",
    "macro": "{% macro m(x) %}{{ x | upper | literal }}{% endmacro %}{{ m(pw) }}",
    "block": "{% set x %}{{ pw }}{% endset %}{{ x | upper | literal }}",
}


@pytest.mark.parametrize("expression", CHANGED.values(), ids=CHANGED)
@pytest.mark.parametrize("where", ["option", "file"])
def test_what_a_template_makes_of_a_secret(
    shop_18: Project, database_18: Database, expression: str, where: str
) -> None:
    secret = "correct-horse-battery"
    shop_18.migration(
        "001_a",
        f"""
        vars: {{pw: {secret if where == "file" else "x"}}}
        ddl:
          - sql: CREATE TABLE t (v text PRIMARY KEY)
          - sql: |
              INSERT INTO t VALUES ({expression});
              INSERT INTO t VALUES ({expression})
        """,
    )
    variables = ["--var", f"pw={secret}"] if where == "option" else []
    said = shop_18.run("migrate", "up", *variables, expect=4).err
    assert "Key (v)=(***)" in said and "orrect" not in said.lower().replace("'correct-horse-battery'", "")


@pytest.mark.parametrize(("value", "filters"), [("91827364", "literal"), ("[0.75634]", "tojson | literal")])
def test_a_secret_that_is_a_number(shop_18: Project, database_18: Database, value: str, filters: str) -> None:
    shop_18.migration(
        "001_a",
        f"""
        vars: {{token: {value}}}
        ddl:
          - sql: CREATE TABLE t (v text PRIMARY KEY)
          - sql: INSERT INTO t SELECT {{{{ token | {filters} }}}} FROM generate_series(1, 2)
        """,
    )
    said = shop_18.run("migrate", "up", expect=4).err
    assert "***" in said and value.strip("[]") not in said


# --- names are no secrets


def test_names_that_come_from_variables_are_shown(shop_18: Project) -> None:
    shop_18.migration(
        "001_a",
        """
        ddl:
          - sql: CREATE TABLE {{ read_model }} (id int)
          - sql: SELECT '{{ read_model }}'::regclass
        """,
    )
    result = shop_18.run("migrate", "--dry-run", "--var", "read_model=r_orders", "--format", "json")
    assert "CREATE TABLE r_orders" in result.out
    assert "'r_orders'::regclass" in result.out


@pytest.mark.parametrize(
    ("name", "is_secret"),
    [
        ("pw", True), ("app_pw", True), ("PASSWORD", True), ("db_password_old", True), ("api_key", True),
        ("token", True), ("client_secret", True), ("pass", True), ("bypass", False), ("key", False),
        ("tokens_table", False), ("read_model", False), ("power", False),
    ],
)  # fmt: skip
def test_names_that_tell_a_secret(name: str, is_secret: bool) -> None:
    assert is_secret_name(name) is is_secret


@pytest.mark.parametrize(
    ("secret", "text", "shown"),
    [
        ("hunter2x", "a hunter2x b", "a *** b"),
        ("it's", "'it''s' it's", "'***' ***"),
        ("a\\b'c", "E'a\\\\b''c' a\\b'c", "E'***' ***"),
        ("p@ss/word", "//u:p%40ss%2Fword@h", "//u:***@h"),
        ("east", "least east", "least ***"),
        ("on", "on", "on"),
        ("x", "ALTER ROLE a PASSWORD 'pq''r' VALID", "ALTER ROLE a PASSWORD '***' VALID"),
        ("x", "password E'a\\'b'", "password '***'"),
        ("e", "the server: //me:e@h password=e host=h", "the server: //me:e@h password=*** host=h"),
        ("e", "postgresql://me:e@here, key: e", "postgresql://me:***@here, key: e"),
        ("postgres", "postgres, user=postgres password=postgres", "postgres, user=postgres password=***"),
        ("hunter2secret", "PASSWORD E'hunter2secr… and …ter2secret'", "PASSWORD '***'"),
        ("hunter2secret", "SELECT 'hunter2s… and …ter2secret' ... hun...", "SELECT '***… and …***' ... ***..."),
        ("hunter2secret", "LINE 1: ...r2secret' VALID", "LINE 1: ...***' VALID"),
        ("hunter2-secret9", 'at or near "secret9", near ")"', 'at or near "***", near ")"'),
        ("hunter2-secret9", 'relation "hunter2" is shown', 'relation "hunter2" is shown'),
        ("p\udcffw\u00e9rd", "p%FFw%C3%A9rd p%ffw%c3%a9rd p\ufffdw\u00e9rd", "*** *** ***"),
        ("p\ud800word", "p\ud800word", "***"),
        ("x", "PASSWORD $a$pq$a$ PASSWORD U&'pq' PASSWORD 'p\\\nq'", "PASSWORD '***' PASSWORD '***' PASSWORD '***'"),
        ("x", "dblink('host=h password=''p q''')", "dblink('host=h password=***')"),
        ("x", "SET password = excluded.password", "SET password = excluded.password"),
        ("Welcome", "Key (a, b)=(1, Welcome) already exists.", "Key (a, b)=(1, ***) already exists."),
        ("7", "f(7): Key (a)=(7), (a)=(77)", "f(7): Key (a)=(***), (a)=(77)"),
        ("x", "SET password = crypt(n, s) WHERE user = 1", "SET password = crypt(n, s) WHERE user = 1"),
        ("x", "password = new WHERE user = 1", "password = new WHERE user = 1"),
        ("x", "host = h port = 1 password = new", "host = h port = 1 password = ***"),
        ("hunter2secret", "hunter2secre" + "t" * 9, "***" + "t" * 8),
    ],
)
def test_what_is_hidden(secret: str, text: str, shown: str) -> None:
    clear_secrets()
    add_secret(secret)
    assert hide_secrets(text) == shown


def test_what_is_public_is_hidden_only_where_it_is_certain() -> None:
    clear_secrets()
    add_secret("r_orders")
    add_public_value("r_orders")
    assert hide_secrets("r_orders") == "r_orders"
    add_secret("r_orders", is_certain=True)
    assert hide_secrets("r_orders") == "***"


def test_many_values_in_a_long_text() -> None:
    clear_secrets()
    values = [f"prefix-{number * 7919:06d}-value" for number in range(2_000)]
    for value in values:
        add_secret(value)
    text = "".join(f"{value} on line {number} prefix-\n" for number, value in enumerate(values))
    assert hide_secrets(text) == "".join(f"*** on line {number} prefix-\n" for number in range(2_000))
    # between two windows
    assert hide_secrets("x" * 4_090 + values[3] + "y" * 9_000) == "x" * 4_090 + "***" + "y" * 9_000


def test_texts_are_hidden_before_they_are_cut() -> None:
    clear_secrets()
    add_secret("hunter2secret")
    assert cut("SELECT 'hunter2secret'", 15) == "SELECT '***'"
    assert shorten_sql("SELECT\n 'hunter2secret' || 'more'", 17) == "SELECT '***' || …"


def test_keys_of_our_formats_stay() -> None:
    clear_secrets()
    add_secret("statements")
    assert hide_secrets_in_json({"statements": ["statements"]}) == {"statements": ["***"]}


@pytest.mark.parametrize("password", ["3000", "format", "version", "severity", "testsuite"])
def test_a_document_stays_whole(shop_18: Project, database_18: Database, password: str) -> None:
    """A password that stands in a document's own words and numbers."""
    database_18.execute("CREATE TABLE w (id int)")
    shop_18.migration("001_a", "ddl: [sql: 'INSERT INTO w SELECT generate_series(1, 3000)']")
    shop_18.environ["PGPASSWORD"] = password
    run = shop_18.run("migrate", "--dry-run", "--format", "json").json
    assert (run["format"], run["migrations"][0]["steps"][0]["rows_affected"]) == ("confiture.run", 3_000)
    assert shop_18.run("migrate", "status", "--format", "json").json["format"] == "confiture.status"
    assert ElementTree.fromstring(shop_18.run("migrate", "--dry-run", "--format", "junit").out)[0].tag == "testsuite"
    for form in ("sarif", "gitlab"):
        json.loads(shop_18.run("lint", "--live", "--format", form, expect=None).out)


@pytest.mark.parametrize("where", ["PGPASSWORD", "PGPASSFILE", "passfile", "service"])
def test_a_password_that_the_driver_finds(shop_18: Project, database_18: Database, where: str) -> None:
    passfile = shop_18.root / "passfile"
    passfile.write_text(f"*:*:*:*:{SECRET}\n", encoding="utf-8")
    passfile.chmod(0o600)
    (shop_18.root / "services").write_text(f"[here]\npassword={SECRET}\n", encoding="utf-8")
    url = database_18.url
    if where == "service":
        shop_18.environ |= {"PGSERVICE": "here", "PGSERVICEFILE": str(shop_18.root / "services")}
    elif where == "passfile":
        url += f"{'&' if '?' in url else '?'}passfile={passfile}"
    else:
        shop_18.environ[where] = SECRET if where == "PGPASSWORD" else str(passfile)
    shop_18.migration(
        "001_a",
        f"""
        ddl:
          - sql: CREATE TABLE t (v text DEFAULT '{SECRET}')
          - sql: "DO $$ BEGIN RAISE EXCEPTION 'no: {SECRET}'; END $$"
        """,
    )
    for form in FORMATS:
        files = ["--report", "out.html", "--events", "out.jsonl"]
        result = shop_18.run("migrate", "up", "--database", url, "--format", form, *files, expect=4)
        assert SECRET not in everything(shop_18, result)
    for form in LINT_FORMATS:
        result = shop_18.run("lint", "--live", "--database", url, "--format", form)
        assert SECRET not in result.out + result.err
    assert SECRET not in history(database_18)


def test_a_dry_run_compares_what_ran(shop_18: Project, database_18: Database) -> None:
    """A finding of lint and what was measured of its statement are one warning, also if the text holds a secret."""
    database_18.execute(
        "CREATE TABLE w (id int PRIMARY KEY, v text); INSERT INTO w SELECT i FROM generate_series(1, 9) i"
    )
    shop_18.migration("001_a", "ddl: [sql: 'ALTER TABLE w ALTER v TYPE int USING length({{ pw | literal }})']")
    result = shop_18.run("migrate", "--dry-run", "--var", f"pw={SECRET}", "--format", "json", expect=None)
    (warning,) = result.json["warnings"]
    assert warning["rule"] == "type_rewrite" and warning["measured_ms"] is not None
    assert SECRET not in result.out + result.err


# --- the database's address

H = "127.0.0.1:1"
S = "s3cretpw"
ADDRESSES = {
    "plain": f"postgresql://me:{S}@{H}/db",
    "other scheme": f"postgres://me:{S}@{H}/db",
    "no user": f"postgresql://:{S}@{H}/db",
    "no database": f"postgresql://me:{S}@{H}",
    "no host": f"postgresql://me:{S}@/db?host=/nowhere",
    "encoded letter": f"postgresql://me:%73{S[1:]}@{H}/db",
    "all encoded": f"postgresql://me:{''.join(f'%{ord(c):02x}' for c in S)}@{H}/db",
    "not UTF-8": f"postgresql://me:{S}%ff@{H}/db",
    "not UTF-8, first": f"postgresql://me:%ff%fe{S}@{H}/db",
    "not UTF-8, in the query": f"postgresql://{H}/db?user=me&password={S}%ff",
    "not UTF-8, sslpassword": f"postgresql://me:{S}@{H}/db?sslpassword=%ff{S}",
    "encoded NUL": f"postgresql://me:{S}%00@{H}/db",
    "encoded escape": f"postgresql://me:{S}%1b%5b2J@{H}/db",
    "encoded line end": f"postgresql://me:%0a{S}%0d@{H}/db",
    "bad encoding": f"postgresql://me:{S}%zz@{H}/db",
    "percent at the end": f"postgresql://me:{S}%@{H}/db",
    "at sign": f"postgresql://me:x@{S}@{H}/db",
    "slash": f"postgresql://me:x/{S}@{H}/db",
    "slash behind": f"postgresql://me:{S}/x@{H}/db",
    "slash and query": f"postgresql://me:{S}/x?y=z@{H}/db",
    "question mark": f"postgresql://me:x?{S}@{H}/db",
    "hash": f"postgresql://me:x#{S}@{H}/db",
    "colon": f"postgresql://me:x:{S}@{H}/db",
    "bracket": f"postgresql://me:[{S}@{H}/db",
    "space": f"postgresql://me:{S} x@{H}/db",
    "plus": f"postgresql://me:{S}+x@{H}/db",
    "quote": f"postgresql://me:{S}'x@{H}/db",
    "double quote": f'postgresql://me:{S}"x@{H}/db',
    "backslash": f"postgresql://me:{S}\\x@{H}/db",
    "in the query": f"postgresql://{H}/db?user=me&password={S}",
    "in the query, encoded": f"postgresql://{H}/db?user=me&password=%73{S[1:]}",
    "twice": f"postgresql://me:x@{H}/db?password={S}",
    "sslpassword": f"postgresql://me@{H}/db?sslmode=require&sslpassword={S}",
    "passfile": f"postgresql://me:{S}@{H}/db?passfile=/nowhere",
    "several hosts": f"postgresql://me:{S}@{H},127.0.0.1:2/db",
    "host that is none": f"postgresql://me:{S}@nowhere.invalid/db",
    "port that is none": f"postgresql://me:{S}@127.0.0.1:x/db",
    "port too large": f"postgresql://me:{S}@127.0.0.1:99999/db",
    "unclosed bracket": f"postgresql://me:{S}@[::1/db",
    "unknown parameter": f"postgresql://{H}/db?pasword={S}",
    "no value": f"postgresql://me:{S}@{H}/db?sslmode",
    "bad sslmode": f"postgresql://me:{S}@{H}/db?sslmode={S}",
    "only user and password": f"postgresql://me:{S}",
    "one slash": f"postgresql:/me:{S}@{H}/db",
    "another database": f"mysql://me:{S}@{H}/db",
    "only a word": S,
    "keys": f"host=127.0.0.1 port=1 user=me password={S}",
    "keys, spaces": f"host = 127.0.0.1 port = 1 password = {S}",
    "keys, quoted": f"host=127.0.0.1 port=1 password='{S} x'",
    "keys, escaped quote": f"host=127.0.0.1 port=1 password='it\\'s {S}'",
    "keys, escaped backslash": f"host=127.0.0.1 port=1 password={S}\\\\x",
    "keys, escaped space": f"host=127.0.0.1 port=1 password=a\\ {S}",
    "keys, unclosed quote": f"host=127.0.0.1 port=1 password='{S}",
    "keys, space": f"host=127.0.0.1 port=1 password=x {S}",
    "keys, unknown": f"host=127.0.0.1 port=1 pasword={S}",
    "keys, sslpassword": f"host=127.0.0.1 port=1 sslpassword='{S}'",
    "keys, service": f"service=nowhere password={S}",
    "keys, passfile": f"host=127.0.0.1 port=1 passfile=/nowhere password={S}",
    "keys, URL inside": f"dbname=postgresql://me:{S}@{H}/db",
    "keys, line end": f"host=127.0.0.1 port=1 password='{S}\nx'",
    "keys, wide": f"host=127.0.0.1 port=1 password='é{S}表'",
    "not UTF-8 by the terminal": f"postgresql://me:{S}\udcff@{H}/db",
    "line end in it": f"postgresql://me:{S}\n@{H}/db",
}  # fmt: skip


@pytest.mark.matrix
@pytest.mark.parametrize("address", ADDRESSES.values(), ids=ADDRESSES)
def test_an_address_in_every_output(project: Project, address: str) -> None:
    project.migration("001_a", STEP)
    commands = [
        ["migrate", "up", "--format", form, "--report", "out.html", "--events", "out.jsonl"] for form in FORMATS
    ]
    commands += [["migrate", "--dry-run", "--yes"], ["migrate", "status"], ["migrate", "status", "--format", "json"]]
    commands += [["verify"], ["locks"], ["backfill", "status"], ["lint", "--live"], ["migrate", "baseline", "1"]]
    for command in sample(commands, address):
        require_no_secret(project, project.run(*command, "--database", address, expect=None))
    require_no_secret(project, project.run("migrate", "--dry-run", "--scale-to", address, "--database", H, expect=None))


@pytest.mark.matrix
@pytest.mark.parametrize("address", ADDRESSES.values(), ids=ADDRESSES)
def test_an_address_of_the_environment_or_the_settings(project: Project, address: str) -> None:
    project.migration("001_a", STEP)
    if "\x00" not in address:
        project.environ["DATABASE_URL"] = address
        for command in (["migrate", "up"], ["migrate", "status"], []):
            result = project.run(*command, expect=None)
            require_no_secret(project, result, codes=(0, 2, 3) if not command else (2, 3))
        del project.environ["DATABASE_URL"]
    if not any(0xD800 <= ord(character) <= 0xDFFF for character in address):
        project.write("confiture.yaml", f"database: {{url: {json.dumps(address)}}}\n")
        for command in (["migrate", "up"], ["migrate", "status", "--format", "json"]):
            require_no_secret(project, project.run(*command, expect=None))


MISTAKEN_SETTINGS = {
    "keys": f"database: {{url: 'host=h oauth_client_secret={S}', x: 1}}",
    "encoded key": f"database: {{url: 'postgresql://u@h/db?pass%77ord={S}', x: 1}}",
    "no colon": f"database: {{url: 'postgresql//u:{S}@h', x: 1}}",
    "one slash": f"database: {{url: 'postgresql:/u:{S}@h', x: 1}}",
    "no scheme": f"database: {{url: 'u:{S}@h/db', x: 1}}",
    "misspelt key": f"database: {{url: 'host=h pasword={S}', x: 1}}",
    "no at": f"database: {{url: 'postgresql://u:{S}', x: 1}}",
    "misspelt url": f"database: {{urll: 'u:{S}@h'}}",
    "misspelt database": f"databse: {{url: 'u:{S}@h'}}",
    "of an environment": f"environments: {{development: {{databas: 'u:{S}@h'}}}}",
    "text": f"database: 'u:{S}@h'",
    "text alone": f"'u:{S}@h'",
    "no space": f"database:\n  url:u:{S}@h",
    "as a key": f"database: {{'u:{S}@h': 1}}",
    "list": f"database: {{url: ['u:{S}@h']}}",
    "alias": f"vars: {{a: &a 'u:{S}@h', 1bad: 2}}\ndatabase: {{url: *a}}",
    "tag": f"database: {{url: !x 'u:{S}@h'}}",
    "folded": f"database:\n  urll: >\n    u:{S}@h\n",
    "variable": f"vars: {{api_token: {S}, 1bad: 2}}",
    "nested variable": f"vars: {{api_token: [{{a: {S}}}], 1bad: 2}}",
    "number": f"vars: {{api_token: !!int {S}, a: 2}}",
    "not YAML": f"database: {{url: 'u:{S}@h', x: [}}",
    "not YAML, variable": f"vars: {{api_token: {S}, x: ]}}",
    "not YAML, quote": f"database: {{url: 'u:{S}@h}}",
    "bad character": f"database: {{url: 'u:{S}@h', x: \"\\0\"}}",
}


@pytest.mark.matrix
@pytest.mark.parametrize("settings", MISTAKEN_SETTINGS.values(), ids=MISTAKEN_SETTINGS)
@pytest.mark.parametrize("form", ["text", "json"])
def test_a_mistake_in_the_line_of_a_password(project: Project, settings: str, form: str) -> None:
    project.write("confiture.yaml", settings + "\n")
    result = project.run("migrate", "status", "--format", form, expect=2)
    require_no_secret(project, result, codes=(2,))


@pytest.mark.parametrize(
    "variables", [f"{{db_password: {S}, 1: 3}}", f"{{db_password: {S}, x: ]}}", f"{{'x_token' : [{S}], <<: 1}}"]
)
def test_a_mistake_in_the_line_of_a_secret_variable(project: Project, variables: str) -> None:
    project.migration("001_a", f"vars: {variables}\n{STEP}\n")
    require_no_secret(project, project.run("migrate", "validate", expect=2), codes=(2,))


def test_excerpts_show_what_is_no_secret(project: Project) -> None:
    project.write("confiture.yaml", "database: {url: 'postgresql://me:{{ env.PW }}@h', lock_timeout: 2s, retris: 3}\n")
    err = project.run("migrate", "validate", expect=2).err
    assert "{url: '****************{{ env.PW }}**', lock_timeout: 2s, retris: *}" in err.replace("…", "")


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("DATABASE_URL", f"postgresql://me:{S}@{H}/db"),
        ("CONFITURE_DATABASE_URL", f"postgresql://me:%73{S[1:]}@{H}/db"),
        ("DATABASE_URL", f"postgresql://{H}/db?password=%73{S[1:]}"),
        ("DATABASE_URL", f"host=h password='{S}'"),
        ("DATABASE_URL", f"host=h sslpassword = {S} user=me"),
        ("PGPASSWORD", S),
        ("OTHER", f"postgresql://me:{S}@{H}/db"),
    ],
)
def test_commands_without_a_connection_hide_the_password(project: Project, name: str, address: str) -> None:
    project.environ[name] = address
    if name == "OTHER":
        project.write("confiture.yaml", "database: {url: '{{ env.OTHER }}'}\n")
    project.migration("001_a", f"ddl: [sql: SELEC '{S}']")
    for command in (["lint"], ["lint", "--format", "json"], ["migrate", "validate"], ["migrate", "show", "001"]):
        require_no_secret(project, project.run(*command, expect=None), codes=(1, 2))


def require_no_secret(project: Project, result: Result, codes: tuple[int, ...] = (2, 3)) -> None:
    said = everything(project, result)
    assert S not in said and S[1:] not in said, said
    assert "Traceback" not in said
    assert result.code in codes, said
    assert said.strip()


def test_the_arguments_of_psql_hold_no_secret(project: Project) -> None:
    from confiture.core.embedded.server import EmbeddedServer

    assert "password" not in EmbeddedServer(Path(project.root)).url()


@pytest.mark.parametrize("key", SECRET_CONNECTION_KEYS)
def test_the_secrets_of_an_address_are_hidden_before_any_connection(key: str) -> None:
    assert hide_secrets(f"postgresql://u@h/db?{key}=S3cretValue&x=1") == f"postgresql://u@h/db?{key}=***&x=1"
    assert "S3cretValue" not in hide_secrets(f"host=h {key}='S3cretValue' user=u")
