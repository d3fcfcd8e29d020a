"""The `linting:` section of confiture.yaml. The linter itself checks rule names and rule options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml.nodes import MappingNode, Node

from confiture.errors import DiagnosticCollector
from confiture.files.schema.containers import FieldValues, Key, ListOf, Record
from confiture.files.schema.located_text import LocatedText
from confiture.files.schema.reader import InvalidValue, Reader
from confiture.files.schema.types import AnyValue, Choice, NonNegativeInteger, TextValue
from confiture.models.settings import NEWEST_LINTED, OLDEST_LINTED, LintSettings, RuleSettings
from confiture.models.source import SourceFile

PATTERNS = ListOf(TextValue(), allows_single=True)
_COMMON = {
    "type": Key(value_type=LocatedText(), description="The rule's name.", required=True),
    "tables": Key(value_type=PATTERNS, description="Patterns of the tables to lint; default: all."),
    "except": Key(value_type=PATTERNS, description="Patterns of the tables to skip."),
    "severity": Key(
        value_type=Choice(("error", "warning", "info", "off")),
        description="error, warning, info, or off; default: the rule's severity.",
    ),
}


class _RuleSettingsSchema:
    """The settings for a rule. Keys that only some rules support are kept unchanged.

    `schema` describes only the common keys; `rule_settings_schema` describes the entry for one rule.
    """

    def read(self, node: Node, reader: Reader) -> RuleSettings:
        if not isinstance(node, MappingNode):
            raise reader.report_wrong_type(node, "a mapping with the key `type`")
        # only collect the names here; the record below reads every key and reports errors
        key_names = (key.value for key, _ in Reader(reader.file, DiagnosticCollector()).pairs(node))
        keys = {name: Key(value_type=AnyValue(), description="") for name in key_names} | _COMMON
        try:
            return self._build_rule_settings(Record(keys, noun="rule key").read(node, reader))
        except InvalidValue as error:
            # still check the other keys
            raise InvalidValue(self._build_rule_settings(error.partial) if "type" in error.partial else None) from error

    def _build_rule_settings(self, fields: FieldValues) -> RuleSettings:
        return RuleSettings(
            type=fields["type"].text.strip(),
            tables=tuple(fields["tables"]) if "tables" in fields else None,
            exempt=tuple(fields.get("except", [])),
            severity=fields.get("severity"),
            options={name: value for name, value in fields.values.items() if name not in _COMMON},
            spans=fields.spans | {"type": fields["type"].start},
            span=fields.span,
        )

    def schema(self) -> dict[str, Any]:
        return Record(_COMMON).schema() | {"additionalProperties": True}


class _PostgresVersionSchema:
    """A major version of PostgreSQL that lint supports."""

    def read(self, node: Node, reader: Reader) -> int:
        version = NonNegativeInteger().read(node, reader)
        if not OLDEST_LINTED <= version <= NEWEST_LINTED:
            message = f"lint does not support PostgreSQL {version}"
            hint = f"write a major version from {OLDEST_LINTED} to {NEWEST_LINTED}"
            raise reader.report(reader.span(node), "wrong-value", message, hint)
        return version

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": OLDEST_LINTED, "maximum": NEWEST_LINTED}


def rule_settings_schema(
    names: Sequence[str], options: Mapping[str, dict[str, Any]], required: Sequence[str]
) -> dict[str, Any]:
    """Return the JSON Schema for a rule's entry; `options` are the schemas for keys that only this rule supports."""
    schema = Record(_COMMON).schema()
    one_of = {"const": names[0]} if len(names) == 1 else {"enum": list(names)}
    kind = one_of | {"description": _COMMON["type"].description}
    keys = {"properties": schema["properties"] | options | {"type": kind}, "required": ["type", *required]}
    return schema | keys


LINTING = Record(
    {
        "rules": Key(
            value_type=ListOf(_RuleSettingsSchema()),
            description="Rule settings; all rules except optional ones are enabled by default.",
        ),
        "postgres_version": Key(
            value_type=_PostgresVersionSchema(),
            description="The PostgreSQL major version that the migrations target; default: the newest.",
        ),
        "block_migrations": Key(
            value_type=Choice(("error", "warning", "info", "off")),
            description="The lowest severity of findings that block migrations.",
            default="off",
        ),
        "baseline": Key(value_type=TextValue(), description="The file with known findings, which are not reported."),
        "plugins": Key(value_type=ListOf(LocatedText(), allows_single=True), description="Python modules with rules."),
    },
    noun="linting key",
)


def build_lint_settings(fields: FieldValues | None, root: Path, file: SourceFile) -> LintSettings:
    """Build the lint settings; `fields` is None without a `linting:` section."""
    if fields is None:
        return LintSettings(file=file)
    blocking = fields.get("block_migrations")
    return LintSettings(
        rules=tuple(fields.get("rules", [])),
        postgres_version=fields.get("postgres_version"),
        block_migrations=None if blocking == "off" else blocking,
        baseline=root / fields["baseline"] if "baseline" in fields else None,
        plugins=tuple(fields.get("plugins", [])),
        file=file,
    )
