"""docs/glossary.md defines the nouns of the domain: those of the package's public classes."""

from __future__ import annotations

import ast
import re

import pytest

import confiture
from tests.support.paths import REPOSITORY

GLOSSARY = (REPOSITORY / "docs" / "glossary.md").read_text(encoding="utf-8")
ENTRIES = re.split(r"^- ", GLOSSARY, flags=re.MULTILINE)[1:]


def _terms(entry: str) -> list[str]:
    """The terms that an entry defines, in bold before its colon."""
    return [term.lower() for term in re.findall(r"\*\*([^*]+)\*\*", entry.partition(":")[0])]


TERMS = {term for entry in ENTRIES for term in _terms(entry)}
PROGRAMMING = """
access analysis analyzer applier band bar budget builder cache call change chart choice clock code collector config
console
constant content context controller cursor deadline dependencies description document duration emitter entry error
factory facts fields file filter flags folders forbidden format gate group id info inputs interval item key kind lane
leaf limit limits list literals log machine map messages migrator mode monitor name names not observation observer of
offsets on operators options others overrides panel path persistence planner point policy problem process prover query
range reader record recorder ref references resolver result row sampler satisfied scope server set signature site size
sizer source spec state store stream summary text token totals tracer transition tristate type unqualifiable use user
v1 v2 value values view writer writes
"""
"""General words of programming. They need no entry."""
FORMER = {"claims", "hit"}
"""Former names of public classes, which still work."""
POSTGRESQL = """
boolean clause column comment connection constraint database extension function grant hop index integer join lock locks
notice query rows scalar schema sequence sql statement statements table transaction trigger view
"""
"""What PostgreSQL's own documentation defines."""
_VERB_FORMS = re.compile(r"ed$|^(held|found|lost|waiting|provable|comparable|unavailable|unqualifiable)$")
"""The ends of the names of events and exceptions. The noun is before them."""


def is_defined(name: str) -> bool:
    """Whether the noun of a class name, its last word or last two words, needs no entry or has one."""
    words = [word.lower() for word in re.findall(r"[A-Z][a-z0-9]*", name)]
    if len(words) > 1 and re.search(_VERB_FORMS, words[-1]):
        words.pop()
    singular = [*words[:-1], re.sub(r"(?<=ss)es$|(?<!s)s$", "", words[-1])]
    candidates = {words[-1], singular[-1], " ".join(words[-2:]), " ".join(singular[-2:])}
    return bool(candidates & {*TERMS, *PROGRAMMING.split(), *POSTGRESQL.split(), *FORMER})


def public_classes() -> set[str]:
    package = REPOSITORY / "confiture"
    modules = (ast.parse(path.read_bytes()) for path in package.rglob("*.py"))
    found = {node.name for module in modules for node in module.body if isinstance(node, ast.ClassDef)}
    return {name for name in {*found, *confiture.__all__} if name[0].isupper()}


def test_every_noun_of_a_public_class_has_an_entry() -> None:
    assert sorted(name for name in public_classes() if not is_defined(name)) == []


@pytest.mark.parametrize("name", ["Gizmo", "BackfillGizmo", "GizmosFinished"])
def test_a_class_with_an_undefined_noun_is_found(name: str) -> None:
    assert not is_defined(name)


@pytest.mark.parametrize("name", ["TableBatch", "LockHeld", "KeysetCursor", "DiagnosticCollector", "Findings"])
def test_a_class_with_a_defined_noun_is_not(name: str) -> None:
    assert is_defined(name)


def test_each_term_has_one_entry() -> None:
    terms = [term for line in ENTRIES for term in _terms(line)]
    assert sorted({term for term in terms if terms.count(term) > 1}) == []


def test_each_entry_links_to_a_page() -> None:
    assert [entry for entry in ENTRIES if not re.search(r"\]\([\w/.#-]+\)", entry)] == []
