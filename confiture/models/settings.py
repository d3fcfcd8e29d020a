"""What confiture.yaml, the environment and the options say, merged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

EMBEDDED = "embedded"
"""The database URL that stands for the project's own embedded server."""

Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True, kw_only=True, slots=True)
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


@dataclass(frozen=True, kw_only=True, slots=True)
class TenancySettings:
    """Which column names the tenant, and which tables (glob patterns) have it."""

    column: str = "tenant_id"
    tables: tuple[str, ...] = ()
    exempt: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class LintRule:
    """A rule switched on in the settings; `options` holds what only this type of rule has."""

    type: str
    tables: tuple[str, ...] = ("*",)
    exempt: tuple[str, ...] = ()
    severity: Severity = "error"
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """A project's settings for one environment. Folders are absolute; `root` is where confiture.yaml stands."""

    root: Path
    environment: str
    protected: bool = False
    """Whether a dry run must be asked for twice: it takes real locks and leaves dead rows."""
    database: DatabaseSettings
    migrations: Path
    schemas: Path
    variables: Mapping[str, Any] = field(default_factory=dict)
    tenancy: TenancySettings = field(default_factory=TenancySettings)
    lint_rules: tuple[LintRule, ...] = ()
