"""PostgreSQL migrations for CQRS schemas with many tenants.

As a library: `Project` is a project and what can be done with it, `UpOptions` and `DownOptions` say how far, the errors
are those that `Project.run` raises.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from confiture.core.migrate import DownOptions, UpOptions
    from confiture.core.project import Project
    from confiture.errors import (
        CheckFailed,
        ConfitureError,
        DatabaseUnavailable,
        Diagnostic,
        Drift,
        HazardsFound,
        InputError,
        LockHeld,
        MigrationFailed,
        MigrationStopped,
    )

__version__ = "0.2.0"

__all__ = [
    "CheckFailed",
    "ConfitureError",
    "DatabaseUnavailable",
    "Diagnostic",
    "DownOptions",
    "Drift",
    "HazardsFound",
    "InputError",
    "LockHeld",
    "MigrationFailed",
    "MigrationStopped",
    "Project",
    "UpOptions",
]

_ELSEWHERE = {
    "Project": "confiture.core.project",
    "UpOptions": "confiture.core.migrate",
    "DownOptions": "confiture.core.migrate",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_ELSEWHERE.get(name, "confiture.errors")), name)
