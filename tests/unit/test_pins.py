"""Where a migration finds the files that it names, and what is written when they are pinned."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from confiture.errors import DiagnosticCollector, InputError
from confiture.files.ddl import DdlFolders
from confiture.files.migration import read_migration
from confiture.models.source import NamedFile
from confiture.plan.step_kinds import MIGRATION_SCHEMA
from tests.support.projects import Project

OWN = "migrations/002_x"


def lookup(root: Path, name: str, schemas: str = "schemas") -> NamedFile | str:
    """What a migration finds under a name: the file, or the code of the mistake."""
    folders = DdlFolders(root=root, schemas=root / schemas, migrations=root / "migrations")
    folders.migrations.mkdir(exist_ok=True)
    path = folders.migrations / "002_x.yaml"
    path.write_text(f"ddl: [{name}]\n")
    problems = DiagnosticCollector()
    migration = read_migration(path, folders, MIGRATION_SCHEMA, problems)
    if problems:
        return next(iter(problems)).code
    assert migration is not None
    (named,) = migration.named_files
    return named


def files(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(f"SELECT '{path}'")


LOOKUPS = {
    "the schema file": (["schemas/a.sql"], "a.sql", "schemas/a.sql", f"{OWN}/a.sql"),
    "the pin": (["schemas/a.sql", f"{OWN}/a.sql"], "a.sql", f"{OWN}/a.sql", f"{OWN}/a.sql"),
    "by its path in the project": (["schemas/a.sql"], "schemas/a.sql", "schemas/a.sql", f"{OWN}/a.sql"),
    "pinned by its path": (["schemas/a.sql", f"{OWN}/a.sql"], "schemas/a.sql", f"{OWN}/a.sql", f"{OWN}/a.sql"),
    "in a folder": (["schemas/f/a.sql"], "./f//a.sql", "schemas/f/a.sql", f"{OWN}/f/a.sql"),
    "a pin alone": ([f"{OWN}/f/a.sql"], "f/a.sql", f"{OWN}/f/a.sql", f"{OWN}/f/a.sql"),
    "from elsewhere": (["sql/a.sql"], "sql/a.sql", "sql/a.sql", f"{OWN}/_project/sql/a.sql"),
    "pinned from elsewhere": (
        ["sql/a.sql", f"{OWN}/_project/sql/a.sql"],
        "sql/a.sql",
        f"{OWN}/_project/sql/a.sql",
        f"{OWN}/_project/sql/a.sql",
    ),
    "a later schema file": (
        ["schemas/sql/a.sql", "sql/a.sql", f"{OWN}/_project/sql/a.sql"],
        "sql/a.sql",
        f"{OWN}/_project/sql/a.sql",
        f"{OWN}/_project/sql/a.sql",
    ),
    "a folder named like the folder": (
        ["schemas/schemas/a.sql", "schemas/a.sql"],
        "schemas/a.sql",
        "schemas/schemas/a.sql",
        f"{OWN}/schemas/a.sql",
    ),
    "its own folder": ([f"{OWN}/a.sql"], f"{OWN}/a.sql", f"{OWN}/a.sql", f"{OWN}/a.sql"),
    "another migration's pin": (["schemas/a.sql", "migrations/001/a.sql"], "a.sql", "schemas/a.sql", f"{OWN}/a.sql"),
    "a reserved name": (["schemas/_project/a.sql"], "_project/a.sql", "schemas/_project/a.sql", None),
}


@pytest.mark.parametrize(("paths", "name", "found", "pin"), LOOKUPS.values(), ids=LOOKUPS)
def test_the_folder_of_the_migration_comes_first(
    tmp_path: Path, paths: list[str], name: str, found: str, pin: str | None
) -> None:
    files(tmp_path, *paths)
    named = lookup(tmp_path, name)
    assert isinstance(named, NamedFile), named
    assert (named.file.path, named.file.text) == (found, f"SELECT '{found}'")
    assert named.pin == (tmp_path / pin if pin else None)
    assert named.is_pinned == (found == pin)


def test_a_schemas_folder_outside_the_project_has_pins_too(tmp_path: Path) -> None:
    root = tmp_path / "project"
    files(tmp_path, "shared/a.sql", "project/b.sql")
    named = lookup(root, "a.sql", "../shared")
    assert isinstance(named, NamedFile)
    assert named.pin == root / OWN / "a.sql"
    named = lookup(root, "b.sql", "../shared")
    assert isinstance(named, NamedFile)
    assert named.pin == root / OWN / "_project/b.sql"


@pytest.mark.parametrize("linked", ["002_x/f/a.sql", "002_x/f", "002_x"])
def test_a_link_is_no_pin(tmp_path: Path, linked: str) -> None:
    files(tmp_path, "schemas/f/a.sql", "schemas/a.sql", "migrations/001.yaml")
    link = tmp_path / "migrations" / linked
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(tmp_path / "schemas" / Path(linked).relative_to("002_x"))
    assert lookup(tmp_path, "f/a.sql") == "linked-pin"


@pytest.mark.parametrize("name", ["../migrations/002_x/a.sql", "/etc/a.sql", "f/../../a.sql"])
def test_no_name_leaves_the_folders(tmp_path: Path, name: str) -> None:
    files(tmp_path, f"{OWN}/a.sql")
    assert lookup(tmp_path, name) == "path-leaves-project"


# --- confiture migrate pin --offline


@pytest.fixture
def shop(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.write("confiture.yaml", "")
    project.write("sql/c.sql", "SELECT 3;")
    project.ddl("f/a.sql", "CREATE TABLE a (x int);")
    (tmp_path / "schemas/b.sql.j2").write_bytes("\ufeffSELECT {{ n }}; -- b\r\n".encode())
    project.migration("001_a", "ddl: [f/a.sql]\ndown: [sql/c.sql]\n")
    project.write(
        "migrations/002_b.py",
        """
        from confiture.models import Migration

        class B(Migration):
            vars = {"n": 2}

            def up(self):
                self.load_ddl_files(["schemas/f/a.sql", "b.sql.j2"], phase="after_ddl")
        """,
    )
    return project


PINS = {
    "migrations/001_a/f/a.sql": "schemas/f/a.sql",
    "migrations/001_a/_project/sql/c.sql": "sql/c.sql",
    "migrations/002_b/f/a.sql": "schemas/f/a.sql",
    "migrations/002_b/b.sql.j2": "schemas/b.sql.j2",
}


def pinned(project: Project) -> dict[str, bytes]:
    found = (path for path in (project.root / "migrations").rglob("*") if path.is_file() and ".sql" in path.name)
    return {path.relative_to(project.root).as_posix(): path.read_bytes() for path in found}


def checksums(project: Project) -> list[object]:
    return [project.run("migrate", "show", version, "--format", "json").json["checksum"] for version in ("001", "002")]


def test_every_file_of_every_phase_is_copied_byte_by_byte(shop: Project) -> None:
    before, plan = checksums(shop), shop.run("migrate", "show", "002").out
    result = shop.run("migrate", "pin", "--offline", "--format", "json").json
    assert {one["pin"]: one["source"] for one in result["written"]} == PINS
    assert [one["version"] for one in result["written"]] == ["001", "001", "002", "002"]
    assert pinned(shop) == {pin: (shop.root / source).read_bytes() for pin, source in PINS.items()}
    assert checksums(shop) == before, "the text is the same"
    shop.ddl("f/a.sql", "CREATE TABLE a (x int, y int);")
    (shop.root / "schemas/b.sql.j2").unlink()
    assert checksums(shop) == before, "the schema files may change"
    assert shop.run("migrate", "show", "002").out == plan
    assert "Nothing to do" in shop.run("migrate", "pin", "--offline").out


def test_a_pin_is_never_replaced(shop: Project) -> None:
    shop.write("migrations/001_a/f/a.sql", "CREATE TABLE a (x text);")
    (shop.root / "schemas/b.sql.j2").chmod(0o755)
    result = shop.run("migrate", "pin", "001", "--offline")
    assert result.out == "migrations/001_a/_project/sql/c.sql: pinned from sql/c.sql\n"
    assert pinned(shop)["migrations/001_a/f/a.sql"] == b"CREATE TABLE a (x text);"
    shop.run("migrate", "pin", "--offline", "--replace", "001", expect=2)
    shop.run("migrate", "pin", "001", "--replace", "001", expect=2)
    shop.run("migrate", "pin", "003", expect=2)


def test_new_reminds_of_what_is_not_pinned(shop: Project) -> None:
    reminder = "2 migrations not pinned (001, 002): run `confiture migrate pin`"
    assert reminder in shop.run("new", "next").err
    shop.run("migrate", "pin", "--offline")
    assert "pinned" not in shop.run("new", "later").err


def test_mistakes_in_other_files_do_not_prevent_pins(shop: Project) -> None:
    shop.migration("003_c", "ddl: [f/missing.sql]\n")
    shop.migration("004_d", "ddl: {\n")
    result = shop.run("migrate", "pin", "--offline", "--format", "json", expect=2).json
    assert len(result["written"]) == 4
    assert [one["code"] for one in result["problems"]] == ["bad-yaml", "missing-file"]
    assert "bad-yaml" in shop.run("migrate", "pin", "004", "--offline", expect=2).err


def test_no_pin_is_written_through_a_link(shop: Project, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (shop.root / "migrations/001_a").symlink_to(outside)
    (shop.root / "migrations/002_b").mkdir()
    (shop.root / "migrations/002_b/f").symlink_to(outside)
    result = shop.run("migrate", "pin", "--offline", "--format", "json", expect=2).json
    assert [one["pin"] for one in result["written"]] == ["migrations/002_b/b.sql.j2"], "what can be pinned is"
    assert [one["code"] for one in result["problems"]] == ["linked-pin"] * 3
    assert not list(outside.iterdir())


def test_a_file_that_no_pin_can_mirror_is_refused(shop: Project) -> None:
    shop.ddl("_project/a.sql", "SELECT 1;")
    shop.migration("003_c", "ddl: [_project/a.sql]\n")
    assert "reserved-name" in shop.run("migrate", "pin", "003", "--offline", "--format", "json", expect=2).out


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_a_mistake(shop: Project) -> None:
    (shop.root / "migrations").chmod(0o555)
    try:
        assert "cannot write" in shop.run("migrate", "pin", "001", "--offline", expect=2).err
    finally:
        (shop.root / "migrations").chmod(0o755)


def test_files_in_a_migration_s_folder_that_no_step_names_are_reported(shop: Project) -> None:
    shop.write("migrations/001_a/f/010_old.sql", "SELECT 1;")
    shop.run("migrate", "pin", "--offline")
    assert shop.run("migrate", "validate").err == (
        "warning: migrations/001_a/f/010_old.sql is not read: 001_a names no such file; delete it, or name"
        " f/010_old.sql in a step\n"
    )


def test_a_partial_write_leaves_no_pin(shop: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        shop.run("migrate", "pin", "--offline", expect=2)
    assert not pinned(shop)


def test_without_hard_links_pins_are_written_too(shop: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", fail)
    shop.run("migrate", "pin", "--offline")
    assert set(pinned(shop)) == set(PINS)


def test_input_errors_have_a_place(tmp_path: Path) -> None:
    files(tmp_path, f"{OWN}/a.sql")
    (tmp_path / OWN / "a.sql").write_bytes(b"SELECT '\xff'")
    folders = DdlFolders(root=tmp_path, schemas=tmp_path / "schemas", migrations=tmp_path / "migrations")
    (tmp_path / "migrations/002_x.yaml").write_text("ddl: [a.sql]\n")
    problems = DiagnosticCollector()
    read_migration(tmp_path / "migrations/002_x.yaml", folders, MIGRATION_SCHEMA, problems)
    with pytest.raises(InputError, match=r"migrations/002_x/a.sql:1:9: byte 0xff is not UTF-8"):
        problems.raise_if_any()
