"""The forms of lint's result: each says the same, lines and columns count from 1, in the layout that readers want."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from confiture.errors import Span
from confiture.lint.fingerprints import fingerprint_v2
from confiture.lint.registry import built_in_rules
from confiture.lint.rule_docs import all_pages
from confiture.models.findings import Edit, Finding, LintReport
from confiture.models.settings import Severity
from confiture.output.ci.github import finding_commands
from confiture.output.ci.gitlab import code_quality
from confiture.output.ci.junit import findings_xml
from confiture.output.ci.markdown import findings_markdown
from confiture.output.ci.sarif import sarif_document
from confiture.output.json.lint import lint_document
from confiture.output.terminal.console import stdout_console
from confiture.output.terminal.findings import print_findings
from tests.support.linting import INDEX, KEY
from tests.support.paths import REPOSITORY
from tests.support.projects import Project

ROOT = Path("/repository/shop é")


_FAILING: tuple[Severity, ...] = ("error",)


def finding(path: str | None = "schemas/a,1.sql", line: int = 1, column: int = 1, **others: Any) -> Finding:
    values: dict[str, object] = {
        "rule": KEY,
        "severity": "error",
        "message": "w_a has no primary key: 100 %",
        "effect": "Rows cannot be told apart.",
        "hint": "add one",
        "remedy": "ALTER TABLE w_a\n  ADD PRIMARY KEY (id);",
        "relation": "w_a",
        "excerpt": "CREATE TABLE w_a (id int);",
        "span": Span(path=path, line=line, column=column) if path else None,
    }
    return Finding(**(values | others))  # type: ignore[arg-type]


FINDINGS = (
    finding(None, message="nowhere"),
    finding(edits=(Edit(path="schemas/a,1.sql", start=3, end=5, text="x"),)),
    finding(line=3, column=14, severity="warning", rule=INDEX),
    finding(line=3, column=14, severity="warning", rule=INDEX),
    finding("schemas/ü b.sql", 2, 1, severity="info", rule="sql-syntax", effect="", hint="", remedy=None),
)
REPORT = LintReport(findings=FINDINGS, files=12, statements=1_340, tables=3, rules=60, suppressed=2, known=1)


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_WORKSPACE", "/repository")
    monkeypatch.setenv("CI_PROJECT_DIR", "/repository")


ENVIRON = {"GITHUB_WORKSPACE": "/repository", "CI_PROJECT_DIR": "/repository"}


def test_text_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    print_findings(stdout_console(), REPORT, 412.4)
    assert capsys.readouterr().out == (
        """\
files
error[requires_primary_key]: nowhere
  Rows cannot be told apart.
  next: add one
  instead: ALTER TABLE w_a
             ADD PRIMARY KEY (id);

schemas/a,1.sql
error[requires_primary_key]: w_a has no primary key: 100 %
  --> schemas/a,1.sql:1:1
 1 | CREATE TABLE w_a (id int);
   | ^
  instead: ALTER TABLE w_a
             ADD PRIMARY KEY (id);
warning[create_index_blocking]: w_a has no primary key: 100 %
  --> schemas/a,1.sql:3:14
 3 | CREATE TABLE w_a (id int);
   |              ^
  Rows cannot be told apart.
  next: add one
  instead: ALTER TABLE w_a
             ADD PRIMARY KEY (id);
warning[create_index_blocking]: w_a has no primary key: 100 %
  --> schemas/a,1.sql:3:14
 3 | CREATE TABLE w_a (id int);
   |              ^
  instead: ALTER TABLE w_a
             ADD PRIMARY KEY (id);

schemas/ü b.sql
info[sql-syntax]: w_a has no primary key: 100 %
  --> schemas/ü b.sql:2:1
 2 | CREATE TABLE w_a (id int);
   | ^

