"""Reading files: what is read, where it stands, and that no text whatever breaks the reader."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import (
    DoubleQuotedScalarString,
    FoldedScalarString,
    LiteralScalarString,
    PlainScalarString,
    SingleQuotedScalarString,
)

from confiture.errors import DiagnosticCollector, InputError, Span
from confiture.files.ddl import DdlFolders
from confiture.files.migration import read_migration
from confiture.files.settings import SettingsOverrides, load_settings
from confiture.models.migration import (
    CheckStep,
    ExpectedRows,
    ExpectedValue,
    FileStep,
    MigrationFile,
    Phase,
    SqlStep,
    StepWithSql,
)
from confiture.plan.project import load_project
from confiture.plan.step_kinds import MIGRATION_SCHEMA
from tests.support.paths import REPOSITORY

STEP = "ddl: [{sql: SELECT 1}]\n"


def read(root: Path, text: str, name: str = "001_a.yaml") -> MigrationFile:
    """The migration in a text that has no mistakes."""
    folders = DdlFolders(root=root, schemas=root / "schemas", migrations=root / "migrations")
    folders.migrations.mkdir(exist_ok=True)
    (folders.migrations / name).write_bytes(text.encode())
    problems = DiagnosticCollector()
    migration = read_migration(folders.migrations / name, folders, MIGRATION_SCHEMA, problems)
    assert not problems, list(problems)
    assert migration is not None
    return migration


def test_a_migration_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "a.sql.j2").write_text("SELECT 1")
    (tmp_path / "b.sql").write_text("SELECT 2")
    migration = read(
        tmp_path,
        """\
version: "7"
name: seven
description: |
  What it is for.
requires: [1, "002", 2.10]
vars: {count: 1_000, share: 1.50, on: true, nothing: ~, list: [a, {b: 0x10}], yes: yes}
before_validation:
  - name: it is so
    check: SELECT 1
    expect: {">=": 2.50}
    when: version == '7'
