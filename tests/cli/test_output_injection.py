"""Names, data and messages from outside control no terminal, no log and no page, in any format."""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from confiture.core.db.migration_lock import LOCK_KEY
from confiture.text import escape_ci_commands, escape_line, escape_lines, format_json
from tests.support.paths import REPOSITORY
from tests.support.projects import Project, Result
from tests.support.servers import Database

FORMATS = ["text", "json", "github", "junit", "markdown"]
HOSTILE = (
    "x\x1b]0;t\x07\x1b[2J\x9b31m\x7f\u202e\u2066\u200e\u061c\u2028\u2029\x85\r::error::cr\n::error::forged\n"
    " ::stop-commands::t ##[error]x ##vso[task.logissue] a|b <b> @someone &#x202e; `c`"
)
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufff9-\ufffb\ud800-\udfff]"
)
_ORDER = re.compile(r"^\s*::|##\[|##vso\[", re.MULTILINE)


def quoted(text: str) -> str:
    """As YAML and JSON write it."""
    return json.dumps(text)


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def require_clean(result: Result, form: str) -> None:
    """Fails unless all that a command wrote is harmless, and whole in its format."""
    for text in (result.out, result.err):
        assert not _CONTROLS.search(text), repr(text)
    assert not _ORDER.search(result.err), result.err
    if form == "github":
        for line in result.out.splitlines():
            assert not _ORDER.search(line) or re.match(r"::(error|warning|notice) (file=|title=)", line), line
        return
    assert not _ORDER.search(result.out), result.out
    if form == "json":
        json.loads(result.out)
    elif form == "junit":
        ElementTree.fromstring(result.out)
    elif form == "markdown":
        require_plain_markdown(result.out)


def require_plain_markdown(page: str) -> None:
    assert "<b>" not in page.replace("\\<b", ""), page
    assert "&#x202e;" not in page
    assert not re.search(r"(?<!\w)@someone", re.sub(r"(`+).*?\1", "", page)), page
    width = 0
    for line in page.splitlines():
        cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
        assert not (cells and width) or cells == width, page
        width = cells


def hostile_step(project: Project) -> None:
    project.migration(
        "001_a",
        f"""
        name: {quoted(HOSTILE)}
        description: {quoted(HOSTILE)}
        ddl:
          - {{name: {quoted(HOSTILE)}, sql: CREATE TABLE t (id int PRIMARY KEY)}}
        """,
    )


def hostile_unnamed_step(project: Project) -> None:
    project.migration("001_a", f"ddl:\n  - sql: {quoted('SELECT ' + literal(HOSTILE))}\n")


def hostile_data(project: Project) -> None:
    project.migration(
        "001_a",
        f"""
        ddl:
          - sql: {quoted(f"CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, {literal(HOSTILE)})")}
        after_validation:
          - reconcile: {{table: t, sql: "SELECT 1 AS id, 'x' AS v"}}
        """,
    )


def hostile_check(project: Project) -> None:
    query = f"SELECT {literal(HOSTILE)} AS {quoted_name(HOSTILE)}"
    project.migration("001_a", f"before_validation:\n  - {{check: {quoted(query)}, expect: nothing}}\n")


def hostile_rows(project: Project) -> None:
    query = f"VALUES ({literal(HOSTILE)}), ('b')"
    step = f"{{check: {quoted(query)}, expect: {{rows: [[{quoted(HOSTILE)}]]}}}}"
    project.migration("001_a", f"before_validation:\n  - {step}\n")


def hostile_error(project: Project) -> None:
    text = literal(HOSTILE)
    raised = f"DO $$ BEGIN RAISE EXCEPTION USING MESSAGE = {text}, DETAIL = {text}, HINT = {text}; END $$"
    project.migration("001_a", f"ddl:\n  - sql: {quoted(raised)}\n")


def hostile_notice(project: Project) -> None:
    raised = f"DO $$ BEGIN RAISE NOTICE USING MESSAGE = {literal(HOSTILE)}; END $$"
    project.migration("001_a", f"ddl:\n  - sql: {quoted(raised)}\n")


def hostile_table(project: Project) -> None:
    table = f"CREATE TABLE {quoted_name(HOSTILE[:20])} (id serial, {quoted_name(HOSTILE[-30:])} json)"
    more = f"ALTER TABLE {quoted_name(HOSTILE[:20])} ADD COLUMN b int NOT NULL DEFAULT 1"
    project.migration("001_a", f"ddl:\n  - sql: {quoted(table)}\n  - sql: {quoted(more)}\n")


