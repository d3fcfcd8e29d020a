"""Living with lint: ignore comments, the baseline, changed lines, fixes, and what the command does with them."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from confiture.errors import InputError
from confiture.files.settings import SettingsOverrides, load_settings
from confiture.lint.fixes import apply_fixes
from confiture.lint.git_changes import changed_files
from confiture.models.findings import LintReport
from tests.support.linting import INDEX, KEY, lint, settings, told, told_by
from tests.support.projects import Project

IGNORES = ("unused_ignore", "ignore_without_reason")
TABLE = "CREATE TABLE w_a (id int)"


def ignored(project: Project, text: str, *rules: str) -> list[str]:
    """The findings of a DDL file, by line and rule."""
    project.ddl("a.sql", "")
    (project.root / "schemas/a.sql").write_text(text)
    found = lint(project, *(rules or (KEY, *IGNORES))).findings
    return [f"{one.span and one.span.line} {one.rule}" for one in found]


# ignore comments


@pytest.mark.parametrize(
    "text",
    [
        f"-- confiture: ignore {KEY} -- a log\n{TABLE}",
        f"-- confiture: ignore {KEY} -- a log\n\n-- more words\n{TABLE};",
        f"{TABLE}; -- confiture: ignore {KEY} -- a log\n",
        f"{TABLE} -- confiture: ignore {KEY} -- a log\n;",
        f"CREATE TABLE w_a ( -- confiture: ignore {KEY} -- a log\n  id int\n);",
        f"CREATE TABLE w_a (\n  -- confiture: ignore other_rule, {KEY} -- a log\n  id int\n);".replace(
            "other_rule, ", ""
        ),
        f"SELECT 1; {TABLE}; -- confiture:   ignore  {KEY}  --  a log  \nSELECT 2",
        f"CREATE TABLE w_b (é text PRIMARY KEY); -- é\n{TABLE}; --confiture: ignore {KEY} -- é",
    ],
)
def test_a_comment_before_within_or_behind_a_statement_is_heeded(project: Project, text: str) -> None:
    assert ignored(project, text) == []
    assert lint(project, KEY).suppressed == 1


@pytest.mark.parametrize(
    "text",
    [
        f"{TABLE};\n-- confiture: ignore {KEY} -- the next statement is meant\nSELECT 1;",
        f"{TABLE};\n\n-- confiture: ignore {KEY} -- nothing follows\n",
    ],
)
def test_a_comment_is_for_its_statement_only(project: Project, text: str) -> None:
    key, comment = ignored(project, text)
    assert key == f"1 {KEY}"
    assert comment.endswith("unused_ignore")


def test_text_in_quotes_is_no_comment(project: Project) -> None:
    text = f"CREATE TABLE w_a (a text DEFAULT '-- confiture: ignore {KEY} -- x')"
    assert ignored(project, text) == [f"1 {KEY}"]


def test_comments_that_are_wrong_are_told(project: Project) -> None:
    text = (
        f"-- confiture: ignore {KEY}\n{TABLE};\n"
        "-- confiture: ignore requires_primary_kez -- x\nSELECT 1;\n"
        "-- confiture: ignore\nSELECT 2;\n"
        f"-- confiture: ignore {KEY}, {INDEX} -- x\nCREATE TABLE w_b (id int PRIMARY KEY);\n"
    )
    project.ddl("a.sql", text)
    found = lint(project, KEY, INDEX, *IGNORES).findings
    assert [(one.span.line, one.rule, one.message) for one in found if one.span] == [
        (1, "ignore_without_reason", f"the ignore comment does not give a reason for {KEY}"),
        (3, "unused_ignore", "rule 'requires_primary_kez' does not exist"),
        (5, "unused_ignore", "the ignore comment does not name a rule"),
        (7, "unused_ignore", f"rule {INDEX} reports nothing here"),
        (7, "unused_ignore", f"rule {KEY} reports nothing here"),
    ]
    assert found[1].hint == "did you mean 'requires_primary_key'?"


def test_a_rule_that_does_not_judge_leaves_its_comments_alone(project: Project) -> None:
    text = f"-- confiture: ignore {KEY} -- x\nCREATE TABLE w_a (id int PRIMARY KEY);"
    assert ignored(project, text, "unused_ignore") == []
    settings(project, f"{{rules: [{{type: {KEY}, severity: off}}]}}")
    assert "unused_ignore" not in {one.rule for one in lint(project).findings}


def test_comments_in_migrations_are_heeded_in_files_and_in_yaml(project: Project) -> None:
    project.ddl(
        "a.sql", f"-- confiture: ignore {INDEX} -- small\nCREATE INDEX i ON t (id);\nCREATE INDEX j ON t (id);\n"
    )
    project.migration("001_a", "ddl: [a.sql]")
    project.migration(
        "002_b",
        f"""
        vars: {{table: t}}
        ddl:
          - sql: |
              CREATE INDEX k ON {{{{ table }}}} (id); -- confiture: ignore {INDEX} -- small
              CREATE INDEX l ON {{{{ table }}}} (id);
        """,
    )
    assert told_by(project, INDEX, *IGNORES) == [
        f"migrations/002_b.yaml:5:7 {INDEX} t",
        f"schemas/a.sql:3:1 {INDEX} t",
    ]


def test_comments_around_the_sql_are_told_to_ignore_nothing(project: Project) -> None:
    project.migration(
        "001_a",
        f"""
        # confiture: ignore {INDEX} -- small
        ddl:
          - sql: |  # confiture: ignore {INDEX}
              CREATE INDEX k ON t (id);
        """,
    )
    findings = lint(project, INDEX, *IGNORES).findings
    assert told(findings) == [
        "migrations/001_a.yaml:1:1 unused_ignore None",
        "migrations/001_a.yaml:3:13 unused_ignore None",
        f"migrations/001_a.yaml:4:7 {INDEX} t",
    ]
    assert "outside the SQL" in findings[0].message


# the baseline


def known(project: Project, *arguments: str, expect: int = 0) -> list[str]:
    result = project.run("lint", "--format", "json", "--fail-on", "info", "--rule", KEY, *arguments, expect=expect)
    return [f"{one['line']} {one['relation']}" for one in result.json["findings"]]


def test_the_baseline_knows_old_findings_while_lines_move_and_shows_new_ones(project: Project) -> None:
    project.ddl("a.sql", "CREATE TABLE w_a (id int);\nCREATE TABLE w_b (id int);\n")
    written = project.run("lint", "--rule", KEY, "--write-baseline", "--baseline", "known.json")
    assert written.out == ""
    assert "wrote 2 findings to known.json" in written.err
    assert known(project, "--baseline", "known.json") == []
    project.ddl(
        "a.sql", "-- new\n\nCREATE TABLE w_c (id int);\nCREATE TABLE w_b (id int);\nCREATE TABLE w_a (id int);\n"
    )
    assert known(project, "--baseline", "known.json", expect=1) == ["3 w_c"]
    settings(project, "{baseline: known.json}")
    assert known(project, expect=1) == ["3 w_c"]
    assert "2 in the baseline" in project.run("lint", "--rule", KEY, expect=None).out
    assert json.loads((project.root / "known.json").read_text())["findings"][0]["rule"] == KEY


def test_of_several_findings_alike_as_many_are_known_as_there_were(project: Project) -> None:
    project.migration("001_a", "ddl: [{sql: CREATE INDEX i ON t (id)}]")
    project.run("lint", "--rule", INDEX, "--write-baseline")
    assert (project.root / "confiture-baseline.json").exists()
    settings(project, "{baseline: confiture-baseline.json}")
    assert project.run("lint", "--rule", INDEX, "--format", "json").json["findings"] == []
    project.migration("001_a", "ddl: [{sql: CREATE INDEX i ON t (id)}, {sql: CREATE INDEX j ON t (id)}]")
    report = project.run("lint", "--rule", INDEX, "--format", "json", "--fail-on", "never").json
    assert (len(report["findings"]), report["known"]) == (1, 1)


def test_files_that_cannot_be_read_are_never_known(project: Project) -> None:
    project.ddl("a.sql", "CREATE TABEL w_a (id int);\n")
    assert "wrote 0 findings" in project.run("lint", "--write-baseline", "--baseline", "known.json").err
    assert "error[sql-syntax]" in project.run("lint", "--baseline", "known.json", expect=1).out


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": "confiture.baseline", "version": 3, "findings": []}', "\xff"]
)
def test_a_file_that_is_no_baseline_is_refused(project: Project, text: str) -> None:
    project.ddl("a.sql", TABLE)
    (project.root / "known.json").write_text(text)
    assert "error[bad-baseline]" in project.run("lint", "--baseline", "known.json", expect=2).err
    assert "cannot read nowhere.json" in project.run("lint", "--baseline", "nowhere.json", expect=2).err


# changed lines


@pytest.fixture
def repository(project: Project) -> Project:
    """A project in a repository of git, with one commit on `main`."""
    project.ddl("a.sql", "CREATE TABLE w_a (id int);\n\nCREATE TABLE w_b (\n  id int\n);\n")
    project.migration(
        "001_a", "ddl:\n  - sql: |\n      CREATE INDEX i\n        ON t (id);\n      CREATE INDEX j ON t (id);\n"
    )
    git(project.root, "init", "--quiet", "--initial-branch", "main")
    commit(project.root)
    return project


def git(root: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True)


def commit(root: Path) -> None:
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--message", "x", "--allow-empty")


def changed(project: Project, revision: str = "main") -> list[str]:
    result = project.run(
        "lint", "--rule", KEY, "--rule", INDEX, "--format", "json", "--fail-on", "never", "--changed-since", revision
    )
    return [f"{one['file']}:{one['line']}" for one in result.json["findings"]]


def test_only_what_changed_since_a_revision_is_shown(repository: Project) -> None:
    assert changed(repository) == []
    repository.ddl(
        "a.sql", "CREATE TABLE w_a (id int);\n\nCREATE TABLE w_b (\n  id int\n);\nCREATE TABLE w_c (id int);\n"
    )
    repository.ddl("new é.sql", "CREATE TABLE w_d (id int);\n")
    assert changed(repository) == ["schemas/a.sql:6", "schemas/new é.sql:1"]
    git(repository.root, "checkout", "--quiet", "-b", "work")
    commit(repository.root)
    assert changed(repository) == ["schemas/a.sql:6", "schemas/new é.sql:1"]
    assert changed(repository, "HEAD") == []


_ACROSS_FILES = {
    "a version twice": ("migrations/001_0.yaml", "ddl:\n  - sql: SELECT 1\n", "duplicate-version"),
    "a missing requirement": (
        "migrations/002_b.yaml",
        "requires: '009'\nddl:\n  - sql: SELECT 1\n",
        "missing-requirement",
    ),
    "a table twice": ("schemas/0.sql", "CREATE TABLE w_a (id int);\n", "duplicate_object"),
    "a table twice, below": ("schemas/b.sql", "CREATE TABLE w_a (id int);\n", "duplicate_object"),
}


@pytest.mark.parametrize("case", _ACROSS_FILES)
def test_what_a_new_file_breaks_in_another_is_shown(repository: Project, case: str) -> None:
    path, text, rule = _ACROSS_FILES[case]
    repository.write(path, text)
    result = repository.run("lint", "--format", "json", "--changed-since", "main", expect=1)
    assert rule in [one["rule"] for one in result.json["findings"]]


def test_what_was_twice_before_is_not_shown(repository: Project) -> None:
    repository.ddl("b.sql", "CREATE TABLE w_a (id int);\n")
    commit(repository.root)
    repository.ddl("c.sql", "CREATE TABLE w_c (id int);\n")
    result = repository.run("lint", "--format", "json", "--changed-since", "main", expect=None)
    assert "duplicate_object" not in [one["rule"] for one in result.json["findings"]]


def test_a_statement_changed_in_any_of_its_lines_is_shown(repository: Project) -> None:
    text = (repository.root / "migrations/001_a.yaml").read_text()
    (repository.root / "migrations/001_a.yaml").write_text(text.replace("ON t (id);", "ON t (id, x);", 1))
    assert changed(repository) == ["migrations/001_a.yaml:3"]


def test_what_others_changed_meanwhile_is_not_shown(repository: Project) -> None:
    git(repository.root, "checkout", "--quiet", "-b", "work")
    repository.ddl("mine.sql", "CREATE TABLE w_m (id int);\n")
    commit(repository.root)
    git(repository.root, "checkout", "--quiet", "main")
    (repository.root / "schemas/a.sql").write_text("CREATE TABLE w_a (id int);\n")
    commit(repository.root)
    git(repository.root, "checkout", "--quiet", "work")
    assert changed(repository) == ["schemas/mine.sql:1"]


def test_a_project_below_the_repository_s_root_is_found(tmp_path: Path) -> None:
    project = Project(tmp_path / "below é")
    project.write("confiture.yaml", "migrations: migrations\n")
    git(tmp_path, "init", "--quiet", "--initial-branch", "main")
    commit(tmp_path)
    project.ddl("a.sql", "CREATE TABLE w_a (id int);\n")
    commit(tmp_path)
    assert changed_files("HEAD~1", project.root) == {"schemas/a.sql": (range(1, 2),)}


def test_revisions_that_git_does_not_know_and_folders_without_git_are_refused(
    repository: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for revision, message in {
        "nowhere": "cannot find 'nowhere'",
        "--help": "is not a revision",
        "": "is not a revision",
    }.items():
        with pytest.raises(InputError, match=message):
            changed_files(revision, repository.root)
    with pytest.raises(InputError, match="not in a git repository"):
        changed_files("main", tmp_path_factory.mktemp("plain"))
    repository.environ["PATH"] = ""
    assert "needs git" in repository.run("lint", "--changed-since", "main", expect=2).err


# fixes


RENAMING = r"""
from confiture.lint.remedies.indexes import insert_text
from confiture.lint.rule import Example, Group, Hit, StatementRule
import re

