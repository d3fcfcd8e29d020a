"""Read history rows, and reject rows damaged by manual changes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

from confiture.core.db.search_path import SCHEMA
from confiture.errors import DatabaseUnavailable, Diagnostic
from confiture.models.history import AppliedMigration, HistoryOrigin, MigrationState, PredictionOutcome, StoredTexts
from confiture.models.migration import Phase
from confiture.models.plan import InputKind, MigrationInput, StepChecksum
from confiture.plan.texts import MigrationTexts, hash_text
from confiture.text import cut

_Word = TypeVar("_Word", bound=StrEnum)


def read_word(words: type[_Word], row: Mapping[str, Any], column: str) -> _Word:
    """Return the enum member named in a column. Raise DatabaseUnavailable if there is no such member."""
    try:
        return words(row[column])
    except ValueError as error:
        raise _damaged_row(row, column) from error


def _read_steps(row: Mapping[str, Any]) -> tuple[StepChecksum, ...]:
    try:
        steps = [(Phase(phase), label, checksum) for phase, label, checksum in row["steps"]]
    except (TypeError, ValueError) as error:
        raise _damaged_row(row, "steps") from error
    if not all(isinstance(text, str) for _, *texts in steps for text in texts):
        raise _damaged_row(row, "steps")
    return tuple(StepChecksum(phase=phase, label=label, checksum=checksum) for phase, label, checksum in steps)


def _read_texts(row: Mapping[str, Any]) -> StoredTexts | None:
    if row["texts"] is None:
        return None
    try:
        path, own = row["texts"]["file"]
        files = dict(row["texts"]["named_files"].items())
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged_row(row, "texts") from error
    if not all(isinstance(text, str) for text in (path, own, *files.values())):
        raise _damaged_row(row, "texts")
    return StoredTexts(path=path, own=own, files=files)


def _read_inputs(row: Mapping[str, Any]) -> tuple[MigrationInput, ...]:
    try:
        inputs = [(InputKind(kind), name, digest) for kind, name, digest in row["inputs"] or ()]
    except (TypeError, ValueError) as error:
        raise _damaged_row(row, "inputs") from error
    if not all(isinstance(text, str) for _, *texts in inputs for text in texts):
        raise _damaged_row(row, "inputs")
    return tuple(MigrationInput(kind=kind, name=name, digest=digest) for kind, name, digest in inputs)


def texts_to_row(texts: MigrationTexts) -> dict[str, Any]:
    """Return the value of the column `texts`, which is a wire format."""
    files = {name: hash_text(text) for name, text in texts.files.items()}
    return {"file": [texts.path, hash_text(texts.own)], "named_files": files}


def _read_time(row: Mapping[str, Any], column: str) -> datetime | None:
    try:
        return datetime.fromisoformat(row[column]) if row[column] else None
    except ValueError as error:  # infinity, or a year that Python does not support
        raise _damaged_row(row, column) from error


def _check_duration(row: Mapping[str, Any]) -> None:
    if row["duration_ms"] is not None and not 0 <= row["duration_ms"] < math.inf:
        raise _damaged_row(row, "duration_ms")


def _damaged_row(row: Mapping[str, Any], column: str) -> DatabaseUnavailable:
    table, name = ("migrations", row["version"]) if "version" in row else ("journal", f"segment {row['segment']}")
    return DatabaseUnavailable(
        Diagnostic(
            code="damaged-history",
            message=f"the row of {name} in {SCHEMA}.{table} is damaged: its {column} is not a valid value",
            detail=(f"{column}: {cut(str(row[column]), 100)}",),
            hint="restore the row from a backup; docs/state.md describes each column",
        )
    )


def _prediction_outcome(row: dict[str, Any]) -> PredictionOutcome | None:
    if row["predicted_ms"] is None:
        return None
    return PredictionOutcome(**{name: row[name] for name in ("predicted_ms", "low_ms", "high_ms", "measured_ms")})


def read_applied_migration(row: dict[str, Any]) -> AppliedMigration:
    """Return a history row. Raise DatabaseUnavailable for a row that Confiture cannot have written."""
    _check_duration(row)
    return AppliedMigration(
        position=row["position"],
        version=row["version"],
        name=row["name"],
        state=read_word(MigrationState, row, "state"),
        origin=read_word(HistoryOrigin, row, "origin"),
        attempt=row["attempt"],
        checksum=row["checksum"],
        chain=row["chain"],
        steps=_read_steps(row),
        applied_at=_read_time(row, "applied_at"),
        applied_by=row["applied_by"],
        duration_ms=row["duration_ms"],
        prediction_outcome=_prediction_outcome(row),
        texts=_read_texts(row),
        inputs=_read_inputs(row),
    )
