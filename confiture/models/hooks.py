"""The data of hooks: phases and results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from confiture.models.migration import Phase

HookPhase = Phase
"""The phases of a migration, as named by hooks. `HookPhase.AFTER_DDL` follows the schema changes."""

TRANSACTION_ENDED = "transaction-ended"
"""The diagnostic code for a hook that ended the migration's transaction instead of using its own connection."""
_UNKNOWN_ROW_COUNT = -1
"""The driver's row count if PostgreSQL reports none."""


@dataclass(frozen=True, slots=True)
class HookResult:
    """The result of a hook.

    `phase` is a HookPhase or its name in either case (`AFTER_DDL`, `after_ddl`); `hook_name` is the hook's name in
    reports. `rows_affected` is a number of rows. With None, the default, Confiture counts the rows that the hook's
    statements wrote. `stats` are arbitrary statistics by name. They are printed with the step, and later hooks can read
    them from `context.stats`.

    Raise TypeError or ValueError if an argument is invalid.

    Example::

        HookResult(phase="AFTER_DDL", hook_name="Backfill", rows_affected=1_200, stats={"tenants": 3})
    """

    phase: str
    hook_name: str
    rows_affected: int | None = None
    stats: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "phase", parse_phase(self.phase))
        if not isinstance(self.hook_name, str) or not self.hook_name.strip():
            raise ValueError(f"hook_name must be a non-empty string, not {self.hook_name!r}")
        object.__setattr__(self, "rows_affected", _check_row_count(self.rows_affected))
        if not isinstance(self.stats, Mapping) or not all(isinstance(name, str) for name in self.stats):
            raise TypeError(f"stats must be a mapping with string keys, not {self.stats!r}")
        object.__setattr__(self, "stats", dict(self.stats))


def parse_phase(name: object) -> Phase:
    """Return the phase with this name, in either case. Raise ValueError with the valid names for any other name."""
    try:
        return Phase(str(name).lower())
    except ValueError:
        phases = ", ".join(phase.name for phase in Phase)
        raise ValueError(f"{name!r} is not a phase of a migration; the phases are {phases}") from None


def _check_row_count(rows: object) -> int | None:
    if rows is None:
        return None
    if isinstance(rows, bool) or not isinstance(rows, int):
        raise TypeError(f"rows_affected must be an integer or None, not {rows!r}")
    if rows < _UNKNOWN_ROW_COUNT:
        raise ValueError(f"rows_affected cannot be {rows}")
    return None if rows == _UNKNOWN_ROW_COUNT else rows
