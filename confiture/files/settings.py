"""confiture.yaml: what it may hold, and reading it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from confiture.errors import Diagnostic, InputError, Problems, Span
from confiture.files.containers import Fields, Key, ListOf, MapOf, Record
from confiture.files.migration import VARIABLES
from confiture.files.passages import Passage
from confiture.files.reader import Invalid, Reader, clipped, nearest
from confiture.files.reading import parse_yaml, read_source, shown_path
from confiture.files.shapes import Choice, Count, Duration, Flag, Text
from confiture.models.settings import EMBEDDED, DatabaseSettings, LintRule, Settings, TenancySettings
from confiture.models.source import SourceFile, SourceText

FILE_NAME = "confiture.yaml"
DEFAULT_ENVIRONMENT = "development"
_ENV_REFERENCE = re.compile(r"\{\{\s*env\.([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")

# rather too much than a character of a password
_SECRET = re.compile(r"(://)(.*)(?=@)|(pass\w*[\"']?\s*[:=])(.*)", re.IGNORECASE)

_PATTERNS = ListOf(Text(), single=True)
_SEVERITY = Choice(("error", "warning", "info"))


def _rule(description: str, **options: str) -> dict[str, Any]:
    keys = {
        "type": Key(shape=Text(), description=description, required=True),
        "tables": Key(shape=_PATTERNS, description="Patterns of the tables it judges; default: all."),
        "except": Key(shape=_PATTERNS, description="Patterns of the tables it leaves alone."),
        "severity": Key(shape=_SEVERITY, description="error, warning or info."),
    }
    return keys | {name: Key(shape=Text(), description=text) for name, text in options.items()}


_RULES: dict[str, Record] = {
    "requires_tenant_id": Record(_rule("Tables have the tenant column."), noun="key of requires_tenant_id"),
    "requires_column": Record(
        _rule("Tables have a column.", column="The column's name.", column_type="The column's type."),
        noun="key of requires_column",
    ),
    "naming_convention": Record(
        _rule(
            "Tables are named by their side.",
            write_side_prefix="The prefix of tables that are written to.",
            read_side_prefix="The prefix of read models.",
            static_prefix="The prefix of read models without tenants.",
        ),
        noun="key of naming_convention",
    ),
    "requires_primary_key": Record(_rule("Tables have a primary key."), noun="key of requires_primary_key"),
    "requires_indexes_on_foreign_keys": Record(
        _rule("Foreign keys have an index."), noun="key of requires_indexes_on_foreign_keys"
    ),
}


class _LintRuleShape:
    """One rule; its `type` says which further keys it has."""

    def read(self, node: Node, reader: Reader) -> LintRule:
        if not isinstance(node, MappingNode):
            raise reader.wrong_type(node, "a mapping with the key `type`")
        # the record below reads every key, and reports; this only looks ahead
        unreported = Reader(reader.file, Problems())
        type_node = next((value for key, value in unreported.pairs(node) if key.value == "type"), None)
        if not isinstance(type_node, ScalarNode):
            hint = f"add `type:`, one of {', '.join(_RULES)}"
            raise reader.report(reader.span(node), "missing-key", "the key 'type' is missing", hint)
        record = _RULES.get(type_node.value)
        if record is None:
            hint = nearest(type_node.value, list(_RULES)) or f"known rules: {', '.join(_RULES)}"
            message = f"unknown rule {clipped(type_node.value)!r}"
            raise reader.report(reader.span(type_node), "unknown-rule", message, hint)
        fields = record.read(node, reader)
        common = ("type", "tables", "except", "severity")
        return LintRule(
            type=fields["type"],
            tables=tuple(fields.get("tables", ["*"])),
            exempt=tuple(fields.get("except", [])),
            severity=fields.get("severity", "error"),
            options={name: value for name, value in fields.values.items() if name not in common},
        )

    def schema(self) -> dict[str, Any]:
        return {
            "oneOf": [
                schema | {"properties": schema["properties"] | {"type": {"const": name}}}
                for name, schema in ((name, record.schema()) for name, record in _RULES.items())
            ]
        }


_DATABASE = Record(
    {
        "url": Key(
            shape=Passage(),
            description="embedded, a postgresql:// URL or a conninfo string; {{ env.NAME }} reads the environment.",
        ),
        "lock_timeout": Key(shape=Duration(), description="The longest that we wait for a lock.", default="2s"),
        "max_blocking": Key(shape=Duration(), description="The longest that we may make others wait.", default="1s"),
        "retries": Key(shape=Count(), description="How often a segment is tried again for a lock.", default=20),
    },
    noun="key of database",
)

SETTINGS_SHAPE = Record(
    {
        "database": Key(shape=_DATABASE, description="Where the database is, and how patient we are."),
        "migrations": Key(shape=Text(), description="The folder of the migrations.", default="migrations"),
        "schemas": Key(shape=Text(), description="The folder of the DDL files.", default="schemas"),
        "vars": Key(shape=VARIABLES, description="Variables for all templates."),
        "tenancy": Key(
            shape=Record(
                {
                    "column": Key(shape=Text(), description="The column that names the tenant.", default="tenant_id"),
                    "tables": Key(shape=_PATTERNS, description="Patterns of the tables that have it."),
                    "except": Key(shape=_PATTERNS, description="Patterns of those that do not."),
                },
                noun="key of tenancy",
            ),
            description="Which tables hold the rows of tenants.",
        ),
        "environments": Key(
            shape=MapOf(
                Record(
                    {
                        "database": Key(shape=_DATABASE, description="Replaces keys of the database above."),
                        "vars": Key(shape=VARIABLES, description="Replaces variables above."),
                        "protected": Key(shape=Flag(), description="Whether a dry run needs --yes.", default=False),
                    },
                    noun="key of an environment",
                )
            ),
            description="Settings by environment, chosen with --env.",
        ),
        "linting": Key(
            shape=Record(
                {"rules": Key(shape=ListOf(_LintRuleShape()), description="The rules that are switched on.")},
                noun="key of linting",
            ),
            description="What `confiture lint` looks for.",
        ),
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Overrides:
    """What the command line says about settings; None where it says nothing."""

    config: Path | None = None
    environment: str | None = None
    database: str | None = None


def settings_schema() -> dict[str, Any]:
    """The JSON Schema of confiture.yaml."""
    return SETTINGS_SHAPE.schema()


def find_settings_file(start: Path) -> Path | None:
    """The nearest confiture.yaml in `start` or a folder above it."""
    return next((path for folder in (start, *start.parents) if (path := folder / FILE_NAME).is_file()), None)


def load_settings(start: Path, overrides: Overrides, environ: Mapping[str, str]) -> Settings:
    """The settings of the project around `start`, for one environment.

    Later ones win: defaults, confiture.yaml, its environment, DATABASE_URL, CONFITURE_*, the command line.
    Raises InputError with every mistake, or where there is no confiture.yaml.
    """
    path = settings_path(start, overrides, environ)
    problems = Problems()
    reader, fields = _read_file(path, problems)
    settings = _merge(path.parent, reader, fields, overrides, environ)
    problems.raise_if_any()
    return settings


def settings_path(start: Path, overrides: Overrides, environ: Mapping[str, str]) -> Path:
    """The settings file that is asked for, or the nearest. Raises InputError where there is none."""
    asked = overrides.config or (Path(environ["CONFITURE_CONFIG"]) if environ.get("CONFITURE_CONFIG") else None)
    path = asked.absolute() if asked else find_settings_file(start.absolute())
    if path is None:
        raise InputError(
            Diagnostic(
                code="no-project",
                message=f"there is no {FILE_NAME} in {start} or above it",
                hint="`confiture init` makes a project here; `--config FILE` names one elsewhere",
            )
        )
    if asked and not path.is_file():
        hint = "give the file's own path, or leave it out: then confiture.yaml is looked for here and above"
        raise InputError(
            Diagnostic(code="no-project", message=f"there is no settings file {shown_path(path, start)}", hint=hint)
        )
    return path


def _read_file(path: Path, problems: Problems) -> tuple[Reader, Fields]:
    file = read_source(path, path.parent)
    shown = replace(file, text=_SECRET.sub(_starred, file.text))
    reader = Reader(shown, problems)
    node = parse_yaml(file, shown)
    if node is None:
        return reader, Fields({}, {}, Span(path=file.path, line=1))
    try:
        return reader, SETTINGS_SHAPE.read(node, reader)
    except Invalid:
        problems.raise_if_any()
        raise


def _starred(match: re.Match[str]) -> str:
    """As long as what it stands for, so that places stay the same."""
    return f"{match[1]}{'*' * len(match[2])}" if match[1] else f"{match[3]}{'*' * len(match[4])}"


def _merge(root: Path, reader: Reader, fields: Fields, overrides: Overrides, environ: Mapping[str, str]) -> Settings:
    environments: dict[str, Fields] = fields.get("environments", {})
    environment = overrides.environment or environ.get("CONFITURE_ENV") or DEFAULT_ENVIRONMENT
    chosen = environments.get(environment)
    if chosen is None and environment != DEFAULT_ENVIRONMENT:
        known = sorted({*environments, DEFAULT_ENVIRONMENT})
        hint = nearest(environment, known) or f"known environments: {', '.join(known)}"
        raise InputError(
            Diagnostic(code="unknown-environment", message=f"there is no environment {environment!r}", hint=hint)
        )
    sections = [section for section in (fields.get("database"), chosen and chosen.get("database")) if section]
    tenancy = fields.get("tenancy")
    return Settings(
        root=root,
        environment=environment,
        protected=bool(chosen and chosen.get("protected", False)),
        database=_database(sections, environment, reader.file, overrides, environ),
        migrations=root / fields.get("migrations", "migrations"),
        schemas=root / fields.get("schemas", "schemas"),
        variables={**fields.get("vars", {}), **(chosen.get("vars", {}) if chosen else {})},
        tenancy=_tenancy(tenancy) if tenancy else TenancySettings(),
        lint_rules=tuple(fields["linting"].get("rules", [])) if "linting" in fields else (),
    )


def _tenancy(fields: Fields) -> TenancySettings:
    return TenancySettings(
        column=fields.get("column", "tenant_id"),
        tables=tuple(fields.get("tables", [])),
        exempt=tuple(fields.get("except", [])),
    )


def _database(
    sections: list[Fields], environment: str, file: SourceFile, overrides: Overrides, environ: Mapping[str, str]
) -> DatabaseSettings:
    merged: dict[str, Any] = {}
    for section in sections:
        merged |= section.values
    database = DatabaseSettings(
        lock_timeout_ms=merged.get("lock_timeout", 2_000),
        max_blocking_ms=merged.get("max_blocking", 1_000),
        retries=merged.get("retries", 20),
    )
    for url, origin in (
        (overrides.database, "--database"),
        (environ.get("CONFITURE_DATABASE_URL"), "CONFITURE_DATABASE_URL"),
        (environ.get("DATABASE_URL"), "DATABASE_URL"),
    ):
        if url:
            return replace(database, url=_readable(url, origin), url_from=origin)
    written: SourceText | None = merged.get("url")
    if written is None:
        return replace(database, url=EMBEDDED, url_from="default")
    return replace(database, url=_with_environment(written, file, environment, environ), url_from=file.path)


def _readable(url: str, origin: str) -> str:
    if re.search("[\ud800-\udfff]", url):  # how Python keeps bytes of an argument that are no UTF-8
        message = f"the database's address from {origin} is not UTF-8"
        raise InputError(Diagnostic(code="bad-option", message=message, hint="encode it, for example %C3%A9 for é"))
    return url


def _with_environment(text: SourceText, file: SourceFile, environment: str, environ: Mapping[str, str]) -> str:
    """The URL with what it takes from the environment. An empty variable counts as unset: it would mean any server."""
    if "{{" in _ENV_REFERENCE.sub("", text.text) or "{%" in text.text:
        hint = "only {{ env.NAME }} is known here"
        raise InputError(file.diagnostic(text.start, "bad-template", "the URL's template cannot be read", hint=hint))
    missing = [name for name in _ENV_REFERENCE.findall(text.text) if not environ.get(name)]
    if missing:
        message = f"the environment {environment!r} needs {' and '.join(dict.fromkeys(missing))}, which is not set"
        hint = f"export {missing[0]}=postgresql://..."
        raise InputError(file.diagnostic(text.start, "unset-variable", message, hint=hint))
    return _ENV_REFERENCE.sub(lambda match: environ[match[1]], text.text).strip()