2 errors, 2 warnings and 1 note in 12 files (1,340 statements, 3 tables) by 60 rules; 2 ignored by comments; """
        "1 in the baseline; 412 ms\n"
    )


def test_github_annotations() -> None:
    lines = finding_commands(FINDINGS, ROOT, ENVIRON).splitlines()
    assert len(lines) == len(FINDINGS)
    assert lines[0].startswith("::error title=confiture%3A requires_primary_key::nowhere%0A")
    assert lines[1] == (
        "::error file=shop é/schemas/a%2C1.sql,line=1,col=1,title=confiture%3A requires_primary_key::"
        "w_a has no primary key: 100 %25%0ARows cannot be told apart.%0Anext: add one%0A"
        "ALTER TABLE w_a%0A  ADD PRIMARY KEY (id);"
    )
    assert lines[2].startswith("::warning file=shop é/schemas/a%2C1.sql,line=3,col=14,")
    assert lines[4].startswith("::notice file=shop é/schemas/ü b.sql,line=2,col=1,")


def test_gitlab_s_code_quality() -> None:
    issues = json.loads(code_quality(FINDINGS, ROOT, ENVIRON))
    assert [(one["location"]["path"], one["location"]["lines"]["begin"], one["severity"]) for one in issues] == [
        ("shop é/confiture.yaml", 1, "critical"),
        ("shop é/schemas/a,1.sql", 1, "critical"),
        ("shop é/schemas/a,1.sql", 3, "major"),
        ("shop é/schemas/a,1.sql", 3, "major"),
        ("shop é/schemas/ü b.sql", 2, "info"),
    ]
    assert {"description", "check_name", "fingerprint", "severity", "location"} <= issues[0].keys()
    # GitLab drops all but one of those with one fingerprint
    assert len({one["fingerprint"] for one in issues}) == len(issues)
    assert issues[2]["fingerprint"] == fingerprint_v2(FINDINGS[2])


def test_json() -> None:
    document = lint_document(REPORT)
    assert (document["format"], document["version"], document["source"]) == ("confiture.lint", 1, "files")
    assert document["counts"] == {"error": 2, "warning": 2, "info": 1}
    assert [(one["file"], one["line"], one["column"]) for one in document["findings"]][:3] == [
        (None, None, None),
        ("schemas/a,1.sql", 1, 1),
        ("schemas/a,1.sql", 3, 14),
    ]
    assert [one["fixable"] for one in document["findings"]] == [False, True, False, False, False]
    json.dumps(document)


def test_junit() -> None:
    root = ElementTree.fromstring(findings_xml(REPORT, _FAILING))
    assert [(suite.get("name"), suite.get("tests"), suite.get("failures"), suite.get("skipped")) for suite in root] == [
        ("files", "1", "1", "0"),
        ("schemas/a,1.sql", "3", "1", "2"),
        ("schemas/ü b.sql", "1", "0", "1"),
    ]
    case = root.findall("testsuite")[1][0]
    assert (case.get("classname"), case.get("file"), case.get("line")) == (KEY, "schemas/a,1.sql", "1")
    assert "schemas/a,1.sql:1:1" in (case[0].text or "")
    assert case[0].tag == "failure"
    (suite,) = ElementTree.fromstring(findings_xml(LintReport(findings=()), _FAILING))
    assert [child.tag for child in suite[0]] == []


def test_markdown() -> None:
    text = findings_markdown(REPORT)
    assert "2 errors, 2 warnings and 1 note in 12 files." in text
    assert "| 3 | warning | `create_index_blocking` | w\\_a has no primary key: 100 % |" in text
    assert "#### schemas/ü b.sql" in text
    assert "- `requires_primary_key`: Rows cannot be told apart. Next: add one." in text
    assert text.endswith(
        """
#### Instead

- `requires_primary_key`, `schemas/a,1.sql:1:1` `requires_primary_key`, `schemas/a,1.sql:3:14` `create_index_blocking`

    ```sql
    ALTER TABLE w_a
      ADD PRIMARY KEY (id);
    ```

