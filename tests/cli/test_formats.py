"""What is printed: tables, sentences and errors for people, JSON, annotations and JUnit for machines."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import termios
from typing import Any
from xml.etree import ElementTree

import pytest
from syrupy.assertion import SnapshotAssertion

from confiture.cli.options import DEFAULT_WAIT
from confiture.core.commands import DEFAULT_LOCK_WAIT_MS
from confiture.durations import duration_literal, format_duration, parse_duration_ms
from confiture.output.numbers import format_rows
from confiture.text import pluralize
from tests.support.projects import Project

FIRST = """\
    description: Customers, and what they ordered.
    vars: {size: 1234}
    before_validation:
      - name: nothing is here yet
        check: SELECT count(*) FROM pg_class WHERE relname = 'w_customers'
        expect: 0
    ddl:
      - 01_write_side/010_customers.sql
    after_ddl:
      - name: customers
        sql: INSERT INTO w_customers SELECT generate_series(1, {{ size }})
        timeout: 5s
      - name: only on Sundays, and never when the name of a step is as long as this one
        sql: SELECT 1
        when: environment == 'sunday'
    after_validation:
      - check: SELECT count(*) FROM w_customers
        expect: {">": 1000}
    cleanup:
      - sql: ANALYZE w_customers
    down:
      - sql: DROP TABLE w_customers
      - sql: SELECT 1
        when: environment == 'sunday'
    """
SECOND = """\
    name: index_customers
    ddl:
      - sql: |
          ALTER TABLE w_customers ADD COLUMN name text;
          CREATE INDEX CONCURRENTLY w_customers_name ON w_customers (name);
          SELECT 1
    on_error:
      - sql: SELECT 'clean up'
    down:
      - sql: DROP INDEX w_customers_name
      - sql: ALTER TABLE w_customers DROP COLUMN name
    """
FAILING = """\
    ddl:
      - sql: CREATE TABLE w_orders (id int)
    after_validation:
      - name: every customer has an order
        check: |
          SELECT c.id
          FROM w_customers c
          WHERE c.id < 9 AND NOT EXISTS (SELECT FROM w_orders o WHERE o.id = c.id)
          ORDER BY c.id
        expect:
          rows: []
    """
BROKEN = """\
    ddl:
      - sql: |
          CREATE TABLE w_orders (id int PRIMARY KEY);
          INSERT INTO w_orders VALUES (1), (1);
    """
CUSTOMERS = """\
    CREATE TABLE w_customers (
        id bigint PRIMARY KEY
    );
    """


@pytest.fixture
def books(shop_18: Project) -> Project:
    """Two migrations that work."""
    shop_18.migration("001_customers", FIRST)
    shop_18.migration("002_index", SECOND)
    shop_18.ddl("01_write_side/010_customers.sql", CUSTOMERS)
    return shop_18


def steady(text: str) -> str:
    """The text without what differs from run to run. Tables of runs stay as wide as they were: a skipped step takes
    `0.0 ms`, as wide as times are here. The width of a status differs."""
    text = re.sub(r"\S*@?\S*(?:/\S+)?:?\d*/test_\d+_\d+", "DATABASE", text)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "2026-01-02 03:04:05", text)
    text = re.sub(r"( +Took| +\d[\d.]* m?s|─+| +)$", "", text, flags=re.MULTILINE) if "Took" in text else text
    text = re.sub(r"((?:, |after |in ))\d[\d.]* m?s\b", r"\1TIME", text)
    return re.sub(r" +\d[\d.]* m?s\b", lambda found: "TIME".rjust(len(found[0])), text)


def steady_json(value: Any) -> Any:
    """A document without what differs from run to run."""
    changing = {"execution_time_ms": 1.5, "applied_at": "2026-01-02T03:04:05+00:00", "database": "DATABASE"}
    if isinstance(value, dict):
        return {
            key: changing[key] if key in changing and item is not None else steady_json(item)
            for key, item in value.items()
        }
    return [steady_json(item) for item in value] if isinstance(value, list) else value


# For people


@pytest.mark.parametrize("columns", [None, "120", "80", "50"])
def test_the_table_of_a_run(books: Project, snapshot: SnapshotAssertion, columns: str | None) -> None:
    if columns:
        books.environ["COLUMNS"] = columns
    up, nothing, down = (
        books.run("migrate", "up"),
        books.run("migrate", "up"),
        books.run("migrate", "down", "--to", "0"),
    )
    assert steady(up.out) == snapshot(name="up")
    assert steady(up.err) == snapshot(name="up, told")
    assert steady(nothing.out) == snapshot(name="nothing to do")
    assert steady(down.out) == snapshot(name="down")
    for line in (up.out + down.out).splitlines():
        assert len(line) <= int(columns or 120) or " on " in line, "no line of a table is cut or broken"


def test_a_check_that_fails(books: Project, snapshot: SnapshotAssertion) -> None:
    books.migration("003_orders", FAILING)
    result = books.run("migrate", "up", expect=1)
    assert steady(result.out) == snapshot(name="report")
    assert result.err.partition("error[")[2] == snapshot(name="error")


def test_a_statement_that_fails(books: Project, snapshot: SnapshotAssertion) -> None:
    books.migration("003_orders", BROKEN)
    result = books.run("migrate", "up", expect=4)
    assert steady(result.out) == snapshot(name="report")
    assert result.err.partition("error[")[2] == snapshot(name="error")


def test_the_plan_of_a_migration(books: Project, snapshot: SnapshotAssertion) -> None:
    for version in ("001", "002"):
        assert books.run("migrate", "show", version).out == snapshot(name=version)
        document = books.run("migrate", "show", version, "--format", "json").json
        assert document == snapshot(name=f"{version}, JSON")
    assert books.run("migrate", "show", "002", "--down").out == snapshot(name="002, down")


def test_where_a_database_stands(books: Project, snapshot: SnapshotAssertion) -> None:
    books.environ["TZ"] = "UTC"
    assert steady(books.run("migrate", "status").out) == snapshot(name="before")
    books.run("migrate", "up", "--to", "1")
    assert steady(books.run("migrate", "status").out) == snapshot(name="midway")
    assert steady_json(books.run("migrate", "status", "--format", "json").json) == snapshot(name="midway, JSON")
    books.run("migrate", "up")
    assert steady(books.run("migrate", "status").out) == snapshot(name="after")
    books.migration("001_customers", FIRST.replace("size: 1234", "size: 1235"))
    drift = books.run("migrate", "status", expect=7)
    assert drift.err == snapshot(name="drift")


def in_a_terminal(project: Project, columns: int, *arguments: str) -> str:
    """What a command writes to a terminal of so many columns, control characters included."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {**project.environment, "TERM": "xterm-256color"}
    process = subprocess.Popen(
        project.command(*arguments), cwd=project.root, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    written = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        written += piece
    os.close(ours)
    process.wait()
    return written.decode()


COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3\d|9\d|38;5;\d+)m")


