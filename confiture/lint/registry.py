"""Finds the rules: those of `confiture.lint.rules`, one a file, and those of users."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType

from confiture.errors import Diagnostic, InputError
from confiture.files.python.modules import extended_sys_path
from confiture.lint import rules
from confiture.lint.engine.rule import Rule
from confiture.models.settings import LintSettings
from confiture.models.source import LocatedSource

ENTRY_POINTS = "confiture.rules"
"""The group of entry points by which packages offer rules: each a rule, or a module with some."""


class RulesByName(Mapping[str, Rule]):
    """Rules by name. A former name of a rule gives it, too, but only present names are listed."""

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self._rules: dict[str, Rule] = {}
        self._aliases: dict[str, Rule] = {}
        for rule in rules:
            self.add(rule)

    def __getitem__(self, name: str) -> Rule:
        return self._rules[name] if name in self._rules else self._aliases[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rules)

    def __len__(self) -> int:
        return len(self._rules)

    def add(self, rule: Rule) -> None:
        """Adds a rule. Raises ValueError for a name, present or former, that another rule has."""
        for name in (rule.name, *rule.aliases):
            if name in self:
                other = self[name]
                whose = "" if name == other.name else f": it is a former name of {other.name!r}"
                raise ValueError(f"there is already a rule {name!r}{whose}")
        self._rules[rule.name] = rule
        self._aliases |= dict.fromkeys(rule.aliases, rule)


@cache
def built_in_rules() -> RulesByName:
    """The rules that come with Confiture, by name."""
    modules = (import_module(f"{rules.__name__}.{module.name}") for module in iter_modules(rules.__path__))
    return RulesByName(module.RULE for module in modules)


def known_rules(settings: LintSettings, root: Path | None) -> RulesByName:
    """The built-in rules, those of installed packages, and those of the modules that the settings name.

    Modules are also looked for in the project's folder `root`. Raises InputError for what cannot be loaded, and for a
    name that two rules have.
    """
    known = RulesByName(built_in_rules().values())
    for source, rule, origin in (*_entry_point_rules(), *_settings_rules(settings, root)):
        try:
            known.add(rule)
        except ValueError as error:
            hint = "give one of the two another name, and no alias that the other has"
            raise _rule_module_error(settings, source, f"{origin}: {error}", hint) from None
    return known


_Found = tuple[LocatedSource | None, Rule, str]


def _entry_point_rules() -> Iterator[_Found]:
    for entry in entry_points(group=ENTRY_POINTS):
        origin = f"the entry point {entry.name!r}"
        try:
            loaded = entry.load()
        except Exception as error:
            message = f"{origin} of {ENTRY_POINTS} cannot be loaded: {type(error).__name__}: {error}"
            hint = "mend or remove the package that offers it"
            raise InputError(Diagnostic(code="bad-plugin", message=message, hint=hint)) from error
        for rule in [loaded] if isinstance(loaded, Rule) else _module_rules(loaded):
            yield None, rule, origin


def _settings_rules(settings: LintSettings, root: Path | None) -> Iterator[_Found]:
    for source in settings.plugins:
        name = source.text.strip()
        try:
            with extended_sys_path(root):
                module = import_module(name)
        except Exception as error:
            message = f"the module {name!r} cannot be imported: {type(error).__name__}: {error}"
            hint = "name a module that Python finds, or one in the project's folder"
            raise _rule_module_error(settings, source, message, hint) from error
        found = list(_module_rules(module))
        if not found:
            raise _rule_module_error(
                settings, source, f"the module {name!r} has no rules", "give it a RULE, or a list RULES"
            )
        yield from ((source, rule, f"the module {name!r}") for rule in found)


def _module_rules(module: ModuleType) -> Iterator[Rule]:
    """The rules of a module: its RULE, and those of its RULES."""
    offered = [getattr(module, "RULE", None), *getattr(module, "RULES", ())]
    return (rule for rule in offered if isinstance(rule, Rule))


def _rule_module_error(settings: LintSettings, source: LocatedSource | None, message: str, hint: str) -> InputError:
    if source is None or settings.file is None:
        return InputError(Diagnostic(code="bad-plugin", message=message, hint=hint))
    return InputError(settings.file.diagnostic(source.start, "bad-plugin", message, hint=hint))
