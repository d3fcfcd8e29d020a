"""Check before a run that the server accepts as many connections as its backfills will open."""

from __future__ import annotations

from confiture.core.db.connection import Connection, fetch_named_row
from confiture.errors import Diagnostic, MigrationFailed
from confiture.models.plan import Plan, PlannedStep

_PER_WORKER = 2
"""A worker has a connection of its own, and one that monitors which sessions it blocks."""
_LIMITS = {
    "of_role": ("CONNECTION LIMIT of the role", "ALTER ROLE ... CONNECTION LIMIT"),
    "of_database": ("CONNECTION LIMIT of the database", "ALTER DATABASE ... CONNECTION LIMIT"),
    "of_server": ("max_connections of the server", "end other sessions"),
}


def check_connection_limits(connection: Connection, plan: Plan) -> None:
    """Raise MigrationFailed if a backfill in the plan needs more connections than are free.

    The run's own connections must be open. Other sessions that the role may not see are not counted.
    """
    steps = [
        step for migration in plan.migrations for step in migration.steps if step.backfill and not step.skip_reason
    ]
    if not steps:
        return
    step = max(steps, key=_needed)
    free = fetch_named_row(connection, "connection_limits")
    for name, (limit, change) in _LIMITS.items():
        if free[name] is not None and free[name] < _needed(step):
            raise MigrationFailed(_diagnostic(step, free[name], limit, change))


def _needed(step: PlannedStep) -> int:
    return _PER_WORKER * step.backfill.workers if step.backfill else 0


def _diagnostic(step: PlannedStep, free: int, limit: str, change: str) -> Diagnostic:
    message = f"the backfill needs {_needed(step)} more connections, but the {limit} leaves {max(free, 0)}"
    hint = f"raise the limit ({change}), or set fewer `workers:`; each worker needs {_PER_WORKER} connections"
    return step.rendered.source.file.diagnostic(step.span, "too-few-connections", message, hint=hint)