@pytest.mark.parametrize("columns", [120, 80, 50, 40])
def test_on_a_terminal_nothing_is_wider_than_it(books: Project, columns: int) -> None:
    books.migration("003_orders", FAILING.replace("every customer", "a very long name for a step, so every customer"))
    written = in_a_terminal(books, columns, "migrate", "up")
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written)
    lines = [line.rsplit("\r", 1)[-1] for line in plain.replace("\r\n", "\n").split("\n")]
    # where a mistake stands, and its line, are left whole for those who copy them
    long = [line for line in lines if len(line) > columns and "-->" not in line and " | " not in line]
    assert not long
    for word in ("Rows", "Time", "Result", "1,234", "failed"):
        assert any(word in line for line in lines), f"{word} is cut\n{plain}"
    assert COLOUR.search(written)


def test_the_clock_stays_visible_beside_a_long_name(shop_18: Project) -> None:
    name = "a step whose name is longer than most terminals are wide, and goes on and on and on"
    shop_18.migration("001_a", f"ddl: [{{name: '{name}', sql: SELECT pg_sleep(0.5)}}]")
    written = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", in_a_terminal(shop_18, 60, "migrate", "up"))
    assert re.search(r"001 ddl: a step [^\r\n]*… .* 0/1 0:00:0\d", written)


def test_no_color_means_no_color(books: Project) -> None:
    books.environ["NO_COLOR"] = "1"
    for arguments in (("migrate", "up"), ("migrate", "status"), ("migrate", "show", "001"), ("migrate", "show", "9")):
        assert not COLOUR.search(in_a_terminal(books, 80, *arguments))