def hostile_duplicate(project: Project) -> None:
    text = literal(HOSTILE)
    made = f"CREATE TABLE t (v text PRIMARY KEY); INSERT INTO t VALUES ({text}), ({text})"
    project.migration("001_a", f"ddl:\n  - sql: {quoted(made)}\n")


def hostile_syntax(project: Project) -> None:
    project.migration("001_a", f"ddl:\n  - sql: {quoted('SELECT 1 FROM ' + HOSTILE)}\n")


def hostile_template(project: Project) -> None:
    project.migration("001_a", f"vars: {{a: {quoted(HOSTILE)}}}\nddl:\n  - {{sql: SELECT 1, when: a}}\n")


def hostile_hook(project: Project) -> None:
    project.write(
        "migrations/001_a.py",
        f"""
                from confiture.core import Hook, HookPhase, HookResult, register_hook
        from confiture.models import Migration

        TEXT = {HOSTILE!r}

        class Fill(Hook):
            phase = HookPhase.AFTER_DDL
            def execute(self, conn, context):
                context.logger.info(TEXT)
                print(TEXT, file=sys.stderr)
                return HookResult(phase="AFTER_DDL", hook_name=TEXT, rows_affected=1, stats={{TEXT: TEXT}})

        register_hook("fill", Fill)

        class One(Migration):
            version = "001"
            name = "a"
            def up(self):
                self.execute("SELECT 1")
            def down(self):
                self.execute("SELECT 1")
        """,
    )


def hostile_python(project: Project) -> None:
    project.write("migrations/001_a.py", f"print({HOSTILE!r})\nraise ValueError({HOSTILE!r})\n")


def hostile_file(project: Project) -> None:
    name = "001_a\x01\x1b[2J\u202e\n::error::y|@someone.yaml"
    (project.root / "migrations" / name).write_text("ddl: [sql: SELEC 1]", encoding="utf-8")


def hostile_bytes(project: Project) -> None:
    """A name that is not UTF-8."""
    path = bytes(project.root / "migrations") + b"/001_a\xff\x9b.yaml"
    Path(path.decode("utf-8", "surrogateescape")).write_text("ddl: [sql: SELECT 1 / 0]", encoding="utf-8")


