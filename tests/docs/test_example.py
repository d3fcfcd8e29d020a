"""The example project: up, down, up again; every migration undoes what it did."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

from tests.support.paths import REPOSITORY
from tests.support.projects import Project, Result
from tests.support.servers import Database


def _copy_example(target: Path) -> None:
    for name in ("schemas_example", "migrations_example"):
        shutil.copytree(REPOSITORY / name, target / name)
    shutil.copy(REPOSITORY / "confiture.yaml", target)


def test_each_migration_goes_up_down_and_up_again(tmp_path: Path, database_18: Database) -> None:
    _copy_example(tmp_path)
    database = database_18
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


def _typed(project: Project, section: str) -> list[Result]:
    """What the commands of a section of the tutorial give, typed as they stand; what is not ours runs in a shell."""
    text = (REPOSITORY / "docs/tutorial.md").read_text().partition(f"## {section}\n")[2].partition("\n## ")[0]
    script = "".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
    results = []
    for others, command in re.findall(r"(.*?)^(?:confiture ([^\n]*)\n|\Z)", script, re.DOTALL | re.MULTILINE):
        subprocess.run(["sh", "-ec", others], cwd=project.root, check=True)
        if command:
            results.append(project.run(*shlex.split(command, comments=True), expect=None))
    return results


def test_the_whole_example_and_the_tutorial_are_as_promised(tmp_path: Path, database_18: Database) -> None:
    _copy_example(tmp_path)
    project = Project(tmp_path, {"DATABASE_URL": database_18.url})
    project.run("migrate", "up")
    assert database_18.rows(
        "SELECT (SELECT count(*) >= 20 FROM w_tenants), (SELECT count(*) >= 20000 FROM w_customers),"
        " (SELECT count(*) >= 200000 FROM w_orders), (SELECT count(*) FROM r_customer_lifetime_value) = 20000"
    ) == [(True, True, True, True)]
    up, _, lint, dry_run, fixed, rehearsed, pinned, applied, compared = _typed(project, "Add a read model")
    assert "Nothing to do" in up.out
    assert (lint.code, "error[tenant_grouping]" in lint.out) == (1, True)
    assert (dry_run.code, "r_payment_methods mix tenants" in dry_run.out) == (1, True)
    assert [result.code for result in (fixed, rehearsed, pinned, applied, compared)] == [0, 0, 0, 0, 0]
    assert "1 isolated" in rehearsed.out
    assert database_18.value("SELECT count(DISTINCT tenant_id) FROM r_payment_methods") == 24
    _, broken, unproved = _typed(project, "Break a backfill")
    assert (broken.code, "015_add_broken.yaml:5:11" in broken.err) == (4, True)
    assert (unproved.code, "'totals are what was ordered' does not hold" in unproved.err) == (1, True)
    assert "Nothing to do" in project.run("migrate", "up").out
