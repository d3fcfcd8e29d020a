"""Gives the history of a project another name, after the project was renamed."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from confiture.core.database import Database, require_usable
from confiture.core.failures import plain_failure
from confiture.core.lock import project_lock
from confiture.core.state import StateStore
from confiture.errors import DatabaseUnavailable, Diagnostic, InputError
from confiture.models.history import HistoryKey


def adopt_project(database: Database, old: str, new: str, lock_wait_ms: int) -> int:
    """Renames the history of the project `old` to `new`, in one transaction. Returns how many migrations it holds.

    Raises InputError if there is none of `old`, or one of `new` already; LockHeld while a run of either is under way;
    DatabaseUnavailable.
    """
    keys = HistoryKey(project=old), HistoryKey(project=new)
    purpose = "adopt project"
    connection = database.connect(purpose)
    try:
        require_usable(connection, database.label)
        former, renamed = (StateStore(connection, key) for key in keys)
        with (
            project_lock(database, keys[0], purpose, lock_wait_ms, lambda _: None, connection),
            project_lock(database, keys[1], purpose, lock_wait_ms, lambda _: None, connection),
            connection.transaction(),
        ):
            _require_one_history(former, renamed)
            if former.needs_upgrade():
                # only of `default`, whose lock is held
                former.upgrade()
            return former.rename(new)
    except psycopg.Error as error:
        raise DatabaseUnavailable(plain_failure(error, "the history cannot be renamed")) from error
    finally:
        connection.close()


def _require_one_history(former: StateStore, renamed: StateStore) -> None:
    is_installed = former.installed()
    if not is_installed or not former.history():
        known = [other.project for other in former.others()] if is_installed else []
        raise InputError(
            Diagnostic(
                code="unknown-project",
                message=f"the database holds no history of the project {former.key.project!r}",
                hint=_known(known),
            )
        )
    if renamed.history():
        raise InputError(
            Diagnostic(
                code="project-exists",
                message=f"the database holds a history of the project {renamed.key.project!r} already",
                hint="choose another name; two histories cannot be merged",
            )
        )


def _known(projects: Sequence[str]) -> str:
    if not projects:
        return "check the database: it holds no history at all"
    return f"name one that it holds: {', '.join(projects)}"
