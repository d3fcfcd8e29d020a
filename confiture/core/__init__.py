"""The engine: connections, history, locks, runs and hooks. Exports the names needed to write migrations and hooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from confiture.core.hooks.errors import HookRefused, LintingError
from confiture.core.hooks.hook import Hook, HookContext, register_hook
from confiture.models.hooks import HookPhase, HookResult

if TYPE_CHECKING:
    from confiture.core.hooks.connection import HookConnection, HookCursor
    from confiture.core.migrator import Migrator

__all__ = [
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
]

_LOADS_A_DRIVER = {
    "HookConnection": "confiture.core.hooks.connection",
    "HookCursor": "confiture.core.hooks.connection",
    "Migrator": "confiture.core.migrator",
}


def __getattr__(name: str) -> Any:
    if name not in _LOADS_A_DRIVER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LOADS_A_DRIVER[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
