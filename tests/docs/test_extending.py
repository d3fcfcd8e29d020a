"""docs/extending.md, followed step by step."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from confiture.output import formats
from confiture.output.document import Document
from confiture.output.formats import OutputFormat, formats_for
from confiture.output.writer import LintSummary, WriterContext
from tests.support.linting import lint, settings
from tests.support.paths import REPOSITORY
from tests.support.projects import Project

TEXT = (REPOSITORY / "docs/extending.md").read_text(encoding="utf-8")


def code_blocks(heading: str) -> list[str]:
    """The Python blocks below a heading of the page."""
    section = TEXT.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return [re.sub(r"(?m)^   ", "", block) for block in re.findall(r"```python\n(.*?)```", section, re.DOTALL)]


@pytest.fixture
def linted(project: Project) -> Project:
    (rule,) = code_blocks("A lint rule")
    project.write("json_column.py", rule)
    settings(project, "{plugins: json_column}")
    project.ddl("a.sql", "CREATE TABLE w_a (id int PRIMARY KEY, a json, b jsonb);\n")
    return project


def test_the_rule_finds_what_it_says(linted: Project) -> None:
    (found,) = [one for one in lint(linted).findings if one.rule == "json_column"]
    assert (found.message, found.severity, found.hint) == ("w_a.a is json", "warning", "use jsonb")


def test_the_format_is_offered_for_findings_and_writes_them(
    linted: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, entry = code_blocks("An output format")
    (tmp_path / "teamcity_format.py").write_text(module)
    monkeypatch.syspath_prepend(tmp_path)
    made = eval(
        entry.replace("confiture.output.ci.teamcity", "teamcity_format"),
        {"OutputFormat": OutputFormat, "Document": Document},
    )
    monkeypatch.setattr(formats, "FORMATS", (*formats.FORMATS, made))
    assert "teamcity" in formats_for(Document.FINDINGS)
    assert "teamcity" not in formats_for(Document.RUN)
    written: list[str] = []
    context = WriterContext(root=linted.root, environ={}, write=written.append, write_clean=written.append)
    report = lint(linted, "json_column")
    made.open(context).findings(LintSummary(report=report, failing=(), rules=dict, duration_ms=1.0))
    assert written == ["##teamcity[inspection typeId='json_column' message='w_a.a is json']\n"]
    sys.modules.pop("teamcity_format")
