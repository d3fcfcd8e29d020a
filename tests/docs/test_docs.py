"""The documents are held against the code: commands, options, keys, files, and every YAML they show."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
import typer

from confiture.cli.app import app
from confiture.core.db.queries import FORMAT, history_schema_sql
from confiture.errors import DiagnosticCollector, ExitCode
from confiture.files.schema.reader import InvalidValue, Reader
from confiture.files.settings import SETTINGS_SHAPE
from confiture.files.source_files import parse_yaml
from confiture.models.migration import Operator, Phase
from confiture.models.source import NamedFile, SourceFile
from confiture.plan.step_kinds import MIGRATION_SCHEMA
from tests.support.paths import REPOSITORY
from tests.support.servers import Database

DOCS = {path.name: path.read_text() for path in [*(REPOSITORY / "docs").glob("*.md"), REPOSITORY / "README.md"]}
COMMANDS = typer.main.get_command(app)
_CELL_LENGTH = 100
"""The longest cell of a table in characters, without names in code."""


def _commands(group: object, prefix: str = "confiture") -> dict[str, object]:
    found: dict[str, object] = {}
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        if hasattr(command, "commands"):
            found |= _commands(command, f"{prefix} {name}")
        else:
            found[f"{prefix} {name}"] = command
    return found


@pytest.mark.parametrize("command", _commands(COMMANDS))
def test_every_command_is_documented(command: str) -> None:
    assert f"`{command}" in DOCS["commands.md"] + DOCS["embedded.md"], command


@pytest.mark.parametrize("command", [name for name in _commands(COMMANDS) if " db " not in name])
def test_every_option_is_documented(command: str) -> None:
    for parameter in _commands(COMMANDS)[command].params:  # type: ignore[attr-defined]
        for option in parameter.opts:
            if option.startswith("--") and option != "--help":
                assert option in DOCS["commands.md"], f"{command} {option}"


def test_every_exit_code_is_documented() -> None:
    for code in ExitCode:
        assert f"| {int(code)} |" in DOCS["commands.md"]


def test_every_key_is_documented() -> None:
    for key in (*MIGRATION_SCHEMA.record.keys, *Phase):
        assert f"`{key}`" in DOCS["migrations.md"], key
    for operator in get_args(Operator):
        assert f"`{operator}`" in DOCS["migrations.md"], operator
    for key in SETTINGS_SHAPE.keys:
        assert f"{key}:" in DOCS["settings.md"], key


PAGES = [*(REPOSITORY / "docs").rglob("*.md"), *REPOSITORY.glob("*.md"), REPOSITORY / "benchmarks" / "README.md"]


def _without_code(page: Path) -> str:
    return re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def _anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", _without_code(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", _without_code(page)):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert path.startswith("http") or target.exists(), link
        assert not anchor or path.startswith("http") or anchor in _anchors(target), link


@pytest.mark.parametrize("name", sorted(DOCS))
def test_a_table_cell_holds_one_clause(name: str) -> None:
    rows = [line for line in _without_links(DOCS[name]).splitlines() if line.startswith("|")]
    cells = [cell.strip() for row in rows for cell in re.split(r"(?<!\\)\|", re.sub(r"[,() ]*`[^`]*`", "", row))]
    assert [cell for cell in cells if len(cell) > _CELL_LENGTH or re.search(r"[a-z]\. [A-Z]", cell)] == []


def _without_links(text: str) -> str:
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)


def _always(file: SourceFile) -> Callable[[object], NamedFile]:
    return lambda _: NamedFile(file=file)


@pytest.mark.parametrize("name", ["README.md", "settings.md"])
def test_shown_files_are_valid(name: str, tmp_path: Path) -> None:
    for block in re.findall(r"```yaml\n(.*?)```", DOCS[name], re.DOTALL):
        file = SourceFile(path=name, text=block)
        shape = SETTINGS_SHAPE if "database:" in block else MIGRATION_SCHEMA.record
        problems = DiagnosticCollector()
        node = parse_yaml(file, str)
        assert node
        try:
            shape.read(node, Reader(file, problems, _always(file)))
        except InvalidValue:
            pytest.fail("\n".join(map(str, problems)))


def test_ci_runs_the_readme_s_test_command() -> None:
    command = "python3 -m venv .venv && .venv/bin/pip install -q -e '.[dev]' && .venv/bin/python -m pytest -n auto"
    assert command in DOCS["README.md"]
    assert command in (REPOSITORY / ".ci/run").read_text()
    assert command in (REPOSITORY / "CONTRIBUTING.md").read_text()


def test_every_table_of_ours_is_documented(database_18: Database) -> None:
    database_18.execute("CREATE SCHEMA confiture;" + history_schema_sql(0).decode())
    tables = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'confiture'"
    rows = [line for line in DOCS["state.md"].splitlines() if line.startswith("| `")]
    for table, column in database_18.rows(tables):
        (row,) = [line for line in rows if line.startswith(f"| `{table}` |")]
        assert f"`{column}`" in row, (table, column)
    assert f"now {FORMAT} |" in DOCS["state.md"]
