"""Read the texts that an applied migration ran."""

from __future__ import annotations

from confiture.core.db.connection import READ_LOCK_TIMEOUT_MS, ConnectionTarget, connect_for_query, set_lock_timeout
from confiture.core.db.stored_texts import read_texts
from confiture.core.status import read_history
from confiture.errors import Diagnostic, InputError
from confiture.models.applied_texts import AppliedText, AppliedTexts
from confiture.models.history import AppliedMigration, HistoryKey
from confiture.plan.migration_order import version_key

NOT_STORED = "it was recorded by a version of Confiture that did not store texts"
LOST = "the stored text is missing or damaged"


def read_applied_texts(database: ConnectionTarget, key: HistoryKey, version: str) -> AppliedTexts:
    """Return the texts of a version in a history. Raise InputError if it is not applied; DatabaseUnavailable."""
    with connect_for_query(database, "show", "the history cannot be read") as connection:
        set_lock_timeout(connection, READ_LOCK_TIMEOUT_MS)
        row = _find_row(read_history(connection, key), version)
        if row.texts is None:
            return AppliedTexts(row=row, own=None, problem=NOT_STORED)
        known = read_texts(connection, [row.texts.own, *row.texts.files.values()])
    return AppliedTexts(
        row=row,
        own=_stored_text(row.texts.path, known.get(row.texts.own)),
        files=tuple(_stored_text(name, known.get(key)) for name, key in sorted(row.texts.files.items())),
    )


def _find_row(history: tuple[AppliedMigration, ...], version: str) -> AppliedMigration:
    for row in history:
        if version_key(row.version) == version_key(version):
            return row
    raise InputError(
        Diagnostic(
            code="not-applied",
            message=f"{version} is not applied to this database",
            hint="`confiture migrate status` lists the applied migrations",
        )
    )


def _stored_text(name: str, text: str | None) -> AppliedText:
    return AppliedText(name=name, text=text, problem=LOST if text is None else None)
