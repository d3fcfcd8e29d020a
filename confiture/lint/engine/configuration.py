"""The active rules and their options, resolved from the settings and the registry."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from fnmatch import fnmatchcase
from typing import Any

from confiture.errors import Diagnostic, DiagnosticCollector, InputError, Span
from confiture.files.lint_settings import rule_settings_schema
from confiture.files.schema.reader import shorten
from confiture.lint.engine.rule import Option, Rule, Violation
from confiture.models.records import record
from confiture.models.settings import LintSettings, RuleSettings, Severity
from confiture.text import did_you_mean


@record(frozen=True, kw_only=True, slots=True)
class ActiveRule:
    """A configured rule: its severity (None for the rule's default), its options, and the tables that it checks."""

    rule: Rule
    severity: Severity | None = None
    tables: tuple[str, ...] = ("*",)
    exempt: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    def severity_for(self, violation: Violation) -> Severity:
        """Return the severity from the settings, else from the violation, else from the rule."""
        return self.severity or violation.severity or self.rule.severity

    def applies_to(self, relation: str | None) -> bool:
        """Whether the patterns select a relation.

        The patterns are matched against both the unqualified and the qualified name.
        """
        if self.tables == ("*",) and not self.exempt:
            return True
        names = () if relation is None else (relation, relation.rpartition(".")[2])
        return _matches(names, self.tables) and not _matches(names, self.exempt)


def _matches(names: tuple[str, ...], patterns: tuple[str, ...]) -> bool:
    return any(pattern == "*" or fnmatchcase(name, pattern) for pattern in patterns for name in names or ("",))


def active_rules(settings: LintSettings, rules: Mapping[str, Rule]) -> tuple[ActiveRule, ...]:
    """Return the rules that are on by default and those that the settings enable, with their configuration.

    A rule with several entries runs once for each entry. Raises InputError, which lists all errors in the entries.
    """
    problems = DiagnosticCollector()
    entries = [_resolve_entry(entry, rules, _make_reporter(settings, problems)) for entry in settings.rules]
    problems.raise_if_any()
    named = {rules[entry.type].name for entry in settings.rules}
    unnamed = [rule for rule in rules.values() if rule.name not in named and not rule.off_by_default]
    enabled = [active for active in entries if active is not None]
    return (*(default_active_rule(rule) for rule in unnamed), *enabled)


def default_active_rule(rule: Rule, options: Mapping[str, Any] | None = None) -> ActiveRule:
    """Return a rule with its default configuration and the given options."""
    return ActiveRule(rule=rule, options=default_options(rule) | dict(options or {}))


def default_options(rule: Rule) -> dict[str, Any]:
    """Return the default options of a rule."""
    return {name: option.default for name, option in rule.options.items()}


_Report = Callable[[Span | None, str, str, str], None]


def _make_reporter(settings: LintSettings, problems: DiagnosticCollector) -> _Report:
    def report(span: Span | None, code: str, message: str, hint: str) -> None:
        if settings.file and span:
            problems.add(settings.file.diagnostic(span, code, message, hint=hint))
        else:
            problems.add(Diagnostic(code=code, message=message, hint=hint))

    return report


def _resolve_entry(entry: RuleSettings, rules: Mapping[str, Rule], report: _Report) -> ActiveRule | None:
    """Return the configured rule for an entry; None if the rule is off or the entry has errors, which are reported."""
    rule = rules.get(entry.type)
    if rule is None:
        hint = did_you_mean(entry.type, rules) or "list all rules with `confiture lint --list-rules`"
        report(entry.spans.get("type", entry.span), "unknown-rule", f"unknown rule {shorten(entry.type)!r}", hint)
        return None
    options = default_options(rule)
    for name, value in entry.options.items():
        span = entry.spans.get(name, entry.span)
        option = rule.options.get(name)
        if option is None:
            keys = ("type", "tables", "except", "severity", *rule.options)
            hint = did_you_mean(name, keys) or f"known keys: {', '.join(keys)}"
            report(span, "unknown-key", f"unknown key {shorten(name)!r} of {rule.name}", hint)
        elif (read := _read_option(value, option)) is None:
            report(
                span,
                "wrong-type",
                f"{name!r} must be {_OPTION_TYPES[option.kind]}",
                f"write {_OPTION_TYPES[option.kind]}",
            )
        elif option.choices and (invalid := _find_invalid_choice(read, option.choices)):
            hint = did_you_mean(invalid, option.choices) or f"use one of {', '.join(option.choices)}"
            report(span, "wrong-value", f"{name!r} cannot be {invalid!r}", hint)
        else:
            options[name] = read
    for name, option in rule.options.items():
        if option.required and name not in entry.options and entry.severity != "off":
            report(entry.span, "missing-key", f"{rule.name} needs the key {name!r}", f"add `{name}:`")
    if entry.severity == "off":
        return None
    tables = ("*",) if entry.tables is None else entry.tables
    return ActiveRule(rule=rule, severity=entry.severity, tables=tables, exempt=entry.exempt, options=options)


def _find_invalid_choice(value: str | list[str], choices: Iterable[str]) -> str | None:
    """Return the first string that is not one of the choices; None if all are valid."""
    texts = [value] if isinstance(value, str) else value
    return next((text for text in texts if text not in choices), None)


_OPTION_TYPES: Mapping[Any, str] = {
    str: "text",
    int: "a whole number",
    bool: "true or false",
    list[str]: "a list of strings",
}


def _read_option(value: Any, option: Option) -> Any:
    """Return the value of an option; None if it has the wrong type."""
    if option.kind == list[str]:
        texts = [value] if isinstance(value, str) else value
        return list(texts) if isinstance(texts, list) and all(isinstance(text, str) for text in texts) else None
    return value if type(value) is option.kind else None


def rule_settings_schemas(rules: Iterable[Rule]) -> list[dict[str, Any]]:
    """Return the JSON Schemas of the settings entries, one per rule."""
    return [
        rule_settings_schema(
            (rule.name, *rule.aliases),
            {name: _option_schema(option) for name, option in rule.options.items()},
            [name for name, option in rule.options.items() if option.required],
        )
        for rule in sorted(rules, key=lambda rule: rule.name)
    ]


def _option_schema(option: Option) -> dict[str, Any]:
    texts = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
    kind = texts if option.kind == list[str] else {"type": _JSON_TYPES[option.kind]}
    default = {} if option.default is None else {"default": option.default}
    return kind | default | {"description": option.description}


_JSON_TYPES: Mapping[Any, str] = {str: "string", int: "integer", bool: "boolean"}


def select_rules(
    actives: Iterable[ActiveRule], names: Iterable[str], rules: Mapping[str, Rule]
) -> tuple[ActiveRule, ...]:
    """Return only the rules with these names; a rule that is not active gets its default configuration.

    Raises InputError if a rule does not exist, or if it requires options that the settings do not set.
    """
    by_name: dict[str, list[ActiveRule]] = {}
    for active in actives:
        by_name.setdefault(active.rule.name, []).append(active)
    selected: list[ActiveRule] = []
    for rule in {(rule := find_rule(name, rules)).name: rule for name in names}.values():
        missing = [key for key, option in rule.options.items() if option.required]
        if rule.name not in by_name and missing:
            message = f"{rule.name} needs {' and '.join(missing)}"
            hint = "configure the rule below `linting: rules:` in confiture.yaml"
            raise InputError(Diagnostic(code="bad-option", message=message, hint=hint))
        selected += by_name.get(rule.name) or [default_active_rule(rule)]
    return tuple(selected)


def find_rule(name: str, rules: Mapping[str, Rule]) -> Rule:
    """Return the rule with that name. Raises InputError, which suggests the closest name, if no rule has that name."""
    if name not in rules:
        hint = did_you_mean(name, rules) or "list all rules with `confiture lint --list-rules`"
        raise InputError(Diagnostic(code="unknown-rule", message=f"unknown rule {name!r}", hint=hint))
    return rules[name]
