"""Upgrade tables in a former format before a command writes to them."""

from __future__ import annotations

from confiture.core.db.connection import Connection, ConnectionTarget
from confiture.core.db.history_store import HistoryStore
from confiture.core.db.migration_lock import LOCK_KEY, acquire_migration_lock, lock_key
from confiture.models.events import Emit
from confiture.models.history import HistoryKey
from confiture.models.settings import DEFAULT_PROJECT


def upgrade_history(
    database: ConnectionTarget, connection: Connection, store: HistoryStore, purpose: str, wait_ms: int, emit: Emit
) -> None:
    """Upgrade the history tables if they have a former format. The caller must hold the lock for its own history.

    Older versions of Confiture use a single lock for all projects, the lock of `default`. Wait up to `wait_ms` for that
    lock. Raise LockHeld, which names the holder, or DatabaseUnavailable.
    """
    if not store.needs_upgrade():
        return
    if lock_key(store.key) == LOCK_KEY:
        store.upgrade()
        return
    with acquire_migration_lock(database, HistoryKey(project=DEFAULT_PROJECT), purpose, wait_ms, emit, connection):
        store.upgrade()
