"""The shell steps of docs/ci run as written, with stand-ins for the services' own programs."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.support.paths import REPOSITORY
from tests.support.projects import Project

PAGES = REPOSITORY / "docs" / "ci"
# answers a list of comments with the id of ours, if there is one, and notes what it is asked to write
STAND_IN = """#!/bin/sh
echo "$(basename "$0") $*" >> {calls}
case "$*" in
  *PATCH*|*PUT*|*POST*) ;;
  *) cat {comments} ;;
esac
"""


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (PAGES / page).read_text(encoding="utf-8"), re.DOTALL)


def github_steps() -> list[str]:
    (document,) = blocks("github.md", "yaml")
    steps = YAML(typ="safe").load(document)["jobs"]["review"]["steps"]
    return [step["run"] for step in steps if "run" in step]


def gitlab_steps() -> list[str]:
    (document,) = blocks("gitlab.md", "yaml")
    return list(YAML(typ="safe").load(document)["review"]["script"])


@pytest.fixture
def shop(shop_18: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with a pending migration, and a folder of programs before all others."""
    shop_18.migration("001_a", "ddl: [{sql: 'CREATE TABLE w_a (id int PRIMARY KEY)'}]\ndown: [{sql: DROP TABLE w_a}]\n")
    programs = tmp_path_factory.mktemp("programs")
    write_program(programs / "confiture", f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m confiture "$@"\n')
    write_program(programs / "pip", "#!/bin/sh\n")
    shop_18.environ |= {"PATH": f"{programs}:{os.environ['PATH']}", "PROGRAMS": str(programs)}
    return shop_18


def write_program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def run(project: Project, script: str, **environ: str) -> str:
    done = subprocess.run(
        ["sh", "-e", "-c", script],
        cwd=project.root,
        env={**project.environment, **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def calls_after(project: Project, program: str, steps: list[str], comments: str, **environ: str) -> str:
    calls, listed = project.root / "calls.txt", project.root / "comments.txt"
    calls.write_text("")
    listed.write_text(comments)
    stand_in = STAND_IN.format(calls=calls, comments=listed)
    write_program(Path(project.environ["PROGRAMS"]) / program, stand_in)
    for step in steps:
        run(project, step, **environ)
    return calls.read_text()


def test_shell(shop: Project) -> None:
    check, plan, deploy, watch = blocks("shell.md", "sh")
    assert run(shop, watch) == "migrations are pending\n"
    run(shop, check + plan + deploy)
    assert run(shop, watch) == "up to date\n"
    assert "001 a" in (shop.root / "assessment.md").read_text()


def test_github_replaces_its_comment(shop: Project) -> None:
    environ = {
        "GITHUB_REPOSITORY": "o/r", "PULL_REQUEST": "7", "GITHUB_STEP_SUMMARY": str(shop.root / "summary.md"),
    }  # fmt: skip
    first = calls_after(shop, "gh", github_steps(), "", **environ)
    assert "--method POST repos/o/r/issues/7/comments --field body=@assessment.md" in first
    marker = "<!-- confiture assessment default development -->"
    assert (shop.root / "assessment.md").read_text().startswith(marker)
    assert f'startswith("{marker}")' in first
    second = calls_after(shop, "gh", github_steps()[-1:], "42\n", **environ)
    assert "--method PATCH repos/o/r/issues/comments/42 " in second
    assert "### Confiture: lint" in (shop.root / "summary.md").read_text()


def test_gitlab_replaces_its_comment(shop: Project) -> None:
    environ = {
        "CI_API_V4_URL": "https://g/api/v4",
        "CI_PROJECT_ID": "3",
        "CI_MERGE_REQUEST_IID": "7",
        "COMMENT_TOKEN": "t",
    }
    first = calls_after(shop, "curl", gitlab_steps(), '[{"id": 1, "body": "hello"}]', **environ)
    assert "--request POST --header PRIVATE-TOKEN: t --data-urlencode body@assessment.md" in first
    marker = "<!-- confiture assessment default development -->"
    second = calls_after(shop, "curl", gitlab_steps()[-1:], f'[{{"id": 42, "body": "{marker}\\nx"}}]', **environ)
    assert "merge_requests/7/notes/42" in second
