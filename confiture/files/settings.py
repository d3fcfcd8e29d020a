"""confiture.yaml: what it may hold, and reading it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from confiture.errors import Diagnostic, DiagnosticCollector, InputError, Span
from confiture.files.access import ANYWHERE, LEAVES_PROJECT, display_path
from confiture.files.lint_settings import LINTING, PATTERNS, build_lint_settings
from confiture.files.schema.containers import FieldValues, Key, ListOf, MapOf, Record
from confiture.files.schema.located_text import LocatedText
from confiture.files.schema.reader import InvalidValue, Reader
from confiture.files.schema.types import Boolean, Duration, NonNegativeInteger, ProjectName, TextValue
from confiture.files.secret_masks import mask_nodes, mask_settings_lines, secret_settings
from confiture.files.source_files import parse_yaml, read_source_file
from confiture.files.variables import VARIABLES, has_other_templates, substitute_environment
from confiture.models.records import default_of, record
from confiture.models.settings import EMBEDDED, DatabaseSettings, Settings, TenancySettings
from confiture.models.source import LocatedSource, SourceFile
from confiture.secrets import SECRET_CONNECTION_KEYS, add_secret
from confiture.text import did_you_mean

FILE_NAME = "confiture.yaml"
DEFAULT_ENVIRONMENT = "development"

_URL_PASSWORD = re.compile(r"[a-z]+://(?P<user>[^/?#@:]*):(?P<password>[^/?#@]+)@")
_PASSWORD_PARAMETER = re.compile(
    rf"(?:{'|'.join(SECRET_CONNECTION_KEYS)})\s*=\s*(?:'(?P<quoted>(?:[^'\\]|\\.)*)'|(?P<bare>(?:[^\s&'\\]|\\.)+))"
)

_DATABASE = Record(
    {
        "url": Key(
            value_type=LocatedText(),
            description="embedded, a postgresql:// URL or a conninfo string; {{ env.NAME }} reads the environment.",
        ),
        "lock_timeout": Key(
            value_type=Duration(),
            description="The longest that we wait for a lock.",
            default=default_of(DatabaseSettings, "lock_timeout_ms"),
        ),
        "max_blocking": Key(
            value_type=Duration(),
            description="The longest that we may make others wait.",
            default=default_of(DatabaseSettings, "max_blocking_ms"),
        ),
        "retries": Key(
            value_type=NonNegativeInteger(),
            description="How often a segment is tried again for a lock.",
            default=default_of(DatabaseSettings, "retries"),
        ),
    },
    noun="key of database",
)

SETTINGS_SHAPE = Record(
    {
        "project": Key(
            value_type=ProjectName(),
            description="Names the project's history in a database that several projects share.",
            default=default_of(Settings, "project"),
        ),
        "database": Key(value_type=_DATABASE, description="Where the database is, and how patient we are."),
        "migrations": Key(value_type=TextValue(), description="The folder of the migrations.", default="migrations"),
        "schemas": Key(value_type=TextValue(), description="The folder of the DDL files.", default="schemas"),
        "vars": Key(value_type=VARIABLES, description="Variables for all templates."),
        "tenancy": Key(
            value_type=Record(
                {
                    "column": Key(
                        value_type=TextValue(),
                        description="The column that names the tenant.",
                        default=default_of(TenancySettings, "column"),
                    ),
                    "tables": Key(value_type=PATTERNS, description="Patterns of the tables that have it."),
                    "except": Key(value_type=PATTERNS, description="Patterns of those that do not."),
                },
                noun="key of tenancy",
            ),
            description="Which tables hold the rows of tenants.",
        ),
        "environments": Key(
            value_type=MapOf(
                Record(
                    {
                        "database": Key(value_type=_DATABASE, description="Replaces keys of the database above."),
                        "vars": Key(value_type=VARIABLES, description="Replaces variables above."),
                        "protected": Key(
                            value_type=Boolean(),
                            description="Whether a dry run needs --yes.",
                            default=default_of(Settings, "protected"),
                        ),
                    },
                    noun="key of an environment",
                )
            ),
            description="Settings by environment, chosen with --env.",
        ),
        "hooks": Key(
            value_type=ListOf(LocatedText(), allows_single=True),
            description="Python hooks of every migration: modules that register them, module:Class, or entry points.",
        ),
        "linting": Key(value_type=LINTING, description="What `confiture lint` looks for.", lenient=True),
    }
)


@record(frozen=True, kw_only=True, slots=True)
class SettingsOverrides:
    """What the command line says about settings; None where it says nothing."""

    config: Path | None = None
    environment: str | None = None
    database: str | None = None


def settings_schema() -> dict[str, Any]:
    """The JSON Schema of confiture.yaml."""
    return SETTINGS_SHAPE.schema()


def find_settings_file(start: Path) -> Path | None:
    """The nearest confiture.yaml in `start` or a folder above it."""
    return next((path for folder in (start, *start.parents) if _has_entry(path := folder / FILE_NAME)), None)


def _has_entry(path: Path) -> bool:
    """Whether something that may be the settings stands there; if it is no regular file, reading it says so."""
    return os.path.lexists(path) and not os.path.isdir(path)  # noqa: PTH112 - is_dir() may raise


def load_settings(
    start: Path,
    overrides: SettingsOverrides,
    environ: Mapping[str, str],
    check: Callable[[Settings], None] | None = None,
) -> Settings:
    """The settings of the project around `start`, for one environment.

    Later ones win: defaults, confiture.yaml, its environment, DATABASE_URL, CONFITURE_*, the command line.
    Raises InputError with every mistake, or where there is no confiture.yaml. `check` looks at what the file's type
    does not tell, such as the names of rules, and raises InputError: its mistakes are told together with the others.
    """
    path = choose_settings_path(start, overrides, environ)
    problems = DiagnosticCollector()
    within = ANYWHERE if _requested_path(overrides, environ) else (path.parent,)
    reader, fields = _read_settings_file(path, within, problems)
    try:
        settings = _merge_settings(path.parent, reader, fields, overrides, environ)
    except InputError:
        problems.raise_if_any()  # what follows from mistakes in the file is not told along
        raise
    if check is not None:
        try:
            check(settings)
        except InputError as error:
            problems.extend(error.diagnostics)
    problems.raise_if_any()
    return settings


def choose_settings_path(start: Path, overrides: SettingsOverrides, environ: Mapping[str, str]) -> Path:
    """The settings file that is asked for, or the nearest. Raises InputError where there is none."""
    asked = _requested_path(overrides, environ)
    path = asked.absolute() if asked else find_settings_file(start.absolute())
    if path is None:
        raise InputError(
            Diagnostic(
                code="no-project",
                message=f"there is no {FILE_NAME} in {start} or above it",
                hint="`confiture init` makes a project here; `--config FILE` names one elsewhere",
            )
        )
    if asked and not _has_entry(path):
        hint = "give the file's own path, or leave it out: then confiture.yaml is looked for here and above"
        raise InputError(
            Diagnostic(code="no-project", message=f"there is no settings file {display_path(path, start)}", hint=hint)
        )
    return path


def _requested_path(overrides: SettingsOverrides, environ: Mapping[str, str]) -> Path | None:
    return overrides.config or (Path(environ["CONFITURE_CONFIG"]) if environ.get("CONFITURE_CONFIG") else None)


def _read_settings_file(
    path: Path, within: Sequence[Path] | None, problems: DiagnosticCollector
) -> tuple[Reader, FieldValues]:
    file = _open_settings_file(path, within)
    node = parse_yaml(file, mask_settings_lines)
    secrets = secret_settings(node)
    reader = Reader(replace(file, shown_text=mask_nodes(file.text, secrets)), problems, secrets=secrets)
    if node is None:
        return reader, FieldValues({}, {}, Span(path=file.path, line=1), SETTINGS_SHAPE.defaults)
    try:
        return reader, SETTINGS_SHAPE.read(node, reader)
    except InvalidValue as error:
        if not isinstance(error.partial, FieldValues):
            problems.raise_if_any()
            raise
        return reader, error.partial


def _open_settings_file(path: Path, within: Sequence[Path] | None) -> SourceFile:
    # what is no file of a folder, such as a pipe of the shell, is shown as it was given
    root = Path.cwd() if path.parts[1:2] in (("dev",), ("proc",)) else path.parent
    try:
        return read_source_file(path, root, within)
    except InputError as error:
        (refused,) = error.diagnostics
        if refused.code != LEAVES_PROJECT:
            raise
        hint = f"put the file itself into the project, or name it: --config {path.resolve()}"
        raise InputError(replace(refused, hint=hint)) from error


def _merge_settings(
    root: Path, reader: Reader, fields: FieldValues, overrides: SettingsOverrides, environ: Mapping[str, str]
) -> Settings:
    environments: dict[str, FieldValues] = fields.get("environments", {})
    environment = overrides.environment or environ.get("CONFITURE_ENV") or DEFAULT_ENVIRONMENT
    chosen = environments.get(environment)
    if chosen is None and environment != DEFAULT_ENVIRONMENT:
        known = sorted({*environments, DEFAULT_ENVIRONMENT})
        hint = did_you_mean(environment, known) or f"known environments: {', '.join(known)}"
        raise InputError(
            Diagnostic(code="unknown-environment", message=f"there is no environment {environment!r}", hint=hint)
        )
    sections = [section for section in (fields.get("database"), chosen and chosen.get("database")) if section]
    tenancy = fields.get("tenancy")
    return Settings(
        root=root,
        environment=environment,
        project=fields.get("project"),
        is_named="project" in fields.values,
        protected=bool(chosen and chosen.get("protected")),
        database=_build_database_settings(sections, environment, reader.file, overrides, environ),
        migrations=root / fields.get("migrations"),
        schemas=root / fields.get("schemas"),
        variables={**fields.get("vars", {}), **(chosen.get("vars", {}) if chosen else {})},
        tenancy=_build_tenancy_settings(tenancy) if tenancy else TenancySettings(),
        linting=build_lint_settings(fields.get("linting"), root, reader.file),
        hooks=tuple(fields.get("hooks", ())),
        environ=dict(environ),
    )


def _build_tenancy_settings(fields: FieldValues) -> TenancySettings:
    return TenancySettings(
        column=fields.get("column"),
        tables=tuple(fields.get("tables", [])),
        exempt=tuple(fields.get("except", [])),
        is_set=True,
    )


def _build_database_settings(
    sections: list[FieldValues],
    environment: str,
    file: SourceFile,
    overrides: SettingsOverrides,
    environ: Mapping[str, str],
) -> DatabaseSettings:
    merged = dict(_DATABASE.defaults)
    for section in sections:
        merged |= section.values
    _hide_passwords(merged.get("url"), environment, overrides, environ)
    database = DatabaseSettings(
        lock_timeout_ms=merged["lock_timeout"],
        max_blocking_ms=merged["max_blocking"],
        retries=merged["retries"],
    )
    for url, origin in (
        (overrides.database, "--database"),
        (environ.get("CONFITURE_DATABASE_URL"), "CONFITURE_DATABASE_URL"),
        (environ.get("DATABASE_URL"), "DATABASE_URL"),
    ):
        if url:
            return replace(database, url=_require_parsable_url(url, origin), url_from=origin)
    written: LocatedSource | None = merged.get("url")
    if written is None:
        return replace(database, url=EMBEDDED, url_from="default")
    return replace(database, url=_substitute_environment(written, file, environment, environ), url_from=file.path)


def _hide_passwords(
    written: LocatedSource | None, environment: str, overrides: SettingsOverrides, environ: Mapping[str, str]
) -> None:
    """Hides the passwords of all addresses, also of those that are not used: nothing may show them before, or without,
    a connection.
    """
    url = substitute_environment(written, environ, environment, "...") if written else None
    addresses = (overrides.database, environ.get("CONFITURE_DATABASE_URL"), environ.get("DATABASE_URL"), url)
    for address in addresses:
        for secret in _passwords(address) if isinstance(address, str) else ():
            add_secret(secret)
    add_secret(environ.get("PGPASSWORD", ""))


def _passwords(address: str) -> Iterator[str]:
    """The passwords of a URL or a connection string, as they are written and as they are meant."""
    from urllib.parse import unquote

    match = _URL_PASSWORD.match(address)
    if match and unquote(match["password"]) != unquote(match["user"]):
        yield match["password"]
        yield unquote(match["password"], errors="surrogateescape")
    for parameter in _PASSWORD_PARAMETER.finditer(address):
        quoted, bare = parameter["quoted"], parameter["bare"]
        yield re.sub(r"\\(.)", r"\1", quoted if quoted is not None else bare)
        yield unquote(bare or "", errors="surrogateescape")


def _require_parsable_url(url: str, origin: str) -> str:
    if re.search("[\ud800-\udfff]", url):  # how Python keeps bytes of an argument that are no UTF-8
        message = f"the database's address from {origin} is not UTF-8"
        raise InputError(Diagnostic(code="bad-option", message=message, hint="encode it, for example %C3%A9 for é"))
    return url


def _substitute_environment(text: LocatedSource, file: SourceFile, environment: str, environ: Mapping[str, str]) -> str:
    """The URL with what it takes from the environment. An empty variable counts as unset: it would mean any server."""
    if has_other_templates(text.text):
        hint = "only {{ env.NAME }} is known here"
        raise InputError(file.diagnostic(text.start, "bad-template", "the URL's template cannot be read", hint=hint))
    url = substitute_environment(text, environ, environment, "postgresql://...")
    if isinstance(url, Diagnostic):
        raise InputError(url)
    return url.strip()
