"""The `linting:` section of confiture.yaml. Which rules there are, and what they take, the linter knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml.nodes import MappingNode, Node

from confiture.errors import Problems
from confiture.files.containers import Fields, Key, ListOf, Record
from confiture.files.passages import Passage
from confiture.files.reader import Invalid, Reader
from confiture.files.shapes import Choice, Count, Text, Value
from confiture.models.settings import NEWEST_LINTED, OLDEST_LINTED, LintEntry, LintSettings
from confiture.models.source import SourceFile

PATTERNS = ListOf(Text(), single=True)
_COMMON = {
    "type": Key(shape=Passage(), description="The rule's name.", required=True),
    "tables": Key(shape=PATTERNS, description="Patterns of the tables it judges; default: all."),
    "except": Key(shape=PATTERNS, description="Patterns of the tables it leaves alone."),
    "severity": Key(
        shape=Choice(("error", "warning", "info", "off")), description="error, warning, info, or off; default: its own."
    ),
}


class _EntryShape:
    """A rule and how it is set. Keys that only some rules take are kept as they are.

    Whoever knows the rules describes them better than `schema` here: see `entry_schema`.
    """

    def read(self, node: Node, reader: Reader) -> LintEntry:
        if not isinstance(node, MappingNode):
            raise reader.wrong_type(node, "a mapping with the key `type`")
        # the record below reads every key, and reports; this only looks ahead
        written = (key.value for key, _ in Reader(reader.file, Problems()).pairs(node))
        keys = {name: Key(shape=Value(), description="") for name in written} | _COMMON
        try:
            return self._entry(Record(keys, noun="key of a rule").read(node, reader))
        except Invalid as error:
            # its other keys are judged all the same
            raise Invalid(self._entry(error.partial) if "type" in error.partial else None) from error

    def _entry(self, fields: Fields) -> LintEntry:
        return LintEntry(
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


class _VersionShape:
    """A major version of PostgreSQL that lint knows."""

    def read(self, node: Node, reader: Reader) -> int:
        version = Count().read(node, reader)
        if not OLDEST_LINTED <= version <= NEWEST_LINTED:
            message = f"lint does not know PostgreSQL {version}"
            hint = f"write a major version from {OLDEST_LINTED} to {NEWEST_LINTED}"
            raise reader.report(reader.span(node), "wrong-value", message, hint)
        return version

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": OLDEST_LINTED, "maximum": NEWEST_LINTED}


def entry_schema(
    names: Sequence[str], options: Mapping[str, dict[str, Any]], required: Sequence[str]
) -> dict[str, Any]:
    """The JSON Schema of an entry for one rule, which has these names. `options` are the schemas of its own keys."""
    schema = Record(_COMMON).schema()
    one_of = {"const": names[0]} if len(names) == 1 else {"enum": list(names)}
    kind = one_of | {"description": _COMMON["type"].description}
    keys = {"properties": schema["properties"] | options | {"type": kind}, "required": ["type", *required]}
    return schema | keys


LINTING = Record(
    {
        "rules": Key(shape=ListOf(_EntryShape()), description="Changes rules; all that are not optional are on."),
        "postgres_version": Key(
            shape=_VersionShape(),
            description="The major version that the migrations are meant for; default: the newest.",
        ),
        "block_migrations": Key(
            shape=Choice(("error", "warning", "info", "off")),
            description="Findings this bad, or worse, keep migrations from running.",
            default="off",
        ),
        "baseline": Key(shape=Text(), description="The file of findings that are known and not shown."),
        "plugins": Key(shape=ListOf(Passage(), single=True), description="Python modules with rules."),
    },
    noun="key of linting",
)


def lint_settings(fields: Fields | None, root: Path, file: SourceFile) -> LintSettings:
    """The section as a value; None where it is left out."""
    if fields is None:
        return LintSettings(file=file)
    blocking = fields.get("block_migrations", "off")
    return LintSettings(
        entries=tuple(fields.get("rules", [])),
        postgres_version=fields.get("postgres_version"),
        block_migrations=None if blocking == "off" else blocking,
        baseline=root / fields["baseline"] if "baseline" in fields else None,
        plugins=tuple(fields.get("plugins", [])),
        file=file,
    )
