"""The schema and the reading of confiture.yaml."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from confiture.errors import Diagnostic, DiagnosticCollector, InputError, Span
from confiture.files.access import ANYWHERE, LEAVES_PROJECT, display_path
from confiture.files.lint_settings import LINTING, PATTERNS, build_lint_settings
from confiture.files.schema.containers import FieldValues, Key, ListOf, MapOf, Record
from confiture.files.schema.located_text import LocatedText
from confiture.files.schema.reader import InvalidValue, Reader
from confiture.files.schema.types import (
    Boolean,
    Choice,
    Duration,
    NonNegativeInteger,
    ProjectName,
    Size,
    TextValue,
)
from confiture.files.secret_masks import mask_nodes, mask_settings_lines, secret_settings
from confiture.files.source_files import parse_yaml, read_source_file
from confiture.files.variables import VARIABLES, has_other_templates, substitute_environment
from confiture.models.records import default_of, record
from confiture.models.schema_changes import IgnoreRule
from confiture.models.settings import (
    DATABASE_OPTION,
    DEFAULT_ENVIRONMENT,
    EMBEDDED,
    ENVIRONMENT_VARIABLE,
    BuildOrder,
    BuildSettings,
    DatabaseSettings,
    DiffSettings,
    PinPolicy,
    Settings,
    TenancySettings,
)
from confiture.models.source import LocatedSource, SourceFile
from confiture.secrets import SECRET_CONNECTION_KEYS, add_secret
from confiture.text import did_you_mean

FILE_NAME = "confiture.yaml"

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
        "throwaway_url": Key(
            value_type=LocatedText(),
            description="The server for throwaway databases if the role cannot create databases; default: embedded.",
        ),
        "password_command": Key(
            value_type=ListOf(TextValue(), allows_single=True),
            description="A program and its arguments that print the password; run for each connection.",
        ),
        "lock_timeout": Key(
            value_type=Duration(),
            description="The maximum wait for a lock.",
            default=default_of(DatabaseSettings, "lock_timeout_ms"),
        ),
        "max_blocking": Key(
            value_type=Duration(),
            description="The maximum time that a migration may block other sessions.",
            default=default_of(DatabaseSettings, "max_blocking_ms"),
        ),
        "retries": Key(
            value_type=NonNegativeInteger(),
            description="The number of times that a segment is retried after a lock timeout.",
            default=default_of(DatabaseSettings, "retries"),
        ),
    },
    noun="database key",
)

_DIFF = Record(
    {
        "owners": Key(
            value_type=Boolean(),
            description="Whether to compare the owners of objects.",
            default=default_of(DiffSettings, "owners"),
        ),
        "extension_versions": Key(
            value_type=Boolean(),
            description="Whether to compare the versions of extensions.",
            default=default_of(DiffSettings, "extension_versions"),
        ),
        "ignore": Key(
            value_type=ListOf(
                Record(
                    {
                        "kind": Key(
                            value_type=TextValue(),
                            description="A pattern for kinds of objects, such as `table` or `function`.",
                            default=default_of(IgnoreRule, "kind"),
                        ),
                        "name": Key(
                            value_type=TextValue(),
                            description="A pattern for the names of objects, with their schema.",
                            default=default_of(IgnoreRule, "name"),
                        ),
                        "fact": Key(
                            value_type=TextValue(),
                            description="A pattern for facts to ignore; default: the whole object and its parts.",
                            default=default_of(IgnoreRule, "fact"),
                        ),
                    },
                    noun="ignore key",
                )
            ),
            description="Differences to leave out; the output contains their number.",
        ),
    },
    noun="diff key",
)
_TENANCY = Record(
    {
        "column": Key(
            value_type=TextValue(), description="The tenant column.", default=default_of(TenancySettings, "column")
        ),
        "tables": Key(value_type=PATTERNS, description="Patterns for the tables with this column."),
        "except": Key(value_type=PATTERNS, description="Patterns for the tables without this column."),
    },
    noun="tenancy key",
)
_RUN_FINISHED = Key(
    value_type=ListOf(TextValue(), allows_single=True),
    description="A program and its arguments, or a Python function (module:name), that get each run's report as JSON.",
)

SETTINGS_SHAPE = Record(
    {
        "project": Key(
            value_type=ProjectName(),
            description="The name of the project's history in the database. Several projects can share a database.",
            default=default_of(Settings, "project"),
        ),
        "database": Key(value_type=_DATABASE, description="The database URL and the lock timeouts."),
        "migrations": Key(value_type=TextValue(), description="The folder with the migrations.", default="migrations"),
        "schemas": Key(value_type=TextValue(), description="The folder with the DDL files.", default="schemas"),
        "build": Key(
            value_type=Record(
                {
                    "order": Key(
                        value_type=Choice(get_args(BuildOrder)),
                        description="The order of the schema files: by their paths, or by their dependencies.",
                        default=default_of(BuildSettings, "order"),
                    )
                },
                noun="build key",
            ),
            description="Settings for building the schema files.",
        ),
        "vars": Key(value_type=VARIABLES, description="Variables for all templates."),
        "tenancy": Key(value_type=_TENANCY, description="The tables that contain tenant rows."),
        "environments": Key(
            value_type=MapOf(
                Record(
                    {
                        "database": Key(value_type=_DATABASE, description="Overrides keys in `database`."),
                        "vars": Key(value_type=VARIABLES, description="Overrides keys in `vars`."),
                        "protected": Key(
                            value_type=Boolean(),
                            description="Whether commands that write require --confirm, and a dry run --yes.",
                            default=default_of(Settings, "protected"),
                        ),
                        "tenancy": Key(value_type=_TENANCY, description="Overrides keys in `tenancy`."),
                        "linting": Key(value_type=LINTING, description="Overrides keys in `linting`.", lenient=True),
                        "on_run_finished": _RUN_FINISHED,
                        "window": Key(
                            value_type=Duration(),
                            description="The time in which migrations should finish; longer ones get the grade high.",
                        ),
                        "free_space": Key(
                            value_type=Size(), description="The free disk space of the server, such as 200GB."
                        ),
                        "pins": Key(
                            value_type=Choice(tuple(policy.value for policy in PinPolicy)),
                            description="Whether a run refuses migrations that are not pinned; default: warn, or"
                            " required if the environment is protected.",
                        ),
                        "reason": Key(
                            value_type=Choice(("optional", "required")),
                            description="Whether commands that write to the history require --reason.",
                            default="optional",
                        ),
                    },
                    noun="environment key",
                )
            ),
            description="Settings by environment, chosen with --env.",
        ),
        "hooks": Key(
            value_type=ListOf(LocatedText(), allows_single=True),
            description="Python hooks for all migrations: modules that register hooks, module:Class, or entry points.",
        ),
        "diff": Key(value_type=_DIFF, description="Settings for `confiture diff`."),
        "linting": Key(value_type=LINTING, description="Settings for `confiture lint`.", lenient=True),
        "on_run_finished": _RUN_FINISHED,
    }
)


@record(frozen=True, kw_only=True, slots=True)
class SettingsOverrides:
    """Settings from the command line; None if an option is not given."""

    config: Path | None = None
    environment: str | None = None
    database: str | None = None


def settings_schema() -> dict[str, Any]:
    """Return the JSON Schema for confiture.yaml."""
    return SETTINGS_SHAPE.schema()


def find_settings_file(start: Path) -> Path | None:
    """Return the nearest confiture.yaml in `start` or its parent folders."""
    return next((path for folder in (start, *start.parents) if _has_entry(path := folder / FILE_NAME)), None)


def _has_entry(path: Path) -> bool:
    """Whether a path other than a folder exists. Reading reports an error if the path is not a regular file."""
    return os.path.lexists(path) and not os.path.isdir(path)  # noqa: PTH112 - is_dir() may raise


def load_settings(
    start: Path,
    overrides: SettingsOverrides,
    environ: Mapping[str, str],
    check: Callable[[Settings], None] | None = None,
) -> Settings:
    """Load the settings for one environment, from the project that contains `start`.

    In order of increasing precedence, values come from the defaults, confiture.yaml, the environment's section in
    confiture.yaml, DATABASE_URL, CONFITURE_*, and the command line. Raise InputError with all errors, or if there is no
    confiture.yaml. `check` validates what the schema cannot, such as rule names, and raises InputError. Its errors are
    reported together with the others.
    """
    path = choose_settings_path(start, overrides, environ)
    problems = DiagnosticCollector()
    within = ANYWHERE if _requested_path(overrides, environ) else (path.parent,)
    reader, fields = _read_settings_file(path, within, problems)
    try:
        settings = _merge_settings(path.parent, reader, fields, overrides, environ)
    except InputError:
        problems.raise_if_any()  # errors in the file would cause misleading errors later
        raise
    if check is not None:
        try:
            check(settings)
        except InputError as error:
            problems.extend(error.diagnostics)
    problems.raise_if_any()
    return settings


def find_throwaway_url(settings: Settings) -> str:
    """Return the URL of the server for throwaway databases; `embedded` if the settings name none.

    Raise InputError if the URL refers to an environment variable that is not set.
    """
    written = settings.database.throwaway_url
    if written is None:
        return EMBEDDED
    return _substitute_environment(written, written.file, settings.environment, settings.environ)


def choose_settings_path(start: Path, overrides: SettingsOverrides, environ: Mapping[str, str]) -> Path:
    """Return the requested settings file, or the nearest one. Raise InputError if there is none."""
    requested = _requested_path(overrides, environ)
    path = requested.absolute() if requested else find_settings_file(start.absolute())
    if path is None:
        raise InputError(
            Diagnostic(
                code="no-project",
                message=f"there is no {FILE_NAME} in {start} or its parent folders",
                hint="run `confiture init` to create a project here, or pass `--config FILE`",
            )
        )
    if requested and not _has_entry(path):
        hint = "correct the path, or omit it to use the nearest confiture.yaml"
        message = f"the settings file {display_path(path, start)} does not exist"
        raise InputError(Diagnostic(code="no-project", message=message, hint=hint))
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
    # show the full path of a shell pipe such as /dev/fd/63
    root = Path.cwd() if path.parts[1:2] in (("dev",), ("proc",)) else path.parent
    try:
        return read_source_file(path, root, within)
    except InputError as error:
        (refused,) = error.diagnostics
        if refused.code != LEAVES_PROJECT:
            raise
        hint = f"move the file into the project, or pass --config {path.resolve()}"
        raise InputError(replace(refused, hint=hint)) from error


def _merge_settings(
    root: Path, reader: Reader, fields: FieldValues, overrides: SettingsOverrides, environ: Mapping[str, str]
) -> Settings:
    environments: dict[str, FieldValues] = fields.get("environments", {})
    named = overrides.environment or environ.get(ENVIRONMENT_VARIABLE)
    environment = named or DEFAULT_ENVIRONMENT
    chosen = environments.get(environment)
    if chosen is None and environment != DEFAULT_ENVIRONMENT:
        names = sorted({*environments, DEFAULT_ENVIRONMENT})
        hint = did_you_mean(environment, names) or f"known environments: {', '.join(names)}"
        raise InputError(
            Diagnostic(code="unknown-environment", message=f"unknown environment {environment!r}", hint=hint)
        )
    sections = [section for section in (fields.get("database"), chosen and chosen.get("database")) if section]
    tenancy = _merge_section(fields.get("tenancy"), chosen and chosen.get("tenancy"))
    linting = _merge_section(fields.get("linting"), chosen and chosen.get("linting"))
    return Settings(
        root=root,
        environment=environment,
        project=fields.get("project"),
        is_named="project" in fields.values,
        is_declared=bool(named) or chosen is not None,
        protected=bool(chosen and chosen.get("protected")),
        window_ms=chosen.get("window") if chosen else None,
        free_space_bytes=chosen.get("free_space") if chosen else None,
        pins=_build_pin_policy(chosen),
        requires_reason=bool(chosen and chosen.get("reason") == "required"),
        database=_build_database_settings(sections, environment, reader.file, overrides, environ),
        migrations=root / fields.get("migrations"),
        schemas=root / fields.get("schemas"),
        variables={**fields.get("vars", {}), **(chosen.get("vars", {}) if chosen else {})},
        tenancy=_build_tenancy_settings(tenancy) if tenancy else TenancySettings(),
        build=BuildSettings(order=fields["build"].get("order")) if "build" in fields.values else BuildSettings(),
        linting=build_lint_settings(linting, root, reader.file),
        diff=_build_diff_settings(fields.get("diff")),
        hooks=tuple(fields.get("hooks", ())),
        on_run_finished=_split_command(
            (chosen and chosen.get("on_run_finished")) or fields.get("on_run_finished") or (), "on_run_finished"
        ),
        environ=dict(environ),
    )


def _build_pin_policy(environment: FieldValues | None) -> PinPolicy:
    written = environment.get("pins") if environment else None
    if written is not None:
        return PinPolicy(written)
    return PinPolicy.REQUIRED if environment and environment.get("protected") else PinPolicy.WARN


def _merge_section(general: FieldValues | None, chosen: FieldValues | None) -> FieldValues | None:
    """Return a section with the keys that an environment overrides."""
    if general is None or chosen is None:
        return general if chosen is None else chosen
    return replace(general, values={**general.values, **chosen.values}, spans={**general.spans, **chosen.spans})


def _build_tenancy_settings(fields: FieldValues) -> TenancySettings:
    return TenancySettings(
        column=fields.get("column"),
        tables=tuple(fields.get("tables", [])),
        exempt=tuple(fields.get("except", [])),
        is_set=True,
    )


def _build_diff_settings(fields: FieldValues | None) -> DiffSettings:
    if fields is None:
        return DiffSettings()
    return DiffSettings(
        owners=fields.get("owners"),
        extension_versions=fields.get("extension_versions"),
        ignore=tuple(
            IgnoreRule(kind=rule.get("kind"), name=rule.get("name"), fact=rule.get("fact"))
            for rule in fields.get("ignore", [])
        ),
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
    throwaway: LocatedSource | None = merged.get("throwaway_url")
    _hide_passwords((merged.get("url"), throwaway), environment, overrides, environ)
    database = DatabaseSettings(
        throwaway_url=throwaway,
        password_command=_split_command(merged.get("password_command") or (), "password_command"),
        lock_timeout_ms=merged["lock_timeout"],
        max_blocking_ms=merged["max_blocking"],
        retries=merged["retries"],
    )
    for url, origin in (
        (overrides.database, DATABASE_OPTION),
        (environ.get("CONFITURE_DATABASE_URL"), "CONFITURE_DATABASE_URL"),
        (environ.get("DATABASE_URL"), "DATABASE_URL"),
    ):
        if url:
            return replace(database, url=_require_parsable_url(url, origin), url_from=origin)
    written: LocatedSource | None = merged.get("url")
    if written is None:
        return replace(database, url=EMBEDDED, url_from="default")
    return replace(database, url=_substitute_environment(written, file, environment, environ), url_from=file.path)


def _split_command(written: Sequence[str], key: str) -> tuple[str, ...]:
    """Return a command as a program and its arguments. A single text is split like a shell does."""
    if len(written) != 1:
        return tuple(written)
    import shlex

    try:
        return tuple(shlex.split(written[0]))
    except ValueError as error:
        message = f"{key} cannot be split into arguments: {error}"
        raise InputError(Diagnostic(code="bad-value", message=message, hint="write it as a list")) from error


def _hide_passwords(
    written: Iterable[LocatedSource | None],
    environment: str,
    overrides: SettingsOverrides,
    environ: Mapping[str, str],
) -> None:
    """Register the passwords in all database URLs, even unused ones, as secrets before anything can print them."""
    urls = [substitute_environment(text, environ, environment, "...") for text in written if text]
    addresses = (overrides.database, environ.get("CONFITURE_DATABASE_URL"), environ.get("DATABASE_URL"), *urls)
    for address in addresses:
        for secret in _passwords(address) if isinstance(address, str) else ():
            add_secret(secret)
    add_secret(environ.get("PGPASSWORD", ""))


def _passwords(address: str) -> Iterator[str]:
    """Yield the passwords in a URL or a connection string, in encoded and decoded form."""
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
    if re.search("[\ud800-\udfff]", url):  # Python decodes invalid UTF-8 bytes to surrogates
        message = f"the database URL from {origin} is not UTF-8"
        hint = "percent-encode the URL, for example %C3%A9 for é"
        raise InputError(Diagnostic(code="bad-option", message=message, hint=hint))
    return url


def _substitute_environment(text: LocatedSource, file: SourceFile, environment: str, environ: Mapping[str, str]) -> str:
    """Substitute environment variables in the URL. Treat an empty variable as unset: it could mean any server."""
    if has_other_templates(text.text):
        hint = "use only {{ env.NAME }} here"
        raise InputError(file.diagnostic(text.start, "bad-template", "the URL's template is not supported", hint=hint))
    url = substitute_environment(text, environ, environment, "postgresql://...")
    if isinstance(url, Diagnostic):
        raise InputError(url)
    return url.strip()
