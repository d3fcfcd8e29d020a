"""Messages, help, comments and pages are plain English: the words of a private dialect do not come back."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import REPOSITORY

_WORDS = {
    r"tell|tells|told": "report, print, log",
    r"mend|mends|mended|mending": "fix",
    r"anew": "again; rewrites the table",
    r"lest": "so that ... not",
    r"thus far": "so far",
    r"nobody|somebody|whoever|whomever": "the caller, another session, the user",
    r"held against|holds against|hold against": "compared with, checked against",
    r"of ours|of theirs|of one's own": "internal, custom",
    r"heirs?": "inheritance children",
    r"looks? on|looking on": "poll, check, sample",
    r"knows? no|knew no": "does not support",
    r"(?<!there )(?:is|are) no(?! longer| more| less)": "is not a",
    r"at the most so long": "an upper bound",
    r"stands? in|standing in|stands? between": "is in",
    r"at hand": "current",
    r"from end to end": "sequential scan",
    r"(?:say|says|said) so": "report this",
    r"sign of life": "heartbeat",
}
_DIALECT = re.compile(rf"\b(?:{'|'.join(_WORDS)})\b", re.IGNORECASE)
_QUESTION = re.compile(r"(?:What|Where|How|Who|Whose|Whom|That)\b")
_CODE = [
    path
    for pattern in ("*.py", "*.sql", "*.j2")
    for path in sorted((REPOSITORY / "confiture").rglob(pattern))
    if not path.name.endswith(".qualified.sql")
]
_PAGES = [
    *sorted((REPOSITORY / "docs").rglob("*.md")),
    *(REPOSITORY / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
]


def _name(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


@pytest.mark.parametrize("path", [*_CODE, *_PAGES], ids=_name)
def test_the_words_of_the_dialect_are_gone(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    found = [
        f"{_name(path)}:{number}: {match[0]!r}: {line.strip()}"
        for number, line in enumerate(lines, 1)
        for match in _DIALECT.finditer(line)
    ]
    assert found == []


@pytest.mark.parametrize("path", [path for path in _CODE if path.suffix == ".py"], ids=_name)
def test_docstrings_begin_with_a_verb_or_a_noun(path: Path) -> None:
    questions = [one for one in _docstrings(path) if _QUESTION.match(one)]
    assert questions == []


def _docstrings(path: Path) -> Iterator[str]:
    """The docstrings of a module: its own, those of its classes and functions, and those below assignments."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value


@pytest.mark.parametrize(
    "sentence",
    ["The user is told of it.", "PostgreSQL writes the table anew.", "This is no table.", "Nobody knows no rule."],
)
def test_the_test_sees_them(sentence: str) -> None:
    assert _DIALECT.search(sentence)


@pytest.mark.parametrize("sentence", ["There is no table.", "The key is no longer there.", "An untold number."])
def test_plain_words_are_left_alone(sentence: str) -> None:
    assert not _DIALECT.search(sentence)
