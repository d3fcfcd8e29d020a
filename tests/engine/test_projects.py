"""Several projects in one database, each with its own history; and projects that change their names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from confiture.core.db.migration_lock import LOCK_KEY, lock_key
from confiture.models.history import HistoryKey
from tests.support.projects import Project
from tests.support.servers import Database

_A = {"001_first": "CREATE TABLE a1 (id int)", "002_second": "CREATE TABLE a2 (id int)"}
_B = {"001_other": "CREATE TABLE b1 (id int)", "003_third": "CREATE TABLE b3 (id int)"}


def _project(root: Path, database: Database, name: str | None, migrations: dict[str, str]) -> Project:
    project = Project(root, {"DATABASE_URL": database.url})
    project.write("confiture.yaml", f"project: {name}\n" if name else "{}\n")
    for label, sql in migrations.items():
        table = sql.split()[2]
        project.migration(label, f"ddl: [{{sql: {sql}}}]\ndown: [{{sql: DROP TABLE {table}}}]\n")
    return project


def _rows(database: Database) -> list[tuple]:
    return database.rows("SELECT project, version FROM confiture.migrations ORDER BY position")


@pytest.mark.parametrize("first", [None, "billing"])
def test_two_projects_share_a_database(tmp_path: Path, database_18: Database, first: str | None) -> None:
    one = _project(tmp_path / "a", database_18, first, _A)
    other = _project(tmp_path / "b", database_18, "shop", _B)
    one.run("migrate", "up")
    other.run("migrate", "up", "--dry-run")
    other.run("migrate", "up", "--to", "001")
    name = first or "default"
    assert _rows(database_18) == [(name, "001"), (name, "002"), ("shop", "001")]
    status = other.run("migrate", "status", "--format", "json").json
    assert (status["project"], status["other_projects"]) == ("shop", [name])
    assert [row["version"] for row in status["applied"]] == ["001"]
    one.run("migrate", "down")
    other.run("migrate", "up")
    one.run("migrate", "up")
    assert _rows(database_18) == [(name, "001"), ("shop", "001"), ("shop", "003"), (name, "002")]
    other.run("migrate", "down", "--to", "0")
    assert one.run("migrate", "status", "--format", "json").json["drift"] == []
    assert _rows(database_18) == [(name, "001"), (name, "002")]


def test_each_project_has_its_own_lock(tmp_path: Path, database_18: Database) -> None:
    one = _project(tmp_path / "a", database_18, None, _A)
    other = _project(tmp_path / "b", database_18, "shop", _B)
    one.run("migrate", "up", "--to", "001")
    with database_18.connect() as running:
        running.execute("SELECT pg_advisory_lock(%s)", [LOCK_KEY])
        one.run("migrate", "up", "--wait", "0", expect=6)
        other.run("migrate", "up", "--wait", "0")
        running.execute("SELECT pg_advisory_lock(%s)", [lock_key(HistoryKey(project="shop"))])
        other.run("migrate", "down", "--wait", "0", expect=6)


def test_keys_of_locks_are_stable() -> None:
    keys = {name: lock_key(HistoryKey(project=name)) for name in ("default", "shop", "billing")}
    assert keys == {"default": 7165066918304707954, "shop": 5299113871930654669, "billing": 1127778725876433619}


def test_first_runs_of_two_projects_do_not_disturb_each_other(tmp_path: Path, database_18: Database) -> None:
    projects = [
        _project(tmp_path / name, database_18, name, {"001_first": f"CREATE TABLE {name}1 (id int)"}) for name in "abcd"
    ]
    runs = [project.start("migrate", "up") for project in projects]
    told = [run.communicate()[1] for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0, 0], told
    assert sorted(_rows(database_18)) == [(name, "001") for name in "abcd"]


def test_backfills_of_other_projects_are_not_seen(tmp_path: Path, database_18: Database) -> None:
    one = _project(tmp_path / "a", database_18, "a", _A)
    other = _project(tmp_path / "b", database_18, "b", _B)
    database_18.execute("CREATE TABLE w (id int PRIMARY KEY); CREATE TABLE r (id int PRIMARY KEY)")
    one.migration(
        "004_fill",
        "ddl: [{backfill: {into: r, from: w, sql: 'INSERT INTO r (id) SELECT id FROM w WHERE {{ batch }}'}}]\n",
    )
    one.run("migrate", "up")
    other.run("migrate", "up")
    assert len(one.run("backfill", "status", "--all", "--format", "json").json["backfills"]) == 1
    assert other.run("backfill", "status", "--all", "--format", "json").json["backfills"] == []


def test_a_history_without_one_migration_of_ours_may_be_anothers(tmp_path: Path, database_18: Database) -> None:
    _project(tmp_path / "a", database_18, None, _A).run("migrate", "up")
    other = _project(tmp_path / "b", database_18, None, _B)
    for command in ("status", "up"):
        err = other.run("migrate", command, expect=7).err
        assert "error[other-project]" in err
        assert "`project: NAME`" in err
        assert "restore the file" not in err


@pytest.mark.parametrize("command", ["up", "up --dry-run", "down", "baseline 001"])
@pytest.mark.parametrize(
    ("before", "after"), [(None, "shop"), ("shop", "store"), ("shop", None)], ids=["named", "renamed", "forgotten"]
)
def test_a_renamed_project_is_refused(
    tmp_path: Path, database_18: Database, before: str | None, after: str | None, command: str
) -> None:
    _project(tmp_path, database_18, before, _A).run("migrate", "up")
    renamed = _project(tmp_path, database_18, after, {**_A, "003_third": "CREATE TABLE a3 (id int)"})
    refused = renamed.run("migrate", *command.split(), expect=2)
    adopt = f"confiture migrate adopt-project {before or 'default'} {after or 'default'}"
    assert adopt in " ".join(refused.err.split())
    assert _rows(database_18) == [(before or "default", "001"), (before or "default", "002")]
    status = renamed.run("migrate", "status")
    assert adopt in " ".join(status.out.split())


def test_a_renamed_project_goes_on_after_its_history_was_renamed(tmp_path: Path, database_18: Database) -> None:
    _project(tmp_path, database_18, None, _A).run("migrate", "up")
    renamed = _project(tmp_path, database_18, "shop", {**_A, "003_third": "CREATE TABLE a3 (id int)"})
    told = renamed.run("migrate", "adopt-project", "default", "shop").out
    assert told == "Renamed the history of default (2 migrations) to shop.\n"
    assert [row[0] for row in database_18.rows("SELECT DISTINCT project FROM confiture.journal")] == ["shop"]
    renamed.run("migrate", "up")
    assert _rows(database_18) == [("shop", "001"), ("shop", "002"), ("shop", "003")]
    renamed.run("migrate", "down", "--to", "0")
    assert _rows(database_18) == []


def test_adopting_as_json(tmp_path: Path, database_18: Database) -> None:
    project = _project(tmp_path, database_18, None, _A)
    project.run("migrate", "up")
    document = json.loads(project.run("migrate", "adopt-project", "default", "shop", "--format", "json").out)
    assert document.pop("database").endswith(database_18.name)
    assert document == {"format": "confiture.adoption", "version": 1, "old": "default", "new": "shop", "migrations": 2}


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ("unknown shop", 2, "specify one of the existing projects: billing, default"),
        ("default billing", 2, "already contains a history for the project 'billing'"),
        ("default default", 2, "are the same name"),
        ("default .hidden", 2, "'.hidden' is not a valid project name"),
        ("default ", 2, "'' is not a valid project name"),
        (f"default {'n' * 64}", 2, "is not a valid project name"),
    ],
)
def test_what_cannot_be_adopted(tmp_path: Path, database_18: Database, arguments: str, code: int, told: str) -> None:
    project = _project(tmp_path / "a", database_18, None, _A)
    project.run("migrate", "up")
    _project(tmp_path / "b", database_18, "billing", _B).run("migrate", "up")
    before = _rows(database_18)
    refused = project.run("migrate", "adopt-project", *arguments.split(" "), expect=code)
    assert told in " ".join(refused.err.split())
    assert _rows(database_18) == before


def test_nothing_is_adopted_in_an_empty_database(tmp_path: Path, database_18: Database) -> None:
    project = _project(tmp_path, database_18, None, _A)
    assert "no history at all" in project.run("migrate", "adopt-project", "default", "shop", expect=2).err
    assert database_18.value("SELECT to_regnamespace('confiture')") is None


@pytest.mark.parametrize("held", ["default", "shop"])
def test_a_run_of_either_name_keeps_the_history(tmp_path: Path, database_18: Database, held: str) -> None:
    project = _project(tmp_path, database_18, None, _A)
    project.run("migrate", "up")
    with database_18.connect() as running:
        running.execute("SELECT pg_advisory_lock(%s)", [lock_key(HistoryKey(project=held))])
        project.run("migrate", "adopt-project", "default", "shop", "--wait", "0", expect=6)
    assert {row[0] for row in _rows(database_18)} == {"default"}


@pytest.mark.parametrize("name", ["''", "'a b'", "'-a'", "[]", "'é'", f"'{'n' * 64}'", "'a/b'"])
def test_names_that_no_project_has(project: Project, name: str) -> None:
    project.write("confiture.yaml", f"project: {name}\n")
    err = project.run("migrate", "validate", expect=2).err
    assert "confiture.yaml:1:10" in err


def test_a_project_whose_migrations_are_all_undone_is_still_itself(tmp_path: Path, database_18: Database) -> None:
    one = _project(tmp_path / "a", database_18, None, _A)
    one.run("migrate", "up")
    _project(tmp_path / "b", database_18, "shop", _B).run("migrate", "up")
    one.run("migrate", "down", "--to", "0")
    one.run("migrate", "up")
    assert _rows(database_18) == [("shop", "001"), ("shop", "003"), ("default", "001"), ("default", "002")]


def test_the_history_that_fits_best_is_named(tmp_path: Path, database_18: Database) -> None:
    _project(tmp_path / "b", database_18, "billing", _B).run("migrate", "up")
    _project(tmp_path / "a", database_18, "shop", _A).run("migrate", "up")
    renamed = _project(tmp_path / "a", database_18, "store", _A)
    for command in ("up", "status"):
        told = renamed.run("migrate", command, expect=None)
        assert "adopt-project shop store" in " ".join((told.out + told.err).split())
    forgotten = _project(tmp_path / "a", database_18, None, _A)
    assert "`project: shop`" in " ".join(forgotten.run("migrate", "up", expect=2).err.split())
    other = _project(tmp_path / "c", database_18, None, {"001_x": "CREATE TABLE x (id int)"})
    err = other.run("migrate", "up", expect=2).err
    assert "adopt-project" not in err
    assert "`project: NAME`" in err


def test_verify_does_not_pass_for_want_of_a_history(tmp_path: Path, database_18: Database) -> None:
    _project(tmp_path, database_18, None, _A).run("migrate", "up")
    _project(tmp_path, database_18, "shop", _A).run("verify", expect=2)