def test_nothing_but_text_goes_into_a_pipe(books: Project) -> None:
    books.migration("003_orders", FAILING)
    result = books.run("migrate", "up", expect=1)
    assert "\x1b" not in result.out + result.err
    assert "\r" not in result.out + result.err


def test_markup_in_names_is_left_as_it_is(shop_18: Project) -> None:
    steps = "ddl: [{name: '[bold]b[/bold] [/x] :key:', sql: SELECT 1}]"
    shop_18.migration("001_a", f"name: '[red]a[/red]'\ndescription: '[/y]'\n{steps}")
    for arguments in (("up",), ("status",), ("show", "001")):
        assert "[red]a[/red]" in shop_18.run("migrate", *arguments).out
    assert "[bold]b[/bold] [/x] :key:" in shop_18.run("migrate", "show", "001").out
    shop_18.migration("002_b", "name: '[/b]'\nddl: [{name: '[/c]', sql: 'SELECT 1/0 AS \"[/d]\"'}]")
    failed = shop_18.run("migrate", "up", expect=4)
    assert "[/c]" in failed.out
    assert "[/d]" in failed.err
    written = in_a_terminal(shop_18, 80, "migrate", "up")
    assert "[/c]" in written


def test_long_lines_are_cut_around_the_mistake(project: Project) -> None:
    project.environ["COLUMNS"] = "80"
    project.migration("001_a", f"ddl: [{{sql: \"SELECT '{'日' * 300}', FROM x, '{'b' * 500}'\"}}]")
    _, place, excerpt, pointer, _ = project.run("migrate", "validate", expect=2).err.splitlines()
    assert place == "  --> migrations/001_a.yaml:1:325"
    assert excerpt.startswith(" 1 | …")
    assert excerpt.endswith("…")
    before = excerpt[: excerpt.index("FROM")]
    # each of these letters is two columns wide
    assert pointer.index("^") == len(before) + before.count("日")


# For machines


def test_the_document_of_a_run(books: Project, snapshot: SnapshotAssertion) -> None:
    assert steady_json(books.run("migrate", "up", "--format", "json").json) == snapshot(name="up")
    assert steady_json(books.run("migrate", "up", "--format", "json").json) == snapshot(name="nothing to do")
    books.migration("003_orders", FAILING)
    assert steady_json(books.run("migrate", "up", "--format", "json", expect=1).json) == snapshot(name="failed check")
    assert steady_json(books.run("migrate", "down", "--format", "json").json) == snapshot(name="down")


def test_the_document_of_mistakes(project: Project, snapshot: SnapshotAssertion) -> None:
    project.migration("001_a", "ddl: [{sql: SELECT 1}]")
    assert project.run("migrate", "validate", "--format", "json").json == snapshot(name="none")
    project.migration("002_b", "dll: []\nddl: [{sql: SELECT 1}]")
    project.migration("003_c", "ddl:\n  - sql: |\n      SELECT 'é';\n      SELEC")
    for command in (("migrate", "validate"), ("migrate", "up"), ("migrate", "status"), ("migrate", "show", "001")):
        result = project.run(*command, "--format", "json", expect=2)
        assert result.err == "", "all of it is in the document"
        assert result.json == snapshot(name="mistakes")


@pytest.mark.parametrize("workspace", ["..", ".", "migrations", None])
def test_annotations_for_github(books: Project, snapshot: SnapshotAssertion, workspace: str | None) -> None:
    if workspace:
        books.environ["GITHUB_WORKSPACE"] = str((books.root / workspace).resolve())
    books.migration("003_orders", FAILING)
    result = books.run("migrate", "up", "--format", "github", expect=1)
    (annotation,) = [line for line in result.out.splitlines() if line.startswith("::")]
    assert annotation.replace(books.root.name, "PROJECT") == snapshot


def test_annotations_hold_to_the_rules_of_github(project: Project, snapshot: SnapshotAssertion) -> None:
    """One command a line; what would end a property or a line is escaped."""
    project.migration("001_a,b:c%d", "dll: 1\nddl: [{sql: '100% é'}]\n")
    out = project.run("migrate", "validate", "--format", "github", expect=2).out
    assert out == snapshot
    assert all(line.startswith("::error file=") for line in out.splitlines())