"""
    )
    assert findings_markdown(LintReport(findings=(), files=2)) == "### Confiture: lint\n\nNothing found in 2 files.\n"


def test_markdown_tells_effects_that_differ_apart() -> None:
    others: dict[str, Any] = {"remedy": None, "hint": ""}
    text = findings_markdown(
        LintReport(
            findings=(finding(**others), finding(line=4, effect="Reads wait.", **others), finding(line=9, **others))
        )
    )
    assert text.endswith(
        """
#### Why

- `requires_primary_key` (`schemas/a,1.sql:1:1`, `schemas/a,1.sql:9:1`): Rows cannot be told apart.
- `requires_primary_key` (`schemas/a,1.sql:4:1`): Reads wait.
"""
    )


# what SARIF 2.1.0 says of the objects that we write, sections 3.13 to 3.58; nothing else may stand there

_TEXT = {
    "type": "object",
    "required": ["text"],
    "additionalProperties": False,
    "properties": {"text": {"type": "string", "minLength": 1}},
}
_LEVEL = {"enum": ["none", "note", "warning", "error"]}
_FILE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["uri"],
    "properties": {
        "uri": {"type": "string", "format": "uri-reference", "pattern": r"^[!-~]+$"},
        "uriBaseId": {"type": "string"},
    },
}


def _object(required: list[str], **properties: object) -> dict[str, object]:
    return {"type": "object", "required": required, "additionalProperties": False, "properties": properties}


def _list(item: object) -> dict[str, object]:
    return {"type": "array", "minItems": 1, "items": item}


_REGION = _object(
    ["startLine"],
    startLine={"type": "integer", "minimum": 1},
    startColumn={"type": "integer", "minimum": 1},
    snippet=_object(["text"], text={"type": "string"}),
)
_REPLACEMENT = _object(
    ["deletedRegion"],
    deletedRegion=_object(
        ["charOffset", "charLength"],
        charOffset={"type": "integer", "minimum": 0},
        charLength={"type": "integer", "minimum": 0},
    ),
    insertedContent=_object(["text"], text={"type": "string"}),
)
_RULE = _object(
    ["id"],
    id={"type": "string"},
    shortDescription=_TEXT,
    fullDescription=_TEXT,
    help=_TEXT,
    defaultConfiguration=_object(["level"], level=_LEVEL),
    properties={"type": "object"},
)
_RESULT = _object(
    ["message", "ruleId", "ruleIndex"],
    ruleId={"type": "string"},
    ruleIndex={"type": "integer", "minimum": 0},
    level=_LEVEL,
    message=_TEXT,
    locations=_list(
        _object([], physicalLocation=_object(["artifactLocation"], artifactLocation=_FILE, region=_REGION))
    ),
    partialFingerprints={"type": "object", "additionalProperties": {"type": "string"}},
    fixes=_list(
        _object(
            ["artifactChanges"],
            description=_TEXT,
            artifactChanges=_list(
                _object(["artifactLocation", "replacements"], artifactLocation=_FILE, replacements=_list(_REPLACEMENT))
            ),
        )
    ),
)
_DRIVER = _object(
    ["name"], name={"type": "string"}, version={"type": "string"}, rules={"type": "array", "items": _RULE}
)
SARIF = _object(
    ["version", "runs"],
    **{"$schema": {"type": "string", "format": "uri"}, "version": {"const": "2.1.0"}},
    runs=_list(
        _object(
            ["tool"],
            tool=_object(["driver"], driver=_DRIVER),
            columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
            results={"type": "array", "items": _RESULT},
        )
    ),
)


@pytest.mark.parametrize("findings", [FINDINGS, ()], ids=["findings", "none"])
def test_sarif(findings: tuple[Finding, ...]) -> None:
    document = sarif_document(findings, built_in_rules(), ROOT, ENVIRON)
    Draft202012Validator(SARIF).validate(document)
    (run,) = document["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [rules[one["ruleIndex"]]["id"] for one in run["results"]] == [one.rule for one in findings]


def test_sarif_says_where(tmp_path: Path) -> None:
    (run,) = sarif_document(FINDINGS, built_in_rules(), ROOT, ENVIRON)["runs"]
    assert "locations" not in run["results"][0]
    place = run["results"][2]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "shop%20%C3%A9/schemas/a%2C1.sql", "uriBaseId": "%SRCROOT%"}
    assert (place["region"]["startLine"], place["region"]["startColumn"]) == (3, 14)
    assert [one["level"] for one in run["results"]] == ["error", "error", "warning", "warning", "note"]


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_sarif_fixes_count_the_characters_of_the_file(tmp_path: Path, line_end: str) -> None:
    text = "-- é\nSELECT a,\n  bad;\nSELECT bad;\n"
    (tmp_path / "a.sql").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", line_end).encode())
    ends = [match.end() for match in re.finditer("bad", text)]
    edits = (Edit(path="a.sql", start=ends[0] - 3, end=ends[1], text="x"), Edit(path="a.sql", start=0, end=0, text="y"))
    document = sarif_document([replace(FINDINGS[0], edits=edits)], built_in_rules(), tmp_path, ENVIRON)
    (change,) = document["runs"][0]["results"][0]["fixes"][0]["artifactChanges"]
    content = (tmp_path / "a.sql").read_bytes().decode("utf-8-sig")
    regions = [one["deletedRegion"] for one in change["replacements"]]
    cut = [content[one["charOffset"] : one["charOffset"] + one["charLength"]] for one in regions]
    assert cut == [f"bad;{line_end}SELECT bad", ""]


@pytest.mark.parametrize("form", ["text", "json", "sarif", "github", "gitlab", "junit", "markdown"])
def test_the_command_prints_every_format_on_stdout(project: Project, form: str) -> None:
    project.ddl("a.sql", "CREATE TABLE w_a (id int);\n")
    project.write("confiture.yaml", f"schemas: schemas\nlinting: {{rules: [{{type: {KEY}, severity: error}}]}}\n")
    result = project.run("lint", "--rule", KEY, "--format", form, expect=1)
    assert KEY in result.out
    assert result.err == ""
    if form in ("json", "sarif", "gitlab"):
        json.loads(result.out)
    if form == "junit":
        ElementTree.fromstring(result.out)
    (project.root / "schemas/a.sql").write_text("CREATE TABLE w_a (id int PRIMARY KEY);\n")
    assert KEY not in project.run("lint", "--rule", KEY, "--format", form).out


# documentation


def test_the_files_for_users_call_commands_that_exist() -> None:
    hooks = YAML(typ="safe", pure=True).load((REPOSITORY / ".pre-commit-hooks.yaml").read_text())
    assert [hook["entry"] for hook in hooks] == ["confiture lint", "confiture migrate validate"]
    for hook in hooks:
        for name in ("confiture.yaml", "m/001_a.yml", "m/002_b.py", "schemas/a.sql", "schemas/b.sql.j2"):
            assert re.search(hook["files"], name), name
    action = YAML(typ="safe", pure=True).load((REPOSITORY / "action.yml").read_text())
    assert action["runs"]["using"] == "composite"
    script = action["runs"]["steps"][-1]["run"]
    for option in re.findall(r"--[a-z-]+", script):
        assert option in (REPOSITORY / "confiture/cli/lint.py").read_text(), option
    for name in re.findall(r"inputs\.([a-z-]+)", (REPOSITORY / "action.yml").read_text()):
        assert name in action["inputs"]


def test_the_pages_of_the_rules_are_those_of_their_metadata() -> None:
    """`python -m confiture.lint.rule_docs docs/rules` writes them."""
    folder = REPOSITORY / "docs/rules"
    written = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.md")}
    assert written.keys() == all_pages(built_in_rules()).keys()
    assert [name for name, text in all_pages(built_in_rules()).items() if written[name] != text] == []
