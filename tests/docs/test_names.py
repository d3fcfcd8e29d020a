"""Names of classes and modules: a class name means one thing, a module is a noun."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import confiture

PACKAGE = Path(confiture.__file__).parent
RULES = PACKAGE / "lint" / "rules"
"""Modules that have the name of their rule, which users write in settings."""
NOUNS_IN_ING = {
    "batching",
    "linting",
    "logging",
    "masking",
    "parsing",
    "rendering",
    "sampling",
    "scaling",
    "testing",
    "throttling",
}
IN_ED = {"embedded"}
"""The package of the embedded server."""


def test_a_class_name_means_one_thing() -> None:
    places = defaultdict(list)
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(f"{path.relative_to(PACKAGE)}:{node.lineno}")
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_a_module_is_no_verb_form() -> None:
    modules = [path for path in PACKAGE.rglob("*.py") if RULES not in path.parents]
    names = {path.stem for path in modules} | {path.parent.name for path in modules}
    assert {name for name in names if name.endswith(("ing", "ed"))} - NOUNS_IN_ING - IN_ED == set()
