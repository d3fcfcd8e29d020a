"""Wait until a database has the migrations that an application needs. Only reads the history."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from confiture.core.db.connection import READ_LOCK_TIMEOUT_MS, ConnectionTarget, connect_for_query, set_lock_timeout
from confiture.core.db.history_store import HistoryStore
from confiture.durations import format_duration
from confiture.errors import DatabaseUnavailable, Diagnostic, Pending
from confiture.models.history import HistoryKey
from confiture.plan.migration_order import version_key
from confiture.text import pluralize

_POLL_S = 1.0
_MOST = 5


def wait_for_migrations(
    database: ConnectionTarget,
    history: HistoryKey,
    versions: Sequence[str],
    timeout_ms: int,
    notify: Callable[[str], None],
) -> None:
    """Return when all versions are applied. Poll once a second, over a new connection each time.

    `notify` receives a sentence when the reason to wait changes; a database that cannot be reached is one. Needs SELECT
    on the history only, and holds no lock between the polls. Raise Pending after `timeout_ms`.
    """
    deadline = time.monotonic() + timeout_ms / 1000
    announced = ""
    while True:
        reason = _find_reason(database, history, versions)
        if reason is None:
            return
        if time.monotonic() >= deadline:
            raise Pending(
                Diagnostic(
                    code="pending",
                    message=f"still waiting for {reason}"
                    + (f" after {format_duration(timeout_ms)}" if timeout_ms else ""),
                    hint="run `confiture migrate up`, or wait longer with --timeout",
                )
            )
        if reason != announced:
            notify(f"waiting for {reason}")
            announced = reason
        time.sleep(min(_POLL_S, max(deadline - time.monotonic(), 0)))


def _find_reason(database: ConnectionTarget, history: HistoryKey, versions: Sequence[str]) -> str | None:
    """Return what is missing; None if all versions are applied."""
    try:
        with connect_for_query(database, "wait", "the history cannot be read") as connection:
            set_lock_timeout(connection, READ_LOCK_TIMEOUT_MS)
            store = HistoryStore(connection, history)
            applied = store.applied_versions() if store.is_installed(only_reads=True) else frozenset()
    except DatabaseUnavailable as error:
        return f"the database: {error.diagnostics[0].message}"
    keys = {version_key(version) for version in applied}
    missing = [version for version in versions if version_key(version) not in keys]
    if not missing:
        return None
    more = f", and {len(missing) - _MOST} more" if len(missing) > _MOST else ""
    return f"{pluralize(len(missing), 'migration')} on {database.label}: {', '.join(missing[:_MOST])}{more}"
