"""Files that are large or deep end in a message, not in a crash, nor in hours."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from google.protobuf.message import DecodeError

from confiture.sql.parser import check_depth
from confiture.text import excerpt_part
from tests.support.projects import Project, Result

STEP = "ddl: [{sql: SELECT 1}]\n"
ALIASES = "".join(f"  a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))
MERGES = "".join(f"  a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}], y{n}: 1}}\n" for n in range(1, 40))

YAML = {
    "aliases of aliases": (f"vars:\n  a0: &a0 [x, x]\n{ALIASES}{STEP}", "more than 100,000 values"),
    "merges of merges": (f"vars:\n  a0: &a0 {{x: 1}}\n{MERGES}{STEP}", "more than 100,000 values"),
    "brackets": ("vars: {a: " + "[" * 100_000 + "]" * 100_000 + "}\n" + STEP, "nested too deeply"),
    "brackets without an end": ("vars: {a: " + "[" * 100_000, "nested too deeply"),
    "braces": ("vars: " + "{a: " * 100_000 + "}" * 100_000 + "\n" + STEP, "nested too deeply"),
    "brackets, not quite as deep": ("vars: {a: " + "[" * 900 + "]" * 900 + "}\n" + STEP, "more than 50 levels"),
    "lists in one line": ("vars:\n  a:\n    " + "- " * 100_000 + "x\n" + STEP, "nested too deeply"),
    "keys of keys": ("? " * 100_000 + "x\n", "nested too deeply"),
    "lines": ("vars:\n" + "".join(" " * n + "a:\n" for n in range(1, 1_500)) + STEP, "nested too deeply"),
    "keys": ("vars:\n" + "".join(f"  k{n}: 1\n" for n in range(160_000)) + STEP, "too many values"),
    "values in one line": ("vars: {a: [" + "1," * 300_000 + "]}\n" + STEP, "too many values"),
    "documents": ("---\n" * 200_000, "too many values"),
    "long key": ("x" * 1_000_000 + ": 1\n" + STEP, "not valid YAML"),
    "long tag": ("!" + "x" * 1_000_000 + " a: 1\n" + STEP, "not valid YAML"),
    "unknown key": ("x" * 1_000 + ": 1\n" + STEP, "unknown key 'xxx"),
    "anchors of one name": ("vars:\n" + "".join(f"  k{n}: &a 1\n" for n in range(10_000)) + STEP, None),
    "long text in one line": ("ddl:\n  - sql: SELECT '" + "x" * 2_000_000 + "'\n", None),
    "long text in quotes": ("ddl:\n  - sql: \"SELECT '" + "x" * 2_000_000 + "'\"\n", None),
    "long comment": ("#" + "x" * 2_000_000 + "\n" + STEP, None),
    "long name of an alias": ("vars: {a: &" + "a" * 300_000 + " 1}\n" + STEP, None),
}


def errors_by_file(result: Result) -> dict[str, str]:
    """Each error in one line, by the file that it is in."""
    blocks = [" ".join(block.split()) for block in result.err.split("\n\n") if " --> " in block]
    return {block.partition(" --> ")[2].partition(":")[0]: block for block in blocks}


def test_yaml(project: Project) -> None:
    # one process for all files: to start it takes longer than most of them do
    paths = {name: f"migrations/{number:03}_a.yaml" for number, name in enumerate(YAML, start=1)}
    for name, (text, _) in YAML.items():
        (project.root / paths[name]).write_text(text)
    result = project.bounded("migrate", "validate", expect=2)
    errors = errors_by_file(result)
    assert errors.keys() == {paths[name] for name, (_, message) in YAML.items() if message}
    for name, (_, message) in YAML.items():
        assert not message or (message in errors[paths[name]] and "next: " in errors[paths[name]]), name


def test_large_yaml_that_is_right(project: Project) -> None:
    for number, text in enumerate([text for text, message in YAML.values() if not message], start=1):
        (project.root / f"migrations/{number:03}_a.yaml").write_text(text)
    project.bounded("migrate", "validate", expect=0)


CHAINS = {
    "sum": ("SELECT 1", " + 1", ""),
    "texts": ("SELECT 'a'", " || 'a'", ""),
    "casts": ("SELECT 1", "::int", ""),
    "joins": ("SELECT 1 FROM a", " JOIN a ON true", ""),
    "joins with conditions": ("SELECT 1 FROM a", " JOIN a ON 1 = 1 AND true", ""),
    "natural joins": ("SELECT 1 FROM a", " natural join a", ""),
    "unions": ("SELECT 1", " UNION SELECT 1", ""),
    "unions of several columns": ("SELECT 1, 2", " UNION ALL SELECT 1, 2", ""),
    "null tests": ("SELECT 1", " IS NULL", ""),
    "null tests in a word": ("SELECT 1", " isnull", ""),
    "collations": ("SELECT 'a'", ' COLLATE "C"', ""),
    "time zones": ("SELECT now()", " AT TIME ZONE 'UTC'", ""),
    "operators of one's own": ("SELECT 1", " @#@ 1", ""),
    "in a default": ("CREATE TABLE a (b int DEFAULT 1", " + 1", ")"),
}
NESTED = {
    "brackets": ("SELECT ", "(", "1", ")"),
    "negations": ("SELECT ", "NOT ", "true", ""),
    "signs": ("SELECT ", "- ", "1", ""),
    "cases": ("SELECT ", "CASE WHEN true THEN ", "1", " END"),
    "queries": ("SELECT ", "(SELECT ", "1", ")"),
    "arrays": ("SELECT ", "ARRAY[", "1", "]"),
    "calls": ("SELECT ", "f(", "1", ")"),
}
TOO_DEEP = {
    **{name: begin + link * 50_000 + end for name, (begin, link, end) in CHAINS.items()},
    **{
        f"nested {name}": begin + left * 25_000 + a + right * 25_000 for name, (begin, left, a, right) in NESTED.items()
    },
    "nested comments": "/*" * 25_000 + "*/" * 25_000 + " SELECT 1",
    "nested comments without an end": "SELECT 1 " + "/*" * 25_000,
}


def write_steps(project: Project, texts: Iterable[str]) -> list[str]:
    """A migration with a file for each text; the files."""
    names = []
    for number, sql in enumerate(texts):
        names.append(f"{number:02}.sql")
        project.ddl(names[-1], sql)
    project.migration("001_a", f"ddl: [{', '.join(names)}]")
    return [f"schemas/{name}" for name in names]


def test_sql_that_is_too_deep(project: Project) -> None:
    files = write_steps(project, TOO_DEEP.values())
    result = project.bounded("migrate", "validate", expect=2)
    errors = errors_by_file(result)
    assert sorted(errors) == files
    for name, file in zip(TOO_DEEP, files, strict=True):
        assert "the SQL is nested too deeply" in errors[file], name
        assert f"--> {file}:1:" in errors[file], name


@pytest.mark.parametrize(
    "sql",
    [
        pytest.param("SELECT 1" + " + 1" * 50_000, id="statement"),
        pytest.param(
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT 1" + " + 1" * 50_000 + " $$", id="function"
        ),
    ],
)
def test_lint_survives_sql_that_is_too_deep(project: Project, sql: str) -> None:
    project.ddl("a.sql", sql)
    result = project.bounded("lint")
    assert result.code in (0, 1), (result.code, result.err[-1_000:])


def test_sql_that_is_not(project: Project) -> None:
    write_steps(project, [begin + link * 2_000 + end for begin, link, end in CHAINS.values()])
    project.bounded("migrate", "validate", expect=0)


@pytest.mark.parametrize(
    "sql",
    [
        pytest.param("INSERT INTO a VALUES " + ", ".join(["(1 + 1, -1, 'a' || 'b')"] * 20_000), id="rows"),
        pytest.param("SELECT 1 + 1;\n" * 20_000, id="statements"),
        pytest.param("SELECT CASE" + " WHEN a = 1 THEN 'b'::text" * 20_000 + " END", id="cases"),
        pytest.param("SELECT " + " AND ".join(["a = 1"] * 20_000), id="conditions"),
        pytest.param("SELECT '" + "+" * 20_000 + "'", id="text"),
        pytest.param("-- " + "+" * 20_000 + "\nSELECT 1", id="comment"),
        pytest.param("SELECT ARRAY[" + ", ".join(["1 + 1"] * 20_000) + "]", id="array"),
        pytest.param("SELECT (1 + 1) " + ", (1 + 1)" * 20_000, id="brackets"),
        pytest.param("SELECT 1 /* a */;" * 20_000, id="comments"),
        pytest.param("/*" * 400 + "*/" * 400 + " SELECT 1", id="comments in comments"),
        pytest.param("SELECT " + "'a/*', E'\\'/*', \"/*\", $$/*$$, $a$/*$a$, -- /*\n" * 1_000 + "1", id="no comments"),
    ],
)
def test_long_sql_is_not_taken_for_deep(sql: str) -> None:
    check_depth(sql)


def test_a_chain_goes_on_behind_brackets() -> None:
    with pytest.raises(DecodeError):
        check_depth("SELECT 1" + " + (1, 2)" * 6_000)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"SELECT 1;\0" * 10, "U+0000", id="NUL"),
        pytest.param("SELECT 1;".encode("utf-16"), "not UTF-8", id="UTF-16 with a mark"),
        pytest.param("SELECT 1;".encode("utf-16-le"), "U+0000", id="UTF-16 without a mark"),
        pytest.param("SELECT 1;".encode("utf-32"), "not UTF-8", id="UTF-32"),
        pytest.param(b"\xef\xbb\xbfSELECT 1;", None, id="byte order mark"),
        pytest.param(b"SELECT 1;" + b" " * 4_000_000, None, id="long line"),
        pytest.param(b"SELECT '" + b"x" * 4_000_000 + b"';", None, id="long text"),
    ],
)
def test_sql_files(project: Project, content: bytes, message: str | None) -> None:
    (project.root / "schemas/a.sql").write_bytes(content)
    project.migration("001_a", "ddl: [a.sql]")
    result = project.bounded("migrate", "validate")
    assert result.code == (2 if message else 0), result.err[-1_000:]
    assert not message or message in result.err


def test_circles_of_requirements_are_all_told(project: Project) -> None:
    count = 600
    for number in range(count):
        text = f"requires: ['{number ^ 1:04}', '{(number + 2) % count:04}']\n{STEP}"
        (project.root / f"migrations/{number:04}_a.yaml").write_text(text)
    result = project.bounded("migrate", "validate", expect=2)
    assert result.err.count("error[circular-requirement]") >= count // 2
    assert max(map(len, result.err.splitlines())) < 1_000


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_long_line_is_shown_in_part(project: Project, form: str) -> None:
    project.migration("001_a", "ddl: [" + ", ".join(f"x{n}.sql" for n in range(50)) + f", {'x' * 1_000_000}.sql]\n")
    result = project.bounded("migrate", "validate", "--format", form, expect=2)
    assert len(result.out + result.err) < 1_100_000  # the name itself is told once
    assert "x25.sql, x26.sql" in result.out + result.err
    assert "…" in result.out + result.err


@pytest.mark.parametrize("column", [1, 80, 500, 2_000])
def test_an_excerpt_surrounds_its_column(column: int) -> None:
    line = "".join(chr(0x4E00 + n) for n in range(2_000))
    part = excerpt_part(line, column)
    assert part is not None
    assert line[column - 1] in part
    assert len(part) <= 162
    assert (part.startswith("…"), part.endswith("…")) == (column > 81, column < 1_900)
    assert excerpt_part(line[:1_000], column) == line[:1_000]
