"""The example project: up, down, up again; every migration undoes what it did."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.fix_projects import REPOSITORY, Project
from tests.fix_servers import Database


def _copy_example(target: Path) -> None:
    for name in ("schemas_example", "migrations_example"):
        shutil.copytree(REPOSITORY / name, target / name)
    shutil.copy(REPOSITORY / "confiture.yaml", target)


def test_each_migration_goes_up_down_and_up_again(tmp_path: Path, database: Database) -> None:
    _copy_example(tmp_path)
    project = Project(tmp_path, {"DATABASE_URL": database.url})
    # a fiftieth of the data: what is tested is the schema
    size = ("--var", "tenants=6", "--var", "customers=400", "--var", "orders=4000")
    pending = [row["version"] for row in project.run("migrate", "status", "--format", "json", *size).json["pending"]]
    before = database.dump()
    for version in pending:
        project.run("migrate", "up", "--to", version, *size)
        after = database.dump()
        project.run("migrate", "down", *size)
        assert database.dump() == before, f"down of {version}"
        project.run("migrate", "up", "--to", version, *size)
        assert database.dump() == after, f"up again of {version}"
        before = after
    report = project.run("migrate", "down", "--to", "0", "--format", "json", *size).json
    assert [migration["version"] for migration in report["migrations"]] == pending[::-1]
    assert database.rows("SELECT count(*) FROM confiture.migrations") == [(0,)]


def test_the_whole_example_has_the_promised_size(tmp_path: Path, database_18: Database) -> None:
    _copy_example(tmp_path)
    project = Project(tmp_path, {"DATABASE_URL": database_18.url})
    project.run("migrate", "up")
    assert database_18.rows(
        "SELECT (SELECT count(*) >= 20 FROM w_tenants), (SELECT count(*) >= 20000 FROM w_customers),"
        " (SELECT count(*) >= 200000 FROM w_orders), (SELECT count(*) FROM r_customer_lifetime_value) = 20000"
    ) == [(True, True, True, True)]
