"""Which rules judge, and how they are set: what the settings say of them, resolved against the registry."""

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
    """A rule as it is set: its severity (None: as the rule says), its options, and the tables that it judges."""

    rule: Rule
    severity: Severity | None = None
    tables: tuple[str, ...] = ("*",)
    exempt: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    def severity_for(self, violation: Violation) -> Severity:
        """How bad a hit is: what the settings say wins, then the hit, then the rule."""
        return self.severity or violation.severity or self.rule.severity

    def applies_to(self, relation: str | None) -> bool:
        """Whether its patterns let it judge what is called so; they are held against the bare name and the full one."""
        if self.tables == ("*",) and not self.exempt:
            return True
        names = () if relation is None else (relation, relation.rpartition(".")[2])
        return _matches(names, self.tables) and not _matches(names, self.exempt)


def _matches(names: tuple[str, ...], patterns: tuple[str, ...]) -> bool:
    return any(pattern == "*" or fnmatchcase(name, pattern) for pattern in patterns for name in names or ("",))


def active_rules(settings: LintSettings, rules: Mapping[str, Rule]) -> tuple[ActiveRule, ...]:
    """The rules that judge: each that is not optional, and what the settings say of any.

    Several entries of one rule each judge. Raises InputError with every mistake in the entries.
    """
    problems = DiagnosticCollector()
    entries = [_resolve_entry(entry, rules, _make_reporter(settings, problems)) for entry in settings.rules]
    problems.raise_if_any()
    named = {rules[entry.type].name for entry in settings.rules}
    unnamed = [rule for rule in rules.values() if rule.name not in named and not rule.off_by_default]
    set_so = [active for active in entries if active is not None]
    return (*(default_active_rule(rule) for rule in unnamed), *set_so)


def default_active_rule(rule: Rule, options: Mapping[str, Any] | None = None) -> ActiveRule:
    """A rule as it is where the settings do not name it."""
    return ActiveRule(rule=rule, options=default_options(rule) | dict(options or {}))


def default_options(rule: Rule) -> dict[str, Any]:
    """The options of a rule where none is set."""
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
    """The entry's rule as it is set; None where it is off, or after reporting what is wrong."""
    rule = rules.get(entry.type)
    if rule is None:
        hint = did_you_mean(entry.type, rules) or "`confiture lint --list-rules` shows all"
        report(entry.spans.get("type", entry.span), "unknown-rule", f"unknown rule {shorten(entry.type)!r}", hint)
        return None
    options = default_options(rule)
    for name, given in entry.options.items():
        span = entry.spans.get(name, entry.span)
        option = rule.options.get(name)
        if option is None:
            keys = ("type", "tables", "except", "severity", *rule.options)
            hint = did_you_mean(name, keys) or f"known keys: {', '.join(keys)}"
            report(span, "unknown-key", f"unknown key of {rule.name} {shorten(name)!r}", hint)
        elif (read := _read_option(given, option)) is None:
            report(
                span,
                "wrong-type",
                f"{name!r} must be {_OPTION_TYPES[option.kind]}",
                f"write {_OPTION_TYPES[option.kind]}",
            )
        elif option.choices and (wrong := _find_invalid_choice(read, option.choices)):
            hint = did_you_mean(wrong, option.choices) or f"one of {', '.join(option.choices)}"
            report(span, "wrong-value", f"{name!r} cannot be {wrong!r}", hint)
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
    """The first text that is none of the choices."""
    texts = [value] if isinstance(value, str) else value
    return next((text for text in texts if text not in choices), None)


_OPTION_TYPES: Mapping[Any, str] = {
    str: "text",
    int: "a whole number",
    bool: "true or false",
    list[str]: "a list of texts",
}


def _read_option(value: Any, option: Option) -> Any:
    """The value of an option, None where it is of another type."""
    if option.kind == list[str]:
        texts = [value] if isinstance(value, str) else value
        return list(texts) if isinstance(texts, list) and all(isinstance(text, str) for text in texts) else None
    return value if type(value) is option.kind else None


def rule_settings_schemas(rules: Iterable[Rule]) -> list[dict[str, Any]]:
    """The JSON Schemas of the settings' entries, one for each rule."""
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
    """Only the rules of these names; one that is not active judges as it does by default.

    Raises InputError for names that no rule has, and for a rule that needs options which the settings do not give.
    """
    by_name: dict[str, list[ActiveRule]] = {}
    for active in actives:
        by_name.setdefault(active.rule.name, []).append(active)
    found: list[ActiveRule] = []
    for rule in {(rule := find_rule(name, rules)).name: rule for name in names}.values():
        missing = [key for key, option in rule.options.items() if option.required]
        if rule.name not in by_name and missing:
            message = f"{rule.name} needs {' and '.join(missing)}"
            hint = "enter it below `linting: rules:` in confiture.yaml"
            raise InputError(Diagnostic(code="bad-option", message=message, hint=hint))
        found += by_name.get(rule.name) or [default_active_rule(rule)]
    return tuple(found)


def find_rule(name: str, rules: Mapping[str, Rule]) -> Rule:
    """The rule of that name. Raises InputError, with the nearest one, where there is none."""
    if name not in rules:
        hint = did_you_mean(name, rules) or "`confiture lint --list-rules` shows all"
        raise InputError(Diagnostic(code="unknown-rule", message=f"unknown rule {name!r}", hint=hint))
    return rules[name]
