"""Tools for testing a project's migrations. `confiture.testing.plugin` provides fixtures for pytest.

`scratch_server` creates separate databases at any migration; `up_down_up` proves that a migration can be reverted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from confiture.testing.database import ScratchDatabase
    from confiture.testing.round_trip import up_down_up
    from confiture.testing.server import DatabaseFactory, ScratchServer, scratch_server
    from confiture.testing.standard_tests import test_every_migration_goes_up_down_up

__all__ = [
    "DatabaseFactory",
    "ScratchDatabase",
    "ScratchServer",
    "scratch_server",
    "test_every_migration_goes_up_down_up",
    "up_down_up",
]

_MODULES = {
    "DatabaseFactory": "server",
    "ScratchDatabase": "database",
    "ScratchServer": "server",
    "scratch_server": "server",
    "test_every_migration_goes_up_down_up": "standard_tests",
    "up_down_up": "round_trip",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
