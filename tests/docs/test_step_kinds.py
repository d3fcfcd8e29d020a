"""Every kind of step and every action is in every table, and docs/extending.md says how to add a kind."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from confiture.core.dry_run.dry_run_transaction import WITHOUT_CHECKS
from confiture.core.reconcile.ad_hoc import VERIFY_BY_ACTION
from confiture.core.run.steps import RUN_BY_ACTION
from confiture.models import migration
from confiture.models.migration import Step
from confiture.models.plan import StepAction
from confiture.plan.step_kinds import STEP_KINDS
from tests.support.paths import REPOSITORY
from tests.support.projects import Project
from tests.support.servers import Database

PACKAGE = REPOSITORY / "confiture"
KINDS = {kind.step_type for kind in STEP_KINDS}
ABOUT_HOOKS = {"plan/hooks.py", "plan/planner.py", "files/python/python_file.py"}
"""Modules whose subject is one kind: they find hooks."""


def test_every_kind_and_every_action_is_in_every_table():
    classes = {one for one in vars(migration).values() if isinstance(one, type) and issubclass(one, Step)}
    assert {one for one in classes if "kind" in vars(one)} == KINDS
    assert set(RUN_BY_ACTION) == set(WITHOUT_CHECKS) == set(StepAction)
    assert set(VERIFY_BY_ACTION) == {action for action in StepAction if action.only_reads}


def test_only_a_kind_tells_kinds_apart():
    names = "|".join(sorted(one.__name__ for one in KINDS))
    asks = re.compile(rf"isinstance\([^()]*\b({names})\b")
    found = {
        str(path.relative_to(PACKAGE)): asks.findall(path.read_text(encoding="utf-8"))
        for path in PACKAGE.rglob("*.py")
        if path.parent.name != "step_kinds"
    }
    asking = {path: set(kinds) for path, kinds in found.items() if kinds}
    assert asking == {module: {"HookStep"} for module in ABOUT_HOOKS}


@pytest.fixture
def extended(shop_18: Project, tmp_path: Path) -> Project:
    """A project that runs a copy of the package with the step kind that docs/extending.md adds."""
    copy = tmp_path / "copy"
    shutil.copytree(PACKAGE, copy / "confiture", ignore=shutil.ignore_patterns("__pycache__"))
    section = (REPOSITORY / "docs" / "extending.md").read_text(encoding="utf-8").split("## A step kind\n")[1]
    section = section.split("\n## ")[0]
    blocks = re.findall(r"^### \d\. .*?`(confiture/\S+)`\n.*?^```(\w+)\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    assert [(path, form) for path, form, _ in blocks] == [
        ("confiture/models/migration.py", "python"),
        ("confiture/plan/step_kinds/notify.py", "python"),
        ("confiture/plan/step_kinds/__init__.py", "diff"),
    ]
    for path, form, text in blocks:
        target = copy / path
        former = target.read_text(encoding="utf-8") if target.exists() else ""
        changed = _applied(former, text) if form == "diff" else f"{former}\n\n{text}" if former else text
        target.write_text(changed, encoding="utf-8")
    shop_18.environ["PYTHONPATH"] = str(copy)
    return shop_18


def _applied(text: str, diff: str) -> str:
    """A text with the lines that a diff adds, each pair of lines behind the one above."""
    lines = diff.splitlines()
    for context, added in zip(lines[::2], lines[1::2], strict=True):
        assert text.count(f"{context[1:]}\n") == 1, context
        text = text.replace(f"{context[1:]}\n", f"{context[1:]}\n{added[1:]}\n")
    return text


def test_a_kind_of_three_files_runs_everywhere(extended: Project, database_18: Database) -> None:
    extended.migration("001_a", 'ddl: [{notify: shop "news"}]\ndown: [{notify: closed}]\n')
    assert "notifies shop &quot;news&quot;".replace("&quot;", '"') in extended.process("migrate", "show", "1").out
    (step,) = extended.process("migrate", "show", "1", "--format", "json").json["segments"][0]["steps"]
    assert step["notify"] == {"channel": 'shop "news"'}
    assert step["hook"] is None
    with database_18.connect() as listener:
        listener.execute('LISTEN "shop ""news"""')
        (traced,) = extended.process("migrate", "--dry-run", "--format", "json").json["migrations"]
        assert [one["outcome"] for one in traced["steps"]] == ["done"]
        assert list(listener.notifies(timeout=0)) == []
        extended.process("migrate", "up")
        assert [one.channel for one in listener.notifies(timeout=10, stop_after=1)] == ['shop "news"']
    wrong = extended.migration("002_b", "ddl: [{notify: a, sql: SELECT 1}]")
    assert "file, sql, check, backfill, reconcile, hook" in extended.process("migrate", "validate", expect=2).err
    wrong.unlink()
    assert '"notify"' in extended.process("schema").out
    assert "ok" in extended.process("migrate", "down").out
