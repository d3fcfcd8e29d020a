"""Fingerprints and the files that carry them are wire forms: these values must not change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from confiture.errors import Span
from confiture.files.access import ANYWHERE, write_file
from confiture.files.settings import SettingsOverrides, load_settings
from confiture.lint.baseline import baseline_text, drop_known, read_baseline
from confiture.lint.fingerprints import fingerprint_v1, fingerprint_v2
from confiture.lint.fixes import apply_fixes
from confiture.lint.registry import built_in_rules
from confiture.models.findings import Finding
from confiture.models.records import replace
from confiture.output.ci.gitlab import code_quality
from confiture.output.ci.sarif import sarif_document
from confiture.output.json.objects import finding_object
from tests.support.linting import INDEX, KEY, lint, settings
from tests.support.projects import Project

STATEMENT = "CREATE INDEX w_orders_idx ON w_orders (tenant_id)"
IN_A_MIGRATION = Finding(
    rule=INDEX,
    severity="error",
    message="CREATE INDEX blocks writes to w_orders",
    span=Span(path="migrations/001_a.yaml", line=3, column=7),
    relation="w_orders",
    statement=STATEMENT,
)
IN_A_SCHEMA_FILE = Finding(
    rule="requires_indexes_on_foreign_keys",
    severity="warning",
    message="no index of é.w_lines begins with order_id",
    span=Span(path="schemas/é.sql", line=1),
    relation="é.w_lines",
    subject="order_id",
)
IN_A_DATABASE = replace(IN_A_SCHEMA_FILE, span=None)
BARE = Finding(rule=KEY, severity="warning", message="w_a has no primary key")
GOLDEN = {
    "migration": (IN_A_MIGRATION, "b8778af33826de8f", "52a3c7d0dcb6da7d"),
    "schema file": (IN_A_SCHEMA_FILE, "1d1056f9db4e6b0b", "fcae6d99a3a400b3"),
    "database": (IN_A_DATABASE, "cd1b7b83e4a51be8", "7c6cd7f599258d2b"),
    "bare": (BARE, "02e9c95672123084", "549e0ce4b5ac5f7c"),
}


@pytest.mark.parametrize(("finding", "version_1", "version_2"), GOLDEN.values(), ids=GOLDEN)
def test_a_finding_keeps_its_fingerprints(finding: Finding, version_1: str, version_2: str) -> None:
    assert (fingerprint_v1(finding), fingerprint_v2(finding)) == (version_1, version_2)


ALIKE = {
    "another message": {"message": "an index is built while writers wait"},
    "other words around": {"effect": "E.", "hint": "h", "remedy": "SELECT 1", "severity": "info", "excerpt": "x"},
    "another line": {"span": Span(path="migrations/001_a.yaml", line=30), "lines": (30, 31)},
    "another migration runs it": {"migration": "007"},
    "a renamed rule": {"rule": "index_creation_blocks", "stable_rule": INDEX},
    "white space": {"statement": STATEMENT.replace(" ", "\n\t ")},
    "comments": {"statement": f"/* a */ {STATEMENT.replace('ON', '-- b' + chr(10) + 'ON')} -- confiture: ignore x"},
}


@pytest.mark.parametrize("changes", ALIKE.values(), ids=ALIKE)
def test_version_2_does_not_depend_on(changes: dict[str, Any]) -> None:
    assert fingerprint_v2(replace(IN_A_MIGRATION, **changes)) == fingerprint_v2(IN_A_MIGRATION)


DIFFERENT: dict[str, dict[str, Any]] = {
    "rule": {"rule": KEY},
    "file": {"span": Span(path="migrations/002_a.yaml", line=3, column=7)},
    "no file": {"span": None},
    "relation": {"relation": "w_order"},
    "no relation": {"relation": None},
    "subject": {"subject": "w_orders_idx"},
    "subject in place of the relation": {"relation": None, "subject": "w_orders"},
    "statement": {"statement": STATEMENT.replace("tenant_id", "id")},
    "white space in a text": {"statement": f"{STATEMENT} WHERE a = 'x  y'"},
    "no statement": {"statement": None},
}


def test_version_2_depends_on_each_of_its_parts() -> None:
    findings = [IN_A_MIGRATION, *(replace(IN_A_MIGRATION, **changes) for changes in DIFFERENT.values())]
    assert len(set(map(fingerprint_v2, findings))) == len(findings)
    one_space = replace(IN_A_MIGRATION, statement=f"{STATEMENT} WHERE a = 'x y'")
    assert fingerprint_v2(one_space) not in set(map(fingerprint_v2, findings))


def test_version_1_depends_on_the_message() -> None:
    assert fingerprint_v1(replace(IN_A_MIGRATION, message="reworded")) != fingerprint_v1(IN_A_MIGRATION)
    assert fingerprint_v1(replace(IN_A_MIGRATION, statement=None)) == fingerprint_v1(IN_A_MIGRATION)


def test_reports_carry_them() -> None:
    (run,) = sarif_document([IN_A_MIGRATION], built_in_rules(), Path("/p"), {})["runs"]
    version_1, version_2 = GOLDEN["migration"][1:]
    assert run["results"][0]["partialFingerprints"] == {"confiture/v1": version_1, "confiture/v2": version_2}
    (issue,) = json.loads(code_quality([IN_A_MIGRATION], Path("/p"), {}))
    assert issue["fingerprint"] == version_2
    told = finding_object(IN_A_MIGRATION)
    assert (told["fingerprint"], told["fingerprint_v2"]) == (version_1, version_2)


# baselines

VERSION_2 = """\
{
  "format": "confiture.baseline",
  "version": 2,
  "findings": [
    {
      "fingerprint": "52a3c7d0dcb6da7d",
      "count": 2,
      "rule": "create_index_blocking",
      "file": "migrations/001_a.yaml",
      "relation": "w_orders",
      "subject": null,
      "message": "CREATE INDEX blocks writes to w_orders"
    },
    {
      "fingerprint": "7c6cd7f599258d2b",
      "count": 1,
      "rule": "requires_indexes_on_foreign_keys",
      "file": null,
      "relation": "é.w_lines",
      "subject": "order_id",
      "message": "no index of é.w_lines begins with order_id"
    }
  ]
}
"""


def test_a_baseline_of_version_2_is_written_and_read(tmp_path: Path) -> None:
    text = baseline_text([IN_A_MIGRATION, IN_A_DATABASE, replace(IN_A_MIGRATION, message="another")])
    assert text == VERSION_2
    (tmp_path / "known.json").write_text(text)
    baseline = read_baseline(tmp_path / "known.json", tmp_path, ANYWHERE, built_in_rules())
    reworded = replace(IN_A_MIGRATION, message="reworded")
    elsewhere = replace(IN_A_MIGRATION, statement="CREATE INDEX other ON w_orders (id)")
    findings = [elsewhere, reworded, IN_A_MIGRATION, IN_A_DATABASE, IN_A_SCHEMA_FILE, reworded]
    assert drop_known(findings, baseline) == (elsewhere, IN_A_SCHEMA_FILE, reworded)


def version_1(*findings: Finding, count: int = 1) -> str:
    """The file that the first version of Confiture wrote."""
    entries = [
        {
            "fingerprint": fingerprint_v1(finding),
            "count": count,
            "rule": finding.rule,
            "file": finding.span.path if finding.span else None,
            "relation": finding.relation,
            "message": finding.message,
        }
        for finding in findings
    ]
    return json.dumps({"format": "confiture.baseline", "version": 1, "findings": entries})


def test_a_baseline_of_version_1_knows_by_rule_file_relation_and_count(tmp_path: Path) -> None:
    other = replace(IN_A_MIGRATION, message="another")
    (tmp_path / "known.json").write_text(version_1(IN_A_MIGRATION, other, IN_A_DATABASE))
    baseline = read_baseline(tmp_path / "known.json", tmp_path, ANYWHERE, built_in_rules())
    reworded = [replace(IN_A_MIGRATION, message=f"reworded {number}") for number in range(3)]
    assert drop_known([*reworded, IN_A_SCHEMA_FILE], baseline) == (reworded[2], IN_A_SCHEMA_FILE)
    assert drop_known([replace(IN_A_DATABASE, message="reworded")], baseline) == ()
    # those whose messages it has are the known ones
    assert drop_known([reworded[0], other, IN_A_MIGRATION], baseline) == (reworded[0],)


def test_a_baseline_of_version_1_is_replaced_by_version_2(project: Project) -> None:
    project.ddl("a.sql", "CREATE TABLE w_a (id int);\nCREATE TABLE w_b (id int);\n")
    settings(project, "{baseline: known.json}")
    first, _ = lint(project, KEY).findings
    (project.root / "known.json").write_text(version_1(replace(first, message="worded as it was")))
    shown = project.run("lint", "--rule", KEY, "--format", "json").json
    assert ([one["relation"] for one in shown["findings"]], shown["known"]) == (["w_b"], 1)
    project.run("lint", "--rule", KEY, "--write-baseline")
    written = json.loads((project.root / "known.json").read_text())
    assert (written["version"], [one["relation"] for one in written["findings"]]) == (2, ["w_a", "w_b"])
    assert project.run("lint", "--rule", KEY, "--format", "json").json["known"] == 2
    assert sorted(path.name for path in project.root.iterdir() if "known" in path.name) == ["known.json"]


def test_findings_of_one_rule_on_one_table_are_told_apart(project: Project) -> None:
    """One of them fixed and another added is no known one."""
    rule = "requires_indexes_on_foreign_keys"
    table = "CREATE TABLE w_a (id int PRIMARY KEY);\nCREATE TABLE w_b (id int PRIMARY KEY, a int{}, b int{});\n"
    project.ddl("a.sql", table.format(" REFERENCES w_a", ""))
    project.run("lint", "--rule", rule, "--write-baseline", "--baseline", "known.json")
    project.ddl("a.sql", table.format("", " REFERENCES w_a"))
    shown = project.run("lint", "--rule", rule, "--baseline", "known.json", "--format", "json", expect=None).json
    assert ([one["relation"] for one in shown["findings"]], shown["known"]) == (["w_b"], 0)


def test_broken_files_are_told_apart_by_the_line_and_not_by_the_message(project: Project) -> None:
    project.migration("001_a", "ddl: [{sql: SELECT 1, x: 1}, {sql: SELECT 1, y: 1}]")
    project.migration("002_b", "ddl:\n  - {sql: SELECT 1, x: 1}\n  - {sql: SELECT 1, y: 1}")
    findings = [one for one in lint(project).findings if one.rule == "unknown-key"]
    fingerprints = [fingerprint_v2(one) for one in findings]
    assert (len(findings), len(set(fingerprints))) == (4, 3)
    assert [fingerprint_v2(replace(one, message="reworded")) for one in findings] == fingerprints


# writing


@pytest.mark.parametrize("mode", [0o600, 0o664], ids=oct)
def test_a_file_is_replaced_whole_with_its_permissions(tmp_path: Path, mode: int) -> None:
    path, link = tmp_path / "a.json", tmp_path / "link.json"
    path.write_text("old")
    path.chmod(mode)
    link.symlink_to(path)
    write_file(link, "link.json", b"new", ANYWHERE)
    assert (path.read_bytes(), path.stat().st_mode & 0o777, link.is_symlink()) == (b"new", mode, True)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.json", "link.json"]


def test_what_is_not_a_file_is_not_replaced(project: Project) -> None:
    project.ddl("a.sql", "CREATE TABLE w_a (id int);\n")
    error = project.run("lint", "--write-baseline", "--baseline", "/dev/null", expect=2).err
    assert "not a regular file" in error
    assert Path("/dev/null").is_char_device()


def test_a_folder_that_is_not_there_is_an_error(project: Project) -> None:
    project.ddl("a.sql", "CREATE TABLE w_a (id int);\n")
    error = project.run("lint", "--write-baseline", "--baseline", "nowhere/a.json", expect=2).err
    assert "cannot write nowhere/a.json: no such file or directory" in error


def test_a_fix_is_judged_by_messages(project: Project) -> None:
    """A fix changes the statement; what else is found in it stays the same finding."""
    rules = """
