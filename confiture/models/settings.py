"""The settings, merged from confiture.yaml, the environment and the command line."""

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
"""The project name if the settings give none. It is never a folder's name, since a clone has another one."""

PROJECT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
PROJECT_NAME_HINT = "use up to 63 letters, digits, `_`, `.` and `-`, and begin with a letter or a digit"

EMBEDDED = "embedded"
"""The database URL that selects the project's embedded server."""

OLDEST_LINTED, NEWEST_LINTED = 14, 18
"""The major versions of PostgreSQL that lint supports."""

Severity = Literal["error", "warning", "info"]


@record(frozen=True, kw_only=True, slots=True)
class DatabaseSettings:
    """The database, and how long to wait for its locks.

    `url` can contain a password and is never printed. `url_from` is the setting that it comes from. With an empty URL,
    the PG* variables apply.
    """

    url: str = field(default=EMBEDDED, repr=False)
    url_from: str = "default"
    lock_timeout_ms: int = 2_000
    max_blocking_ms: int = 1_000
    retries: int = 20


@record(frozen=True, kw_only=True, slots=True)
class TenancySettings:
    """The tenant column, and the tables (glob patterns) that have it.

    `is_set` is whether the settings configure tenancy: rules about tenants report nothing otherwise.
    """

    column: str = "tenant_id"
    tables: tuple[str, ...] = ()
    exempt: tuple[str, ...] = ()
    is_set: bool = field(default=False, compare=False)


@record(frozen=True, kw_only=True, slots=True)
class RuleSettings:
    """An entry of `linting.rules` as written. `type` is the type of a rule, which validates the `options`.

    None stands for what the entry leaves out. `spans` are the positions of its keys, `span` is its start.
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
    """The configuration of lint. `file` is the settings file that the spans of the entries refer to.

    `postgres_version` is the major version that the migrations target, None for that of the database, or the newest.
    Findings of severity `block_migrations` or worse keep migrations from running; with None, no findings do.
    """

    rules: tuple[RuleSettings, ...] = ()
    postgres_version: int | None = None
    block_migrations: Severity | None = None
    baseline: Path | None = None
    plugins: tuple[LocatedSource, ...] = ()
    file: SourceFile | None = field(default=None, compare=False, repr=False)


@record(frozen=True, kw_only=True, slots=True)
class Settings:
    """A project's settings for one environment. Folders are absolute; `root` is the folder of confiture.yaml."""

    root: Path
    environment: str
    project: str = DEFAULT_PROJECT
    """The name of the project's history in a database, which can hold the histories of several projects."""
    is_named: bool = False
    """Whether the settings name the project."""
    protected: bool = False
    """Whether a dry run must be requested twice: it takes real locks and leaves dead rows."""
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
        """The key of the history that these settings read and write."""
        return HistoryKey(project=self.project)

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders that contain the project's files."""
        return (self.root, self.schemas, self.migrations)