def test_annotations_point_into_the_repository_from_below_the_project(project: Project) -> None:
    project.write("confiture.yaml", "databse: 1\n")
    below = Project(project.root / "schemas", {"GITHUB_WORKSPACE": str(project.root.parent)})
    out = below.run("migrate", "validate", "--format", "github", expect=2).out
    assert out.startswith(f"::error file={project.root.name}/confiture.yaml,line=1,col=1,")


def test_junit(books: Project, snapshot: SnapshotAssertion) -> None:
    books.migration("003_orders", FAILING)
    out = books.run("migrate", "up", "--format", "junit", expect=1).out
    assert re.sub(r'time="[\d.]+"', 'time="1.500"', out) == snapshot
    suites = ElementTree.fromstring(out).findall("testsuite")
    for suite in suites:
        cases = suite.findall("testcase")
        assert suite.get("tests") == str(len(cases))
        assert suite.get("failures") == str(len([case for case in cases if case.find("failure") is not None]))


def test_junit_of_files(project: Project, snapshot: SnapshotAssertion) -> None:
    project.migration("001_a", "ddl: [{sql: SELECT 1}]")
    assert project.run("migrate", "validate", "--format", "junit").out == snapshot(name="valid")
    project.migration("002_b", "dll: []\nddl: [{sql: SELECT '<&>\"'}, {sql: 'SELEC <&>'}]")
    project.migration("003_c", "ddl: [{sql: 'SELEC <&>'}]")
    out = project.run("migrate", "validate", "--format", "junit", expect=2).out
    assert out == snapshot(name="mistakes")
    assert ElementTree.fromstring(out).find("testsuite").get("failures") == "3"  # type: ignore[union-attr]


@pytest.mark.parametrize("form", ["json", "junit"])
def test_stdout_holds_the_document_and_nothing_else(books: Project, form: str) -> None:
    """Even while the server says what it likes."""
    books.migration("003_noise", "ddl: [{sql: \"DO $$ BEGIN RAISE NOTICE 'noise'; END $$\"}]")
    for arguments in (("up", "--dry-run"), ("up",), ("down", "--dry-run")):
        out = books.run("migrate", *arguments, "--format", form, expect=None).out
        if form == "json":
            assert json.loads(out)["format"] == "confiture.run"
        else:
            assert ElementTree.fromstring(out).tag == "testsuites"


# Words


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (None, ""),
        (0, "0.0 ms"),
        (0.44, "0.4 ms"),
        (9.94, "9.9 ms"),
        (9.96, "10 ms"),
        (999.4, "999 ms"),
        (999.6, "1.0 s"),
        (59_940, "59.9 s"),
        (59_960, "1 min 00 s"),
        (185_000, "3 min 05 s"),
        (3_599_600, "1 h 00 min"),
        (96_000_000, "26 h 40 min"),
    ],
)
def test_durations_in_words(milliseconds: float | None, text: str) -> None:
    assert format_duration(milliseconds) == text


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("0", 0), ("500ms", 500), (" 2s ", 2_000), ("1.5 min", 90_000), ("1h", 3_600_000), ("0.5ms", 0), ("1.5ms", 2)],
)
def test_durations_are_read_in_every_unit(text: str, milliseconds: int) -> None:
    assert parse_duration_ms(text) == milliseconds
    assert parse_duration_ms(duration_literal(milliseconds)) == milliseconds


@pytest.mark.parametrize("text", ["", "2", "s", "-1s", "2 days", "1e3s", "2s 3s", ".5s"])
def test_what_is_no_duration_has_none(text: str) -> None:
    assert parse_duration_ms(text) is None


def test_a_duration_of_millions_of_digits_is_read_at_once() -> None:
    assert parse_duration_ms("9" * 1_000_000 + "h") == parse_duration_ms("9" * 20 + "." + "9" * 1_000_000 + "h")


def test_the_command_line_waits_for_a_lock_as_long_as_the_engine() -> None:
    assert parse_duration_ms(DEFAULT_WAIT) == DEFAULT_LOCK_WAIT_MS


def test_counts_in_words() -> None:
    assert [pluralize(number, "row") for number in (0, 1, 2, 20_000)] == ["0 rows", "1 row", "2 rows", "20,000 rows"]
    assert [format_rows(number) for number in (None, 0, 1_234_567)] == ["", "0", "1,234,567"]