def check(subject):
    if re.search(r"bad\b", subject.statement.text):
        behind = subject.statement.rendered.text.index("bad", subject.statement.offset) + 3
        yield Hit(place=subject.place, message="bad", edits=insert_text(subject.statement, behind, NEW))

RULE = StatementRule(name="renaming", kinds=frozenset({"select_stmt"}), check=check, group=Group.SCHEMA,
                     severity="error", summary="s", effect="E.", hint="h", bad=Example(sql=()), good=Example(sql=()))
"""


def fixing(project: Project, new: str, *arguments: str, expect: int = 0) -> str:
    """Runs `--fix` with a rule that complains of `bad`, and puts a text behind it. Gives what it said."""
    project.write("renaming.py", RENAMING.replace("NEW", repr(new)))
    settings(project, "{plugins: renaming}")
    return project.run("lint", "--fix", "--rule", "renaming", *arguments, expect=expect).err


def test_sure_fixes_are_applied_and_the_rest_of_the_file_stays(project: Project) -> None:
    project.migration(
        "001_a", "ddl: [a.sql]\nafter_ddl:\n  # bad\n  - sql: |\n      -- bad stays\n      SELECT 'é', bad;\n"
    )
    text = b"\xef\xbb\xbf-- bad stays\r\nSELECT '\xc3\xa9', 1; -- x\r\nSELECT 2, bad, -- x\r\n 3;\r\n  SELECT bad;\r\n"
    path = project.root / "schemas/a.sql"
    path.write_bytes(text)
    path.chmod(0o640)
    said = fixing(project, "_not")
    assert "fixed 3 findings" in said
    assert path.read_bytes() == text.replace(b"2, bad", b"2, bad_not").replace(b"SELECT bad", b"SELECT bad_not")
    assert path.stat().st_mode & 0o777 == 0o640
    migration = (project.root / "migrations/001_a.yaml").read_text()
    assert migration.endswith("      -- bad stays\n      SELECT 'é', bad_not;\n")
    assert sorted(one.name for one in path.parent.iterdir()) == ["a.sql"]


def test_a_file_of_mixed_line_ends_is_left_as_it_is(project: Project) -> None:
    project.ddl("a.sql", "")
    project.migration("001_a", "ddl: [a.sql]")
    text = b"SELECT 1;\r\nSELECT bad;\n"
    (project.root / "schemas/a.sql").write_bytes(text)
    assert "did not fix 1 finding" in fixing(project, "_not", expect=1)
    assert (project.root / "schemas/a.sql").read_bytes() == text


def test_a_fix_that_does_not_stand_is_taken_back(project: Project) -> None:
    project.ddl("a.sql", "SELECT bad;\n")
    project.migration("001_a", "ddl: [a.sql]")
    for new in ("(", " + 1", "_not -- what follows"):
        assert "did not fix 1 finding" in fixing(project, new, expect=1), new
        assert (project.root / "schemas/a.sql").read_text() == "SELECT bad;\n"


def test_a_fix_whose_judging_is_broken_off_is_taken_back(project: Project) -> None:
    project.ddl("a.sql", "SELECT bad;\n")
    project.migration("001_a", "ddl: [a.sql]")
    project.write("renaming.py", RENAMING.replace("NEW", repr("_not")))
    settings(project, "{plugins: renaming}")
    reports = [lint(project, "renaming")]

    def broken_off() -> LintReport:
        if reports:
            return reports.pop()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        apply_fixes(load_settings(project.root, SettingsOverrides(), {}), broken_off, lambda _: True)
    assert (project.root / "schemas/a.sql").read_text() == "SELECT bad;\n"


def test_templates_are_not_fixed(project: Project) -> None:
    project.ddl("a.sql.j2", "{% for x in [1, 2] %}SELECT bad;\n{% endfor %}")
    project.migration("001_a", "vars: {x: bad}\nddl: [a.sql.j2, {sql: 'SELECT {{ x }}'}]")
    assert "fixed 0 findings" in fixing(project, "_not", expect=1)


def test_only_what_is_asked_for_is_fixed(project: Project) -> None:
    project.ddl("a.sql", "SELECT bad;\n")
    project.ddl("b.sql", "SELECT bad;\n")
    project.migration("001_a", "ddl: [a.sql, b.sql]")
    fixing(project, "_not", "schemas/b.sql")
    assert (project.root / "schemas/a.sql").read_text() == "SELECT bad;\n"
    assert (project.root / "schemas/b.sql").read_text() == "SELECT bad_not;\n"


# the command


def test_the_exit_code_is_that_of_the_worst_finding_shown(project: Project) -> None:
    project.ddl("a.sql", TABLE)
    for severity, failing in {
        "error": ["error", "warning", "info"],
        "warning": ["warning", "info"],
        "info": ["info"],
    }.items():
        settings(project, f"{{rules: [{{type: {KEY}, severity: {severity}}}]}}")
        for fail_on in ("error", "warning", "info", "never"):
            expected = 1 if fail_on in failing else 0
            project.run("lint", "--rule", KEY, "--fail-on", fail_on, expect=expected)
        project.run("lint", "--rule", KEY, expect=1 if severity == "error" else 0)


def test_paths_restrict_what_is_shown(project: Project) -> None:
    for name in ("a/x.sql", "a/y.sql", "ab/x.sql"):
        project.ddl(name, f"CREATE TABLE w_{name[:-4].replace('/', '_')} (id int)")

    def shown(*paths: str) -> list[str]:
        result = project.run("lint", "--rule", KEY, "--format", "json", "--fail-on", "never", *paths)
        return [one["file"] for one in result.json["findings"]]

    assert shown("schemas/a") == ["schemas/a/x.sql", "schemas/a/y.sql"]
    assert shown("schemas/a/y.sql", str(project.root / "schemas/ab")) == ["schemas/a/y.sql", "schemas/ab/x.sql"]
    assert len(shown(".")) == len(shown()) == 3
    assert shown("migrations") == []
    assert "nowhere does not exist" in project.run("lint", "nowhere", expect=2).err


def test_rules_are_listed_and_explained_anywhere(tmp_path: Path) -> None:
    anywhere = Project(tmp_path)
    listed = anywhere.run("lint", "--list-rules").out
    for name in (KEY, INDEX, *IGNORES):
        assert name in listed
        assert anywhere.run("lint", "--explain", name).out.startswith(f"# {name}\n")
    document = anywhere.run("lint", "--list-rules", "--format", "json").json
    assert KEY in {rule["name"] for rule in document["rules"]}
    assert "did you mean 'requires_primary_key'?" in anywhere.run("lint", "--explain", "primary_key", expect=2).err
    assert "there is no confiture.yaml" in anywhere.run("lint", expect=2).err


def test_all_mistakes_in_the_settings_are_told_at_once(project: Project) -> None:
    """Those of the file's form, and those that only the rules know of."""
    rules = "[{type: no_such_rule}, {type: requires_primary_key, severity: bad, colum: x}, {type: requires_column}]"
    project.write("confiture.yaml", f"schema: schemas\nlinting: {{fail: 1, rules: {rules}}}\n")
    for command in (("lint",), ("migrate", "validate")):
        told = project.run(*command, expect=2).err
        assert re.findall(r"error\[(.*?)\]", told) == [
            "unknown-key",
            "unknown-key",
            "unknown-rule",
            "wrong-type",
            "unknown-key",
            "missing-key",
        ]


def test_mistakes_in_the_settings_are_told_by_lint_and_by_validate(project: Project) -> None:
    project.migration("001_a", "ddl: [{sql: SELECT 1}]")
    settings(project, "{rules: [{type: no_such_rule}]}")
    for command in (("lint",), ("migrate", "validate")):
        assert "error[unknown-rule]: unknown rule 'no_such_rule'" in project.run(*command, expect=2).err


def test_findings_without_a_fix_stay_told_once(project: Project) -> None:
    project.ddl("a.sql", f"{TABLE};\nCREATE TABLE w_b (id int);\n")
    out = project.run("lint", "--rule", KEY, "--fail-on", "never").out
    assert out.count("next: ") == 1
    assert told(lint(project, KEY).findings) == [f"schemas/a.sql:1:14 {KEY} w_a", f"schemas/a.sql:2:14 {KEY} w_b"]
