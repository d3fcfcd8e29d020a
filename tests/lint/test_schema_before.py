"""The schema before the first migration: empty, from the schema files, from a git revision, or from a database."""

from __future__ import annotations

import subprocess

import pytest

from confiture.lint.project import LintOptions, lint_project
from tests.support.linting import INDEX, lint, told, told_by
from tests.support.projects import Project

CASE = """
CREATE TABLE w_orders (id bigint PRIMARY KEY, code text);
CREATE TABLE w_events (id bigint NOT NULL, at date NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE w_events_25 PARTITION OF w_events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
"""
LATER = {
    "001_a": "ALTER TABLE w_orders ADD CONSTRAINT code_given CHECK (code IS NOT NULL) NOT VALID",
    "002_b": "ALTER TABLE w_orders VALIDATE CONSTRAINT code_given",
    "003_c": "ALTER TABLE w_orders ALTER COLUMN code SET NOT NULL",
    "004_d": "CREATE INDEX w_events_at ON w_events (at)",
    "005_e": "CREATE INDEX CONCURRENTLY w_events_at2 ON w_events (at, id)",
}
FINAL = """
CREATE TABLE w_orders (id bigint PRIMARY KEY, code text NOT NULL, CONSTRAINT code_given CHECK (code IS NOT NULL));
CREATE TABLE w_events (id bigint NOT NULL, at date NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE w_events_25 PARTITION OF w_events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE INDEX w_events_at ON w_events (at);
CREATE INDEX w_events_at2 ON w_events (at, id);
"""


@pytest.mark.parametrize("files", [CASE, FINAL], ids=["before the migrations", "after the migrations"])
def test_an_adopted_database_is_that_of_the_schema_files(files: str, project: Project) -> None:
    project.ddl("010.sql", files)
    for name, sql in LATER.items():
        project.migration(name, f"ddl:\n  - sql: {sql}\n")
    report = lint(project)
    assert [line for line in told(report.findings) if line.startswith("migrations/")] == [
        "migrations/004_d.yaml:2:10 create_index_blocking w_events",
        "migrations/005_e.yaml:2:10 concurrently_on_partitioned w_events",
    ]
    assert "w_events_25" in (report.findings[0].remedy or "")
    assert ("schema_files_differ" in {one.rule for one in report.findings}) is (files == CASE)
    assert report.notes == (
        "no migration creates w_orders, which migrations/001_a.yaml:2:22 uses: the schema before the first migration is"
        " taken from the schema files, without what the migrations add",
    )
    assert project.run("lint", "--format", "json", expect=None).json["before"] == {"source": "files", "name": None}


BEFORE = """
CREATE TABLE {t} (id bigint PRIMARY KEY, a text, p_id bigint);
CREATE TABLE p (id bigint PRIMARY KEY);
CREATE TABLE e (at date NOT NULL, n int NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE e_25 PARTITION OF e FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
"""
ADDED = {
    "not null": (
        "ALTER TABLE t ALTER COLUMN a SET NOT NULL",
        "set_not_null_scan",
        "ALTER TABLE t ALTER a SET NOT NULL",
    ),
    "type": (
        "ALTER TABLE t ALTER COLUMN a TYPE bigint USING a::bigint",
        "type_rewrite",
        "ALTER TABLE t ALTER a TYPE bigint",
    ),
    "check": (
        "ALTER TABLE t ADD CONSTRAINT given CHECK (a > '')",
        "check_without_not_valid",
        "ALTER TABLE t ADD CONSTRAINT given CHECK (a > '')",
    ),
    "foreign key": (
        "ALTER TABLE t ADD FOREIGN KEY (p_id) REFERENCES p",
        "fk_without_not_valid",
        "ALTER TABLE t ADD FOREIGN KEY (p_id) REFERENCES p",
    ),
    "unique": ("ALTER TABLE t ADD UNIQUE (a)", "unique_or_pk_blocking", "ALTER TABLE t ADD UNIQUE (a)"),
    "unique of a partitioned table": (
        "ALTER TABLE e ADD UNIQUE (at, n)",
        "unique_or_pk_blocking",
        "ALTER TABLE e ADD UNIQUE (at, n)",
    ),
    "index": ("CREATE INDEX ON t (a)", "create_index_blocking", "CREATE INDEX ON t (a)"),
    "column": (
        "ALTER TABLE t ADD COLUMN n uuid DEFAULT gen_random_uuid()",
        "volatile_default",
        "ALTER TABLE t ADD COLUMN n uuid DEFAULT gen_random_uuid()",
    ),
    "renamed table": ("ALTER TABLE t RENAME TO u; CREATE INDEX ON u (a)", "create_index_blocking", None),
    "renamed column": (
        "ALTER TABLE t RENAME COLUMN a TO b; ALTER TABLE t ALTER COLUMN b SET NOT NULL",
        "set_not_null_scan",
        "ALTER TABLE t RENAME COLUMN a TO b; ALTER TABLE t ALTER b SET NOT NULL",
    ),
    "a block": (
        "DO $$ BEGIN ALTER TABLE t ADD COLUMN n int; END $$; CREATE INDEX ON t (n)",
        "create_index_blocking",
        "ALTER TABLE t ADD COLUMN n int; CREATE INDEX ON t (n)",
    ),
}


@pytest.mark.parametrize("kind", ADDED)
def test_what_the_migrations_add_was_not_there_before(kind: str, project: Project) -> None:
    sql, rule, final = ADDED[kind]
    files = BEFORE.format(t="t") + (final or "")
    if final is None:
        files = BEFORE.format(t="u") + "CREATE INDEX ON u (a)"
    project.ddl("a.sql", files)
    project.migration("001_a", f"ddl:\n  - sql: |\n      {sql}\n")
    rules = {finding.rule for finding in lint(project).findings}
    assert rule in rules
    if final is not None:
        assert "schema_files_differ" not in rules


