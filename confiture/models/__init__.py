"""Frozen data that is passed between the layers, independent of files, databases, and terminals.

`Migration`, the base class for Python migrations, can also be imported from this package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from confiture.models.migration_api import Migration

__all__ = ["Migration"]


def __getattr__(name: str) -> Any:
    if name != "Migration":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from confiture.models.migration_api import Migration

    return Migration


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
