"""Finds the rules: those of `confiture.lint.rules`, one a file."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from confiture.lint import rules
from confiture.lint.rule import Rule


@cache
def built_in_rules() -> Mapping[str, Rule]:
    """The rules that come with Confiture, by name."""
    modules = (import_module(f"{rules.__name__}.{module.name}") for module in iter_modules(rules.__path__))
    return {module.RULE.name: module.RULE for module in modules}
