"""The rule registry: the rules in `confiture.lint.rules`, one per file, and custom rules."""

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
"""The entry point group for packages with rules. Each entry point is a rule or a module with rules."""


class RulesByName(Mapping[str, Rule]):
    """Rules by name. Lookups also accept former names; iteration yields only current names."""

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
        """Add a rule. Raises ValueError if another rule has one of its names, current or former."""
        for name in (rule.name, *rule.aliases):
            if name in self:
                other = self[name]
                detail = "" if name == other.name else f", as a former name of {other.name!r}"
                raise ValueError(f"rule {name!r} already exists{detail}")
        self._rules[rule.name] = rule
        self._aliases |= dict.fromkeys(rule.aliases, rule)


@cache
def built_in_rules() -> RulesByName:
    """Return the rules that Confiture provides, by name."""
    modules = (import_module(f"{rules.__name__}.{module.name}") for module in iter_modules(rules.__path__))
    return RulesByName(module.RULE for module in modules)


def known_rules(settings: LintSettings, root: Path | None) -> RulesByName:
    """Return the built-in rules, the rules from installed packages, and the rules from modules that the settings name.

    Modules are also searched for in the project folder `root`. Raises InputError if a module or rule cannot be loaded,
    or if two rules have the same name.
    """
    known = RulesByName(built_in_rules().values())
    for source, rule, origin in (*_entry_point_rules(), *_settings_rules(settings, root)):
        try:
            known.add(rule)
        except ValueError as error:
            hint = "rename one of the two rules, or remove the shared alias"
            raise _rule_module_error(settings, source, f"{origin}: {error}", hint) from None
    return known


_LoadedRule = tuple[LocatedSource | None, Rule, str]


def _entry_point_rules() -> Iterator[_LoadedRule]:
    for entry in entry_points(group=ENTRY_POINTS):
        origin = f"entry point {entry.name!r}"
        try:
            loaded = entry.load()
        except Exception as error:
            message = f"{origin} in group {ENTRY_POINTS} cannot be loaded: {type(error).__name__}: {error}"
            hint = "fix or remove the package that provides it"
            raise InputError(Diagnostic(code="bad-plugin", message=message, hint=hint)) from error
        for rule in [loaded] if isinstance(loaded, Rule) else _module_rules(loaded):
            yield None, rule, origin


def _settings_rules(settings: LintSettings, root: Path | None) -> Iterator[_LoadedRule]:
    for source in settings.plugins:
        name = source.text.strip()
        try:
            with extended_sys_path(root):
                module = import_module(name)
        except Exception as error:
            message = f"module {name!r} cannot be imported: {type(error).__name__}: {error}"
            hint = "name an importable module, or one in the project folder"
            raise _rule_module_error(settings, source, message, hint) from error
        module_rules = list(_module_rules(module))
        if not module_rules:
            raise _rule_module_error(
                settings, source, f"module {name!r} has no rules", "define RULE, or a list RULES, in the module"
            )
        yield from ((source, rule, f"module {name!r}") for rule in module_rules)


def _module_rules(module: ModuleType) -> Iterator[Rule]:
    """Return the rules that a module defines in RULE and RULES."""
    rules_ = [getattr(module, "RULE", None), *getattr(module, "RULES", ())]
    return (rule for rule in rules_ if isinstance(rule, Rule))


def _rule_module_error(settings: LintSettings, source: LocatedSource | None, message: str, hint: str) -> InputError:
    if source is None or settings.file is None:
        return InputError(Diagnostic(code="bad-plugin", message=message, hint=hint))
    return InputError(settings.file.diagnostic(source.start, "bad-plugin", message, hint=hint))