import re
from confiture.lint.remedies.indexes import insert_text
from confiture.lint.rule import Example, Group, Hit, StatementRule

def fixable(subject):
    if re.search(r"bad\\b", subject.statement.text):
        behind = subject.statement.rendered.text.index("bad", subject.statement.offset) + 3
        yield Hit(place=subject.place, message="bad", edits=insert_text(subject.statement, behind, "_not"))

def always(subject):
    yield Hit(place=subject.place, message="a SELECT")

COMMON = dict(kinds=frozenset({"select_stmt"}), group=Group.SCHEMA, severity="error", summary="s", effect="E.",
              hint="h", bad=Example(sql=()), good=Example(sql=()))
RULES = [StatementRule(name="fixable", check=fixable, **COMMON), StatementRule(name="always", check=always, **COMMON)]
"""
    project.write("two_rules.py", rules)
    settings(project, "{plugins: two_rules}")
    project.ddl("a.sql", "SELECT bad;\n")
    project.migration("001_a", "ddl: [a.sql]")
    loaded = load_settings(project.root, SettingsOverrides(), {})
    fixes = apply_fixes(loaded, lambda: lint(project, "fixable", "always"), lambda _: True)
    assert ([one.rule for one in fixes.fixed], [one.rule for one in fixes.report.findings]) == (["fixable"], ["always"])
    assert (project.root / "schemas/a.sql").read_text() == "SELECT bad_not;\n"
