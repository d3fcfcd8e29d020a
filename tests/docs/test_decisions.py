"""docs/decisions: each page has its three parts and a line in the index."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.paths import REPOSITORY

FOLDER = REPOSITORY / "docs" / "decisions"
PAGES = sorted(FOLDER.glob("[0-9]*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_decision_has_its_parts(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith(f"# {int(page.name[:4])}. ")
    headings = [line for line in lines if line.startswith("## ")]
    assert [heading for heading in headings if heading != "## Measured"] == [
        "## Context",
        "## Decision",
        "## Consequences",
    ]


def test_the_index_lists_every_decision_once() -> None:
    index = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert [index.count(f"]({page.name})") for page in PAGES] == [1] * len(PAGES)
    assert [int(page.name[:4]) for page in PAGES] == list(range(1, len(PAGES) + 1))
