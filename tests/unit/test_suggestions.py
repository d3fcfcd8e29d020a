"""What was meant by an unknown name is looked for a bounded number of times."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import pytest

from confiture.output.terminal import console
from confiture.text import SuggestionLimit, closest_match, did_you_mean
from tests.support.projects import Project

MANY = 400


@pytest.mark.parametrize(
    ("word", "known", "found"),
    [
        pytest.param("dll", ["ddl", "down"], "ddl", id="letters exchanged"),
        pytest.param("DDL", ["ddl"], "ddl", id="another case"),
        pytest.param("readmodel", ["ReadModel"], "ReadModel", id="known in another case"),
        pytest.param("zzz", ["ddl"], None, id="far"),
        pytest.param("x", [], None, id="nothing known"),
        pytest.param("", ["ddl"], None, id="empty"),
        pytest.param("d" * 201, ["d" * 200], None, id="too long"),
        pytest.param("a1", [f"a{n}" for n in range(5_001)], None, id="too many known"),
    ],
)
def test_the_nearest_word_is_found(word: str, known: Sequence[str], found: str | None) -> None:
    assert closest_match(word, known) == found
    assert did_you_mean(word, known) == (f"did you mean {found!r}?" if found else None)


def test_suggestions_end() -> None:
    suggestions = SuggestionLimit()
    assert [suggestions.did_you_mean("dll", ["ddl"]) for _ in range(21)] == ["did you mean 'ddl'?"] * 20 + [None]


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The words that were looked for."""
    words: list[str] = []
    find = difflib.get_close_matches

    def noted(word: str, *args: Any, **named: Any) -> list[str]:
        words.append(word)
        return find(word, *args, **named)

    monkeypatch.setattr(difflib, "get_close_matches", noted)
    return words


UNKNOWN = {
    "requirements": "requires: [{}]\nddl: [{{sql: SELECT 1}}]".format(", ".join(f'"{n}"' for n in range(2, MANY))),
    "names in a template": "ddl: [{{sql: 'SELECT {}'}}]".format(", ".join(f"{{{{ nam{n} }}}}" for n in range(MANY))),
    "names and variables": "vars: {{{}}}\nddl: [{{sql: 'SELECT {}'}}]".format(
        ", ".join(f"name{n}: 1" for n in range(MANY)),
        ", ".join(f"{{{{ nam{n} }}}}" for n in range(MANY)),
    ),
    "names in many steps": "ddl:\n" + "".join(f"  - sql: SELECT {{{{ nam{n} }}}}\n" for n in range(MANY)),
    "files": "ddl: [{}]".format(", ".join(f"fil{n}.sql" for n in range(MANY))),
    "hooks": "ddl: [{}]".format(", ".join(f"{{hook: hok{n}}}" for n in range(MANY))),
}


@pytest.mark.parametrize("text", UNKNOWN.values(), ids=UNKNOWN)
def test_many_unknown_names_are_all_told_and_few_looked_for(project: Project, searches: list[str], text: str) -> None:
    project.ddl("file.sql", "SELECT 1;")
    project.migration("001_a", text)
    told = project.run("migrate", "validate", expect=2).err
    assert told.count("error[") >= MANY - 2
    assert 0 < len(searches) <= 20


@pytest.mark.parametrize("width", [20, 80, 200])
@pytest.mark.parametrize(
    "line",
    [
        pytest.param("".join(f"word{n} " for n in range(500)), id="long"),
        pytest.param("a\tb" * 200, id="tabs"),
        pytest.param("short", id="short"),
        pytest.param("x" * 80, id="as wide"),
        pytest.param("\x07" * 300, id="not printable"),
        pytest.param("日本語" * 100, id="wide characters"),
    ],
)
def test_the_part_of_a_line_around_a_column_is_shown(line: str, width: int) -> None:
    for column in {0, 1, len(line) // 2, len(line) - 1}:
        shown, at = console._excerpt_window(line, column, width)
        assert len(shown) <= width
        expected = line[column] if line[column].isprintable() else "·"
        assert line[column] == "\t" or shown[at] in (expected, "…"), (column, shown, at)
        if len(line.expandtabs(4)) <= width:
            assert "…" not in shown
