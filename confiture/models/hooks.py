"""Hooks as data: when they run, and what one says that it did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from confiture.models.migration import Phase

HookPhase = Phase
"""When a hook runs: the phases of a migration. `HookPhase.AFTER_DDL` is once the schema has changed."""

TRANSACTION_ENDED = "transaction-ended"
"""The code of the diagnostic for a hook that ended the transaction which it ran in, past its own connection."""
_UNKNOWN_ROW_COUNT = -1
"""What the driver says where PostgreSQL tells no number of rows."""


@dataclass(frozen=True, slots=True)
class HookResult:
    """What a hook says that it did.

    `phase` is a HookPhase or its name in either case (`AFTER_DDL`, `after_ddl`), `hook_name` what reports call the
    hook. `rows_affected` counts rows; None, the default, stands for those that its statements were seen to write.
    `stats` is anything worth keeping, by name: it is shown with the step, and later hooks find it in `context.stats`.

    Raises TypeError or ValueError for what none of that is.

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
            raise ValueError(f"hook_name is the hook's name, not {self.hook_name!r}")
        object.__setattr__(self, "rows_affected", _check_row_count(self.rows_affected))
        if not isinstance(self.stats, Mapping) or not all(isinstance(name, str) for name in self.stats):
            raise TypeError(f"stats is a mapping from names to values, not {self.stats!r}")
        object.__setattr__(self, "stats", dict(self.stats))


def parse_phase(name: object) -> Phase:
    """The phase of a name in either case. Raises ValueError with those that there are."""
    try:
        return Phase(str(name).lower())
    except ValueError:
        known = ", ".join(phase.name for phase in Phase)
        raise ValueError(f"{name!r} is no phase of a migration: {known}") from None


def _check_row_count(rows: object) -> int | None:
    if rows is None:
        return None
    if isinstance(rows, bool) or not isinstance(rows, int):
        raise TypeError(f"rows_affected is a number of rows, not {rows!r}")
    if rows < _UNKNOWN_ROW_COUNT:
        raise ValueError(f"rows_affected cannot be {rows}")
    return None if rows == _UNKNOWN_ROW_COUNT else rows