def test_a_project_whose_migrations_create_everything_begins_with_nothing(project: Project) -> None:
    project.ddl("a.sql", "CREATE TABLE a (id bigint PRIMARY KEY); CREATE TABLE b (id bigint PRIMARY KEY)")
    project.migration("001_a", "ddl: [{sql: CREATE TABLE c (id bigint PRIMARY KEY)}]")
    project.migration("002_b", "ddl: [{sql: ALTER TABLE c RENAME TO a}, {sql: CREATE INDEX ON elsewhere (x)}]")
    report = lint(project)
    assert (report.before, report.notes) == ("empty", ())
    (finding,) = [one for one in report.findings if one.rule == "schema_files_differ"]
    assert "table b only in the schema files" in finding.message


@pytest.fixture
def adopted(project: Project) -> Project:
    """A repository whose schema files hold the result of its migrations, except for the last one."""
    project.ddl("010.sql", CASE)
    project.migration("001_a", "ddl:\n  - sql: DROP TABLE w_nobody; CREATE INDEX ON w_orders (code)\n")
    _git(project, "init", "-q", "-b", "main")
    _git(project, "add", ".")
    _git(project, "commit", "-qm", "adopt")
    _git(project, "switch", "-qc", "branch")
    project.ddl("010.sql", CASE.replace("code text", "code text, kind text"))
    project.migration("002_b", f"ddl:\n  - sql: ALTER TABLE w_orders ADD COLUMN kind text\n  - sql: {LATER['004_d']}\n")
    return project


def _git(project: Project, *arguments: str) -> None:
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    subprocess.run(["git", *identity, *arguments], cwd=project.root, check=True, capture_output=True)


def test_new_migrations_are_checked_on_the_schema_of_a_revision(adopted: Project) -> None:
    first = adopted.run("lint", "--against", "main", "--format", "json", expect=None).json
    assert [(one["rule"], one["file"]) for one in first["findings"]] == [
        ("create_index_blocking", "migrations/002_b.yaml"),
        ("work_after_access_exclusive", "migrations/002_b.yaml"),
        ("schema_files_differ", "schemas/010.sql"),
    ]
    assert first["before"] == {"source": "revision", "name": "main"}
    assert first["notes"] == [
        "checked 1 migration added or changed since main, on the schema of the schema files there"
    ]
    assert "w_events_25" in first["findings"][0]["remedy"]
    # what is on the branch, committed or not, does not change the schema before it
    _git(adopted, "add", ".")
    _git(adopted, "commit", "-qm", "b")
    assert adopted.run("lint", "--against", "main", "--format", "json", expect=None).json == first


def test_a_changed_migration_and_a_changed_pin_are_new(adopted: Project) -> None:
    adopted.write("migrations/003_c.yaml", "ddl: [x.sql]\n")
    adopted.write("migrations/003_c/x.sql", "CREATE INDEX ON w_orders (kind);\n")
    adopted.ddl("x.sql", "CREATE INDEX ON w_orders (kind);\n")
    _git(adopted, "add", ".")
    _git(adopted, "commit", "-qm", "c")
    assert _told_against(adopted, "branch") == []
    adopted.write("migrations/003_c/x.sql", "CREATE INDEX ON w_orders (kind, id);\n")
    assert _told_against(adopted, "branch") == ["migrations/003_c/x.sql:1:1 create_index_blocking w_orders"]
    adopted.migration("001_a", "ddl:\n  - sql: CREATE INDEX ON w_orders (code, id)\n")
    assert "migrations/001_a.yaml:2:10 create_index_blocking w_orders" in _told_against(adopted, "branch")


def _told_against(project: Project, revision: str) -> list[str]:
    from confiture.files.settings import SettingsOverrides, load_settings

    settings = load_settings(project.root, SettingsOverrides(), {})
    return told(lint_project(settings, LintOptions(rules=(INDEX,), against=revision)).findings)


def test_a_revision_and_the_changes_since_it_go_together(adopted: Project) -> None:
    assert "create_index_blocking" in adopted.run("lint", "--against", "main", "--changed-since", "main", expect=1).out
    _git(adopted, "add", ".")
    _git(adopted, "commit", "-qm", "b")
    nothing = adopted.run("lint", "--against", "HEAD", "--changed-since", "HEAD", "--rule", INDEX)
    assert "Nothing found" in nothing.out


def test_a_revision_that_cannot_be_used_is_an_error(adopted: Project) -> None:
    for arguments, message in (
        (("--against", "nowhere"), "--against: git cannot find 'nowhere'"),
        (("--against", "-x"), "--against '-x' is not a revision"),
        (("--against", "main", "--live"), "--live and --against are mutually exclusive"),
    ):
        result = adopted.run("lint", *arguments, expect=2)
        assert message in result.err
    adopted.ddl("020.sql", "CREATE TABL x;")
    _git(adopted, "add", ".")
    _git(adopted, "commit", "-qm", "broken")
    result = adopted.run("lint", "--against", "HEAD", expect=2)
    assert "in HEAD: " in result.err


def test_only_what_migrations_use_counts(project: Project) -> None:
    project.ddl("a.sql", "CREATE TABLE w_a (id bigint PRIMARY KEY); CREATE TABLE w_b (id bigint PRIMARY KEY)")
    project.migration("001_a", "ddl:\n  - sql: CREATE TABLE w_a (id bigint PRIMARY KEY) -- unlike w_b\n")
    assert lint(project).before == "empty"
    project.migration("002_b", "ddl:\n  - sql: INSERT INTO w_a SELECT id FROM w_b\n")
    assert lint(project).before == "files"
    assert told_by(project, INDEX) == []