ddl: [a.sql.j2, {file: b.sql, timeout: 1.5s, lock_timeout: 0}]
after_validation: [{check: SELECT 1, expect: {rows: [[1, ~], x]}}]
down: [{sql: SELECT 3}]
""",
    )
    assert (migration.version, migration.name, migration.description) == ("7", "seven", "What it is for.")
    assert [(item.version, str(item.span)) for item in migration.requires] == [
        ("1", "migrations/001_a.yaml:5:12"),
        ("002", "migrations/001_a.yaml:5:16"),
        ("2.10", "migrations/001_a.yaml:5:22"),
    ]
    assert migration.variables == {
        "count": 1000,
        "share": Decimal("1.50"),
        "on": True,
        "nothing": None,
        "list": ["a", {"b": 16}],
        "yes": "yes",
    }
    assert str(migration.variables["share"]) == "1.50", "with the digits that were written"
    (check,) = migration.steps(Phase.BEFORE_VALIDATION)
    assert isinstance(check, CheckStep)
    assert check.expect == ExpectedValue(operator=">=", value=Decimal("2.50"))
    assert check.when is not None
    assert check.when.text == "version == '7'"
    template, file = migration.steps(Phase.DDL)
    assert isinstance(template, FileStep)
    assert isinstance(file, FileStep)
    assert (template.is_template, template.sql.text, template.name) == (True, "SELECT 1", "a.sql.j2")
    assert (file.is_template, file.sql.file.path, file.timeout_ms, file.lock_timeout_ms) == (False, "b.sql", 1500, 0)
    (rows,) = migration.steps(Phase.AFTER_VALIDATION)
    assert isinstance(rows, CheckStep)
    assert rows.expect == ExpectedRows(rows=((1, None), ("x",)))
    assert isinstance(migration.steps(Phase.DOWN)[0], SqlStep)


@pytest.mark.parametrize(
    ("file", "version", "name"),
    [
        ("001_a_b.yaml", "001", "a_b"),
        ("2024.10-x.yml", "2024.10", "x"),
        ("7.yaml", "7", "7"),
        ("10.a.yaml", "10", "a"),
        ("0012x.yaml", "0012", "x"),
    ],
)
def test_a_file_name_says_version_and_name(tmp_path: Path, file: str, version: str, name: str) -> None:
    migration = read(tmp_path, STEP, file)
    assert (migration.version, migration.name) == (version, name)


@pytest.mark.parametrize(
    ("written", "expected"),
    [("500ms", 500), ("2s", 2000), ("1.5min", 90_000), ("24 h", 86_400_000), ("0", 0), ("'0'", 0), ("0s", 0)],
)
def test_durations(tmp_path: Path, written: str, expected: int) -> None:
    migration = read(tmp_path, f"ddl: [{{sql: SELECT 1, timeout: {written}}}]\n")
    assert migration.steps(Phase.DDL)[0].timeout_ms == expected


def test_merged_keys_give_way_to_written_ones(tmp_path: Path) -> None:
    migration = read(
        tmp_path,
        "vars: &all {a: &s 1, <<: [{b: 2, a: 9}, {b: 3, c: *s}]}\nddl:\n"
        "  - &base {sql: SELECT 1, timeout: 1s, name: x}\n  - {<<: *base, name: y}\n",
    )
    assert migration.variables == {"a": 1, "b": 2, "c": 1}
    second = migration.steps(Phase.DDL)[1]
    assert (second.name, second.timeout_ms) == ("y", 1000)


def test_anchors_may_be_used_again(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    assert read(tmp_path, f"vars: {{a: &x 1, b: *x, c: &x 2, d: *x}}\n{STEP}").variables["d"] == 2
    assert not recwarn.list


def test_hidden_files_and_other_suffixes_are_no_migrations(tmp_path: Path) -> None:
    (tmp_path / "confiture.yaml").write_text("")
    (tmp_path / "migrations").mkdir()
    for name in (".003_x.yaml", "004_x.yaml.bak", "005_x.json", "001_a.yaml", "002_b.yml"):
        (tmp_path / "migrations" / name).write_text(STEP)
    (tmp_path / "migrations" / "006_folder.yaml").mkdir()
    project = load_project(load_settings(tmp_path, SettingsOverrides(), {}), {})
    assert [migration.version for migration in project.migrations] == ["001", "002"]


def test_ddl_is_looked_up_below_the_schemas_first(tmp_path: Path) -> None:
    (tmp_path / "schemas").mkdir()
    (tmp_path / "a.sql").write_text("SELECT 'root'")
    (tmp_path / "schemas" / "inside.sql").symlink_to(tmp_path / "a.sql")
    assert _sql(tmp_path, "a.sql") == "SELECT 'root'"
    assert _sql(tmp_path, "inside.sql") == "SELECT 'root'", "a link inside the project is fine"
    (tmp_path / "schemas" / "a.sql").write_text("SELECT 'schemas'")
    assert _sql(tmp_path, "a.sql") == "SELECT 'schemas'"


def test_schemas_may_lie_elsewhere(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    root.mkdir()
    elsewhere.mkdir()
    (elsewhere / "a.sql").write_text("SELECT 1")
    (root / "schemas").symlink_to(elsewhere)
    assert _sql(root, "a.sql") == "SELECT 1"


def _sql(root: Path, name: str) -> str:
    step = read(root, f"ddl: [{name}]\n").steps(Phase.DDL)[0]
    assert isinstance(step, StepWithSql)
    return step.sql.text


def test_later_settings_win(tmp_path: Path) -> None:
    (tmp_path / "confiture.yaml").write_text(
        "database: {url: file, retries: 1, lock_timeout: 1s}\nvars: {a: 1, b: 1}\n"
        "environments: {live: {database: {url: '{{env.LIVE}}', retries: 2}, vars: {b: 2}}}\n"
    )
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)

    def url(environ: dict[str, str], **overrides: Any) -> tuple[str, str]:
        database = load_settings(below, SettingsOverrides(**overrides), environ).database
        return database.url, database.url_from

    assert url({}) == ("file", "confiture.yaml")
    assert url({"LIVE": " live "}, environment="live") == ("live", "confiture.yaml")
    assert url({"CONFITURE_ENV": "live", "LIVE": "x"}) == ("x", "confiture.yaml")
    assert url({"DATABASE_URL": "d"}) == ("d", "DATABASE_URL")
    assert url({"DATABASE_URL": "d", "CONFITURE_DATABASE_URL": "c"}) == ("c", "CONFITURE_DATABASE_URL")
    assert url({"DATABASE_URL": "d", "CONFITURE_DATABASE_URL": "c"}, database="o") == ("o", "--database")
    live = load_settings(below, SettingsOverrides(environment="live"), {"LIVE": "x"})
    assert (live.root, live.variables) == (tmp_path, {"a": 1, "b": 2})
    assert (live.database.retries, live.database.lock_timeout_ms) == (2, 1000)
    other = tmp_path / "other.yaml"
    other.write_text("migrations: elsewhere\n")
    assert load_settings(below, SettingsOverrides(config=other), {}).migrations == tmp_path / "elsewhere"
    assert (
        load_settings(below, SettingsOverrides(), {"CONFITURE_CONFIG": str(other)}).migrations == tmp_path / "elsewhere"
    )


def test_the_rules_of_the_example_load_as_written() -> None:
    rules = load_settings(REPOSITORY, SettingsOverrides(), {}).linting.rules
    assert [rule.type for rule in rules] == [
        "requires_tenant_id",
        "requires_column",
        "naming_convention",
        "requires_primary_key",
        "requires_indexes_on_foreign_keys",
    ]
    assert (rules[1].tables, rules[1].exempt) == (("r_*",), ("r_static_*", "r_lookup_*"))
    assert rules[1].options == {"column": "tenant_id"}
    assert rules[2].options["static_prefix"] == "r_static_"


def test_settings_never_show_the_address(tmp_path: Path) -> None:
    (tmp_path / "confiture.yaml").write_text("database: {url: postgresql://me:s3cret@h/db}\n")
    assert "s3cret" not in repr(load_settings(tmp_path, SettingsOverrides(), {}))


# Whatever stands in a file

NASTY = st.sampled_from(
    [
        *(
            "ddl",
            "sql",
            "check",
            "expect",
            "file",
            "vars",
            "when",
            "name",
            "version",
            "requires",
            "down",
            "<<",
            "a.sql",
        ),
        *(
            ": ",
            "- ",
            "\n",
            "\n  ",
            "\n    ",
            "[",
            "]",
            "{",
            "}",
            ",",
            "|",
            ">",
            "|2",
            ">-",
            "&a ",
            "*a",
            "!x ",
            "!!str ",
            "#",
        ),
        *(
            "'",
            '"',
            "\\",
            "\\ud800",
            "\\0",
            "%YAML 1.1\n",
            "---\n",
            "...",
            "~",
            "0x_",
            "._",
            "1e999",
            ".nan",
            "é",
            "日",
            "😀",
        ),
        *(
            "{{ ",
            " }}",
            "{% for x in [1] %}",
            "{% endfor %}",
            "{% if",
            "{#",
            "#}",
            "x",
            "SELECT 1",
            ";",
            "$$",
            "/*",
            "--",
        ),
        *("\t", "\r", "\r\n", "\0", "\x85", "\u2028", "\ufeff", "\x1b", "BEGIN", "=", ">=", "? ", "@", "`"),
    ]
)
TEXTS = st.one_of(st.text(max_size=80), st.lists(NASTY, max_size=25).map("".join))


def loads_or_explains(root: Path, files: dict[str, str]) -> None:
    """Loads a project. What is wrong must be told, with a place inside a file and a next step."""
    for name in ("migrations", "schemas"):
        (root / name).mkdir(exist_ok=True)
    for path, text in {"confiture.yaml": "", **files}.items():
        (root / path).write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        load_project(load_settings(root, SettingsOverrides(), {}), {})
    except InputError as error:
        assert error.diagnostics
        for diagnostic in error.diagnostics:
            assert diagnostic.message.strip()
            assert diagnostic.hint, diagnostic
            if diagnostic.span:
                assert_inside(root, diagnostic.span)


def assert_inside(root: Path, span: Span) -> None:
    text = (root / span.path).read_bytes().decode("utf-8-sig", "replace").replace("\r\n", "\n")
    lines = text.split("\n")
    assert 1 <= span.line <= len(lines), span
    assert 1 <= span.column <= len(lines[span.line - 1]) + 1, span


@given(text=TEXTS)
@example(text="a:\n- b\n -\t")
@example(text="? ")
@example(text="ddl:\n  - sql: >+\n\n\n      {{ x")
def test_no_text_breaks_a_migration(tmp_path: Path, text: str) -> None:
    loads_or_explains(tmp_path, {"migrations/001_a.yaml": text})


@given(text=TEXTS)
def test_no_text_breaks_the_settings(tmp_path: Path, text: str) -> None:
    (tmp_path / "migrations").mkdir(exist_ok=True)
    (tmp_path / "migrations" / "001_a.yaml").write_text(STEP)
    loads_or_explains(tmp_path, {"confiture.yaml": text})


@given(text=TEXTS, suffix=st.sampled_from([".sql", ".sql.j2"]))
@example(text="\r0{#", suffix=".sql.j2")
def test_no_text_breaks_a_ddl_file(tmp_path: Path, text: str, suffix: str) -> None:
    loads_or_explains(tmp_path, {"migrations/001_a.yaml": f"ddl: [a{suffix}]\n", f"schemas/a{suffix}": text})


STYLES = {
    "|": LiteralScalarString,
    ">": FoldedScalarString,
    "'": SingleQuotedScalarString,
    '"': DoubleQuotedScalarString,
    "plain": PlainScalarString,
}


@given(
    text=st.lists(
        st.sampled_from(["SELECT 1;", " ", "\n", "'é日'", '"a"', "\\", "x", "  ", "{{ 1 }}", "\t", ": "]), max_size=30
    )
    .map("".join)
    .filter(str.strip),
    style=st.sampled_from(list(STYLES.values())),
    width=st.integers(10, 80),
)
def test_every_character_of_a_scalar_is_found_in_its_file(tmp_path: Path, text: str, style: type, width: int) -> None:
    """However a text is written, each visible character is placed where it stands."""
    yaml = YAML()
    yaml.width = width
    target = tmp_path / "migrations" / "001_a.yaml"
    target.parent.mkdir(exist_ok=True)
    with target.open("w", encoding="utf-8") as file:
        yaml.dump({"ddl": [{"name": "x", "sql": style(text)}]}, file)
    written = target.read_text(encoding="utf-8")
    (step,) = read(tmp_path, written).steps(Phase.DDL)
    assert isinstance(step, StepWithSql)
    if step.sql.text != text:
        return  # the writer cannot write every text in every style
    lines = written.split("\n")
    for number, line in enumerate(step.sql.text.split("\n")):
        for column, character in enumerate(line):
            if character.isspace():
                continue
            span = step.sql.span_at(number, column)
            found = lines[span.line - 1][span.column - 1 :]
            assert re.match(rf"{re.escape(character)}|\\{re.escape(character)}|\\[xuU]", found), (span, written)
