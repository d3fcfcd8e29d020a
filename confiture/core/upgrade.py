"""Upgrades tables of a former format before a command writes them."""

from __future__ import annotations

from confiture.core.database import Connection, Database
from confiture.core.events import Emit
from confiture.core.lock import LOCK_KEY, lock_key, project_lock
from confiture.core.state import StateStore
from confiture.models.history import HistoryKey
from confiture.models.settings import DEFAULT_PROJECT


def upgrade_history(
    database: Database, connection: Connection, state: StateStore, purpose: str, wait_ms: int, emit: Emit
) -> None:
    """Upgrades our tables if they have a former format. The caller holds the lock of its own history.

    Programs that know only the former format have one lock for all projects, that of `default`: this waits for it up to
    `wait_ms`. Raises LockHeld, with who holds it, or DatabaseUnavailable.
    """
    if not state.needs_upgrade():
        return
    if lock_key(state.key) == LOCK_KEY:
        state.upgrade()
        return
    with project_lock(database, HistoryKey(project=DEFAULT_PROJECT), purpose, wait_ms, emit, connection):
        state.upgrade()
