"""Files that look like migrations and are not read are reported by every command that reads migrations."""

from __future__ import annotations

import pytest

from tests.support.projects import Project

_UNREAD = {
    "002_b.YAML": "002_b.YAML is not read: rename it to 002_b.yaml",
    "002_b.Yml": "002_b.Yml is not read: rename it to 002_b.yml",
    "002_b.PY": "002_b.PY is not read: rename it to 002_b.py",
    "003_c.sql": "003_c.sql is not read: SQL files run as steps; write a migration with `ddl: [migrations/003_c.sql]`",
    "V4__d.sql": "V4__d.sql is not read: SQL files run as steps",
    "20240101120000_x.sql.j2": "20240101120000_x.sql.j2 is not read: SQL files run as steps",
    "008_h.yaml.j2": "008_h.yaml.j2 is not read: rename it to 008_h.yaml",
    "009_i.json": "009_i.json is not read: a migration is a .yaml, .yml or .py file",
    "sub/006_f.yaml": "sub/006_f.yaml is not read: move it to migrations",
    "sub/deep/006_f.py": "sub/deep/006_f.py is not read: move it to migrations",
}
_LEFT_OUT = [
    "_002_draft.yaml", ".002_hidden.yaml", "_old/002_b.yaml", "002_b.yaml.bak", "002_b.yaml~", "002_notes.md",
 "lib/helpers.sql", "README.txt",
]  # fmt: skip


@pytest.mark.parametrize("name", _UNREAD)
def test_a_file_that_looks_like_a_migration_is_reported(project: Project, name: str) -> None:
    project.migration("001_a", "ddl:\n  - sql: CREATE TABLE a (id int PRIMARY KEY)\n")
    project.write(f"migrations/{name}", "ddl: []\n")
    expected = f"migrations/{_UNREAD[name]}"
    assert expected in project.run("migrate", "validate").err
    assert any(note.startswith(expected) for note in project.run("lint", "--format", "json").json["notes"])


@pytest.mark.parametrize("name", _LEFT_OUT)
def test_other_files_are_not(project: Project, name: str) -> None:
    project.migration("001_a", "ddl:\n  - sql: CREATE TABLE a (id int PRIMARY KEY)\n")
    project.write(f"migrations/{name}", "# nothing\n")
    assert project.run("migrate", "validate").err == ""


def test_sql_files_that_steps_name_are_read(project: Project) -> None:
    project.write("migrations/001_a.sql", "CREATE TABLE a (id int PRIMARY KEY);\n")
    project.write("migrations/001_undo.sql", "DROP TABLE a;\n")
    project.migration("001_a", "ddl: [migrations/001_a.sql]\ndown:\n  - file: migrations/001_undo.sql\n")
    assert project.run("migrate", "validate").err == ""


def test_the_schemas_folder_may_be_inside(project: Project) -> None:
    project.write("confiture.yaml", "migrations: migrations\nschemas: migrations/schemas\n")
    project.write("migrations/schemas/010_a.sql", "CREATE TABLE a (id int PRIMARY KEY);\n")
    assert project.run("migrate", "validate").err == ""


def test_runs_and_status_report_them(shop_18: Project) -> None:
    shop_18.migration("001_a", "ddl:\n  - sql: CREATE TABLE a (id int PRIMARY KEY)\n")
    shop_18.write("migrations/002_b.YAML", "ddl: []\n")
    note = "migrations/002_b.YAML is not read: rename it to 002_b.yaml"
    assert shop_18.run("migrate", "--dry-run", "--format", "json").json["notes"] == [note]
    assert shop_18.run("migrate", "up", "--format", "json").json["notes"] == [note]
    assert shop_18.run("migrate", "up", "--format", "json").json["notes"] == [note]
    assert shop_18.run("migrate", "status", "--format", "json").json["notes"] == [note]
    assert note in shop_18.run("migrate", "status").out
    assert note in shop_18.run().out
