"""The settings, merged from confiture.yaml, the environment, and the command line."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from confiture.errors import Span
from confiture.models.history import HistoryKey
from confiture.models.records import record
from confiture.models.schema_changes import IgnoreRule
from confiture.models.source import LocatedSource, SourceFile

DEFAULT_PROJECT = "default"
"""The default project name. It is never taken from a folder, because folder names differ between clones."""

PROJECT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
PROJECT_NAME_HINT = "use up to 63 letters, digits, `_`, `.` and `-`, beginning with a letter or a digit"

DEFAULT_ENVIRONMENT = "development"
"""The environment if neither an option nor the settings name one."""

ENVIRONMENT_VARIABLE = "CONFITURE_ENV"
"""The variable that names the environment if no option does."""

DATABASE_OPTION = "--database"
"""The option that names the database."""

EMBEDDED = "embedded"
"""The database URL that selects the project's embedded server."""

OLDEST_LINTED, NEWEST_LINTED = 14, 18
"""The major versions of PostgreSQL that lint supports."""

Severity = Literal["error", "warning", "info"]


@record(frozen=True, kw_only=True, slots=True)
class DatabaseSettings:
    """The database, and the limits on waiting for its locks.

    `url` can contain a password and is never printed. `url_from` is the setting that defines the URL. With an empty
    URL, the PG* variables apply. `throwaway_url` is the server for throwaway databases if the role cannot create any on
    the database's own server, as written; by default, an embedded server is used. It is not printed either.
    """

    url: str = field(default=EMBEDDED, repr=False)
    url_from: str = "default"
    throwaway_url: LocatedSource | None = field(default=None, repr=False)
    password_command: tuple[str, ...] = ()
    """The program and its arguments that print the password, for each connection; empty if there is none."""
    lock_timeout_ms: int = 2_000
    max_blocking_ms: int = 1_000
    retries: int = 20


@record(frozen=True, kw_only=True, slots=True)
class TenancySettings:
    """The tenant column, and glob patterns for the tables that contain it.

    `is_set` is whether the settings configure tenancy. Otherwise, rules about tenants report nothing.
    """

    column: str = "tenant_id"
    tables: tuple[str, ...] = ()
    exempt: tuple[str, ...] = ()
    is_set: bool = field(default=False, compare=False)


@record(frozen=True, kw_only=True, slots=True)
class RuleSettings:
    """An entry in `linting.rules` as written. `type` is the type of a rule, which validates the `options`.

    None stands for a missing key. `spans` are the positions of the entry's keys; `span` is the start of the entry.
    """

    type: str
    tables: tuple[str, ...] | None = None
    exempt: tuple[str, ...] = ()
    severity: Severity | Literal["off"] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    spans: Mapping[str, Span] = field(default_factory=dict, compare=False)
    span: Span | None = field(default=None, compare=False)


@record(frozen=True, kw_only=True, slots=True)
class LintSettings:
    """The lint configuration. `file` is the settings file that the entries' spans refer to.

    `postgres_version` is the major version that the migrations target; None means the database's version, or the
    newest. Findings with severity `block_migrations` or higher keep migrations from running; with None, no findings do.
    """

    rules: tuple[RuleSettings, ...] = ()
    postgres_version: int | None = None
    block_migrations: Severity | None = None
    baseline: Path | None = None
    plugins: tuple[LocatedSource, ...] = ()
    file: SourceFile | None = field(default=None, compare=False, repr=False)


class PinPolicy(StrEnum):
    """The reaction of a run to a migration that is not pinned."""

    REQUIRED = "required"
    """The run refuses the migration."""
    WARN = "warn"
    """The run prints a note."""


@record(frozen=True, kw_only=True, slots=True)
class DiffSettings:
    """Settings for comparisons of schemas: whether to compare owners and extension versions, and what to leave out."""

    owners: bool = False
    extension_versions: bool = False
    ignore: tuple[IgnoreRule, ...] = ()


BuildOrder = Literal["path", "dependencies"]
"""The order in which the schema files are built."""


@record(frozen=True, kw_only=True, slots=True)
class BuildSettings:
    """The settings for building the schema files."""

    order: BuildOrder = "path"


@record(frozen=True, kw_only=True, slots=True)
class Settings:
    """A project's settings for one environment. Folder paths are absolute; `root` contains confiture.yaml."""

    root: Path
    environment: str
    project: str = DEFAULT_PROJECT
    """The name of the project's history in a database. A database can hold the histories of several projects."""
    is_named: bool = False
    """Whether the settings set the project name."""
    is_declared: bool = False
    """Whether an option or the settings name the environment. If not, it is the default environment."""
    is_environment_known: bool = True
    """Whether a confiture.yaml chooses the environment. If not, it is not compared with that of the database."""
    protected: bool = False
    """Whether commands that write need the name of the environment, and a dry run needs confirmation."""
    window_ms: int | None = None
    """The time in which all migrations of a deployment should finish; None if it is not set."""
    free_space_bytes: int | None = None
    """The free disk space of the server, which SQL cannot read; None if it is not set."""
    pins: PinPolicy = PinPolicy.WARN
    """Whether a run refuses migrations that are not pinned."""
    requires_reason: bool = False
    """Whether commands that write to the history need a reason."""
    database: DatabaseSettings
    migrations: Path
    schemas: Path
    variables: Mapping[str, Any] = field(default_factory=dict)
    tenancy: TenancySettings = field(default_factory=TenancySettings)
    linting: LintSettings = field(default_factory=LintSettings)
    diff: DiffSettings = field(default_factory=DiffSettings)
    build: BuildSettings = field(default_factory=BuildSettings)
    hooks: tuple[LocatedSource, ...] = ()
    """The hooks that run in every migration: modules that register them, `module:Class`, or entry points."""
    on_run_finished: tuple[str, ...] = ()
    """The program with its arguments, or the Python function as `module:name`, to call after each run."""
    environ: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    """The process environment, for variables that are set from environment variables."""

    @property
    def database_options(self) -> str:
        """The options, with a leading space, that a printed command needs to reach this environment and database.

        The default environment is named if a variable could choose another one. A URL is not printed, because it may
        contain a password.
        """
        is_default = self.environment == DEFAULT_ENVIRONMENT and not self.environ.get(ENVIRONMENT_VARIABLE)
        environment = "" if is_default else f" --env {shlex.quote(self.environment)}"
        return environment + (f" {DATABASE_OPTION} URL" if self.database.url_from == DATABASE_OPTION else "")

    @property
    def history(self) -> HistoryKey:
        """The key of the history that these settings use."""
        return HistoryKey(project=self.project)

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders that contain the project's files."""
        return (self.root, self.schemas, self.migrations)
