"""PostgreSQL migrations for multi-tenant CQRS schemas.

All public names can be imported from this package. Each name is loaded on first use, so `import confiture` does not
import a database driver. `Project` is the API for a project. Use `Migration` to write migrations, `Hook` to write
hooks, and `SchemaRule` and `StatementRule` to write lint rules.
"""

from __future__ import annotations

TYPE_CHECKING = False
"""As in `typing`. Nothing is imported before `__main__`, because `__main__` must handle Ctrl-C during start-up."""

if TYPE_CHECKING:
    from typing import Any

    from confiture.core.commands import DownOptions, UpOptions
    from confiture.core.hooks.connection import HookConnection, HookCursor
    from confiture.core.hooks.errors import HookRefused, LintingError
    from confiture.core.hooks.hook import Hook, HookContext, register_hook
    from confiture.core.migrator import Migrator
    from confiture.errors import (
        CheckFailed,
        ConfitureError,
        DatabaseUnavailable,
        Diagnostic,
        Drift,
        ExitCode,
        HazardsFound,
        InputError,
        LockHeld,
        MigrationFailed,
        MigrationStopped,
        Span,
    )
    from confiture.lint.rule import (
        Claims,
        Example,
        ExpectedEffects,
        Group,
        Hit,
        Option,
        Rule,
        SchemaRule,
        StatementRule,
        Violation,
    )
    from confiture.models.hooks import HookPhase, HookResult
    from confiture.models.migration_api import Migration
    from confiture.project import Project
    from confiture.testing.database import ScratchDatabase
    from confiture.testing.round_trip import up_down_up
    from confiture.testing.server import DatabaseFactory, ScratchServer, scratch_server
    from confiture.testing.standard_tests import test_every_migration_goes_up_down_up

__version__ = "0.2.0"

__all__ = [
    "CheckFailed",
    "Claims",
    "ConfitureError",
    "DatabaseFactory",
    "DatabaseUnavailable",
    "Diagnostic",
    "DownOptions",
    "Drift",
    "Example",
    "ExitCode",
    "ExpectedEffects",
    "Group",
    "HazardsFound",
    "Hit",
    "Hook",
    "HookConnection",
    "HookContext",
    "HookCursor",
    "HookPhase",
    "HookRefused",
    "HookResult",
    "InputError",
    "LintingError",
    "LockHeld",
    "Migration",
    "MigrationFailed",
    "MigrationStopped",
    "Migrator",
    "Option",
    "Project",
    "Rule",
    "SchemaRule",
    "ScratchDatabase",
    "ScratchServer",
    "Span",
    "StatementRule",
    "UpOptions",
    "Violation",
    "register_hook",
    "scratch_server",
    "test_every_migration_goes_up_down_up",
    "up_down_up",
]

_MODULES = {
    "confiture.core": (
        "Hook",
        "HookConnection",
        "HookContext",
        "HookCursor",
        "HookPhase",
        "HookRefused",
        "HookResult",
        "LintingError",
        "Migrator",
        "register_hook",
    ),
    "confiture.core.commands": ("DownOptions", "UpOptions"),
    "confiture.project": ("Project",),
    "confiture.lint.rule": (
        "Claims",
        "Example",
        "ExpectedEffects",
        "Group",
        "Hit",
        "Option",
        "Rule",
        "SchemaRule",
        "StatementRule",
        "Violation",
    ),
    "confiture.models": ("Migration",),
    "confiture.testing": (
        "DatabaseFactory",
        "ScratchDatabase",
        "ScratchServer",
        "scratch_server",
        "test_every_migration_goes_up_down_up",
        "up_down_up",
    ),
}
"""The module of each public name that is not in `confiture.errors`."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module = next((module for module, names in _MODULES.items() if name in names), "confiture.errors")
    return getattr(import_module(module), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
