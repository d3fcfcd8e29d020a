"""What confiture.yaml, the environment and the options say, merged."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, Literal

from confiture.errors import Span
from confiture.models.history import HistoryKey
from confiture.models.records import record
from confiture.models.source import LocatedSource, SourceFile

DEFAULT_PROJECT = "default"
"""The project whose history a database holds if the settings name none. Never a folder's name: a clone has another."""

PROJECT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
PROJECT_NAME_HINT = "use up to 63 letters, digits, `_`, `.` and `-`, and begin with a letter or a digit"

EMBEDDED = "embedded"
"""The database URL that stands for the project's own embedded server."""

OLDEST_LINTED, NEWEST_LINTED = 14, 18
"""The major versions of PostgreSQL that lint knows."""

Severity = Literal["error", "warning", "info"]


@record(frozen=True, kw_only=True, slots=True)
class DatabaseSettings:
    """Where the database is, and how patient we are.

    `url` may hold a password: it is never printed. `url_from` says which setting gave it. An empty URL leaves all
    to the PG* variables.
    """

    url: str = field(default=EMBEDDED, repr=False)
    url_from: str = "default"
    lock_timeout_ms: int = 2_000
    max_blocking_ms: int = 1_000
    retries: int = 20


@record(frozen=True, kw_only=True, slots=True)
class TenancySettings:
    """Which column names the tenant, and which tables (glob patterns) have it.

    `is_set` is whether the settings say anything of it: rules about tenants are silent where they do not.
    """

    column: str = "tenant_id"
    tables: tuple[str, ...] = ()
    exempt: tuple[str, ...] = ()
    is_set: bool = field(default=False, compare=False)


@record(frozen=True, kw_only=True, slots=True)
class RuleSettings:
    """An entry of `linting.rules` as written: the type is that of some rule, which knows what `options` it takes.

    None stands for what the entry leaves out. `spans` says where its keys stand, `span` where it begins.
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
    """What lint looks for. `file` is the settings file, which the spans of the entries point into.

    `postgres_version` is the major version that the migrations are meant for, None for that of the database, or the
    newest. Findings of `block_migrations` or worse keep migrations from running; None: none do.
    """

    rules: tuple[RuleSettings, ...] = ()
    postgres_version: int | None = None
    block_migrations: Severity | None = None
    baseline: Path | None = None
    plugins: tuple[LocatedSource, ...] = ()
    file: SourceFile | None = field(default=None, compare=False, repr=False)


@record(frozen=True, kw_only=True, slots=True)
class Settings:
    """A project's settings for one environment. Folders are absolute; `root` is where confiture.yaml stands."""

    root: Path
    environment: str
    project: str = DEFAULT_PROJECT
    """Names the project's history in a database, which may hold those of several projects."""
    is_named: bool = False
    """Whether the settings name the project."""
    protected: bool = False
    """Whether a dry run must be asked for twice: it takes real locks and leaves dead rows."""
    database: DatabaseSettings
    migrations: Path
    schemas: Path
    variables: Mapping[str, Any] = field(default_factory=dict)
    tenancy: TenancySettings = field(default_factory=TenancySettings)
    linting: LintSettings = field(default_factory=LintSettings)
    hooks: tuple[LocatedSource, ...] = ()
    """The hooks that run in every migration: modules that register them, `module:Class`, or entry points."""
    environ: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    """The environment of the process, for variables that take their values from it."""

    @property
    def history(self) -> HistoryKey:
        """Whose history it is that these settings read and write."""
        return HistoryKey(project=self.project)

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders that the project's files lie in."""
        return (self.root, self.schemas, self.migrations)