def quoted_name(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


SCENES: dict[str, Callable[[Project], None]] = {
    name.removeprefix("hostile_"): scene for name, scene in list(globals().items()) if name.startswith("hostile_")
}


@pytest.mark.matrix
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_a_run_shows_nothing_raw(shop_18: Project, scene: Callable[[Project], None], form: str) -> None:
    scene(shop_18)
    for arguments in (["--dry-run"], ["validate"], ["up"], ["status"], ["show", "001"], ["down"]):
        shown = form if form != "text" and arguments[0] in ("--dry-run", "up", "down") else "text"
        if form == "json" and arguments[0] == "status":
            shown = "json"
        chosen = [] if shown == "text" else ["--format", shown]
        result = shop_18.run("migrate", *arguments, *chosen, expect=None)
        assert result.code in (0, 1, 2, 4), result.err
        if shown in ("text", "github") or result.out:
            require_clean(result, shown)


@pytest.mark.matrix
@pytest.mark.parametrize("form", [*FORMATS, "sarif", "gitlab"])
@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_lint_shows_nothing_raw(project: Project, scene: Callable[[Project], None], form: str) -> None:
    scene(project)
    result = project.run("lint", "--format", form, expect=None)
    require_clean(result, "json" if form in ("sarif", "gitlab") else form)


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_what_is_written_to_files_holds_nothing_raw(shop_18: Project, scene: Callable[[Project], None]) -> None:
    scene(shop_18)
    page, events = shop_18.root / "r.html", shop_18.root / "e.jsonl"
    for arguments in (["--dry-run"], ["up"]):
        shop_18.run("migrate", *arguments, "--report", str(page), "--events", str(events), expect=None)
        if events.exists():
            assert [json.loads(line) for line in events.read_bytes().splitlines()]
            assert events.read_bytes().isascii()
            assert not re.search(b"[^\n -~]", events.read_bytes())
            assert not _ORDER.search(events.read_text(encoding="ascii"))
        if page.exists():
            text = page.read_text(encoding="utf-8")
            assert not _CONTROLS.search(text)
            assert not _ORDER.search(text)
            assert "<b>" not in text.replace("<b>" + "Measured", "") or HOSTILE not in text


@pytest.mark.parametrize("form", FORMATS)
def test_the_holder_of_the_lock(shop_18: Project, database_18: Database, form: str) -> None:
    shop_18.migration("001_a", "ddl: [sql: SELECT 1]")
    name = "x\n::error::y\u202e"
    with database_18.connect(application_name=name) as holder:
        holder.execute(f"SELECT pg_advisory_lock({LOCK_KEY})".encode())
        result = shop_18.run("migrate", "up", "--wait", "0", "--format", form, expect=6)
        require_clean(result, form)
        require_clean(shop_18.run("migrate", "status"), "text")


def test_other_sessions_and_their_queries(shop_18: Project, database_18: Database) -> None:
    database_18.execute("CREATE TABLE t (id int)")
    with database_18.connect(application_name="confiture migrate up (x, pid 1)") as holder, holder.transaction():
        holder.execute(f"LOCK TABLE t /* {HOSTILE} */".encode())
        result = shop_18.run("locks")
        assert "LOCK TABLE" in result.out
        require_clean(result, "text")
        require_clean(shop_18.run("locks", "--format", "json"), "json")


def test_rows_of_the_history(shop_18: Project, database_18: Database) -> None:
    shop_18.migration("001_a", "ddl: [sql: SELECT 1]")
    shop_18.run("migrate", "up")
    database_18.execute(f"UPDATE confiture.migrations SET name = {literal(HOSTILE)}, applied_by = {literal(HOSTILE)}")
    (shop_18.root / "migrations" / "001_a.yaml").unlink()
    shop_18.migration("002_b", "ddl: [sql: SELECT 1]")
    for arguments in (["migrate", "status"], ["migrate", "up"], ["migrate", "down"], ["verify"], []):
        require_clean(shop_18.run(*arguments, expect=None), "text")
    require_clean(shop_18.run("migrate", "status", "--format", "json", expect=7), "json")


@pytest.mark.parametrize(
    "arguments",
    [
        ["migrate", "up", "--env", HOSTILE],
        pytest.param(["migrate", "up", "--to", HOSTILE], marks=pytest.mark.server),
        ["migrate", "up", "--var", HOSTILE],
        ["migrate", "up", "--wait", HOSTILE],
        ["migrate", "up", "--report", HOSTILE + "/r.html"],
        ["migrate", "up", "--events", "/nowhere/" + HOSTILE],
        ["migrate", "up", f"--{HOSTILE}"],
        ["migrate", "up", "--format", HOSTILE],
        ["migrate", HOSTILE],
        ["migrate", "up", "--config", HOSTILE],
        ["migrate", "up", "--database", f"host=h{HOSTILE}"],
        ["migrate", "up", "--database", "postgresql://h\x1b\x9b\u202e:1/d"],
        ["new", HOSTILE],
        ["lint", "--baseline", HOSTILE],
        ["lint", "--rule", HOSTILE],
        ["lint", "--explain", HOSTILE],
        ["lint", HOSTILE],
        ["lint", "--changed-since", HOSTILE],
    ],
    ids=lambda arguments: " ".join(escape_line(argument)[:12] for argument in arguments),
)
def test_mistaken_arguments(project: Project, arguments: list[str]) -> None:
    project.migration("001_a", "ddl: [sql: SELECT 1]")
    require_clean(project.run(*arguments, expect=None), "text")


@pytest.mark.parametrize(
    "settings",
    [
        {HOSTILE: 1},
        {"environments": {HOSTILE: {"x": 1}}},
        {"database": {"url": HOSTILE}},
        {"migrations": HOSTILE},
        {"schemas": HOSTILE},
        {"vars": {HOSTILE: 1}},
        {"hooks": [HOSTILE]},
        {"linting": {"rules": [{"type": HOSTILE}]}},
        {"tenancy": {"column": HOSTILE, "tables": [HOSTILE]}},
    ],
    ids=lambda settings: next(iter(settings))[:6].replace("\x1b", "-"),
)
def test_settings(project: Project, settings: dict) -> None:
    project.write("confiture.yaml", json.dumps(settings))
    project.migration("001_a", "ddl: [sql: SELECT 1]")
    for arguments in (["migrate", "validate"], ["lint"], ["migrate", "up", "--database", "postgresql://127.0.0.1:1/x"]):
        require_clean(project.run(*arguments, expect=None), "text")


def test_logs_warnings_and_tracebacks(project: Project) -> None:
    """What the driver logs, what Python warns of, and what ends the process by itself."""
    project.write(
        "migrations/001_a.py",
        f"""
        import logging, sys, threading, warnings

        logging.getLogger("psycopg").warning("ignored: %s", {HOSTILE!r})
        warnings.warn({HOSTILE!r})
        thread = threading.Thread(target=lambda: sys.stderr.write({HOSTILE!r} + "\\n"))
        thread.start(), thread.join()
        failing = threading.Thread(target=lambda: [][{HOSTILE!r}])
        failing.start(), failing.join()
        sys.stderr.write({HOSTILE!r} + "\\n")
        class Odd(BaseException):
            pass
        raise Odd({HOSTILE!r})
        """,
    )
    result = project.process("migrate", "validate", expect=None)
    assert "ignored: x\\x1b]0;t\\x07" in result.err
    assert "Traceback" in result.err
    require_clean(result, "text")


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_line_that_is_written_in_pieces(shop_18: Project, stream: str) -> None:
    shop_18.write(
        "migrations/001_a.py",
        f"""
        import os, sys
        from confiture.models import Migration

        print("split " + os.environ["PGPASSWORD"][:6], end="", file=sys.{stream})
        print(os.environ["PGPASSWORD"][6:], file=sys.{stream})
        print(":", ":error::x", sep="", file=sys.{stream})
        sys.{stream}.writelines([":", ":error::y\\x1b\\n"])
        print("no end", end="", file=sys.{stream})

        class One(Migration):
            version = "001"
            name = "a"
            def up(self):
                self.execute("SELECT 1")
        """,
    )
    shop_18.environ["PGPASSWORD"] = "hunter2secret"
    for arguments in (["validate"], ["up"]):
        result = shop_18.process("migrate", *arguments)
        said = result.out + result.err
        assert "\\x3a:error::x" in said and "\\x3a:error::y\\x1b" in said and "no end" in said
        assert "split ***\n" in said
        require_clean(result, "text")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[2Jb", r"a\x1b[2Jb"),
        ("a\nb\r\n", r"a\nb\r\n"),
        ("\x85\u2028\u2029", r"\x85\u2028\u2029"),
        ("\u202e\u2066\u200f\u061c", r"\u202e\u2066\u200f\u061c"),
        ("\udcff", r"\xff"),
        ("\ud800", r"\ud800"),
        ("\U000e0041", r"\U000e0041"),
        ("tab\tstays, é 表 😀 \u00a0", "tab\tstays, é 表 😀 \u00a0"),
    ],
)
def test_what_controls_output_is_written_as_an_escape(text: str, shown: str) -> None:
    assert escape_line(text) == shown
    assert json.loads(format_json({text: [text]})) == {text: [text]}
    assert not _CONTROLS.search(format_json(text))


def test_lines_stay_lines_where_they_may() -> None:
    assert escape_lines("a\x1b\r\n  b\nc\rd") == ["a\\x1b", "  b", "c\\rd"]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("::error::x", "\\x3a:error::x"),
        ("a\n  ::Warning file=x::y", "a\n  \\x3a:Warning file=x::y"),
        ("\x1b[1m::set-env name=x::y", "\x1b[1m\\x3a:set-env name=x::y"),
        ("a ##[group]x", "a \\x23#[group]x"),
        ("##vso[x] ##teamcity[x", "\\x23#vso[x] \\x23#teamcity[x"),
        ("a ::error::", "a ::error::"),
        ("SELECT x\n    ::int, y::text", "SELECT x\n    ::int, y::text"),
        ("# heading ## x", "# heading ## x"),
    ],
)
def test_no_line_is_an_order_to_a_ci_system(text: str, written: str) -> None:
    assert escape_ci_commands(text) == written


LINEAR = r"""
from confiture.files.schema.reader import shorten
from confiture.plan.step_kinds.step_kind import _remove_template_comments
from confiture.text import escape_block, escape_ci_commands

assert escape_ci_commands(" \n" * 200_000 + "::error::x").endswith("\\x3a:error::x")
assert shorten("pass" * 100_000)
assert _remove_template_comments("{#" * 100_000 + "x")
assert escape_block("password '://a:" * 50_000)
"""


def test_cleaning_a_long_text_takes_linear_time() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LINEAR],
        cwd=REPOSITORY,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (20, 20)),
    )
    assert done.returncode == 0
