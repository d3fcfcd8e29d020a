"""Storage for dry-run predictions, which are later compared with real runs.

A dry run does not change the database, so predictions are stored in the project, in `.confiture/predictions.json`.
The file is a wire format: `format`, `version`, and the entries' keys must not change. `measured` is an optional key:
what the dry run measured besides the time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from confiture.files.access import OWN_FOLDER, FileAccessError, read_file, write_own_file
from confiture.models.predictions import MeasuredLock, Measurement, Prediction
from confiture.models.trace import LockMode

_MOST = 1_000
_FILE = "predictions.json"
_FORMAT, _VERSION = "confiture.predictions", 1


class PredictionStore:
    """The predictions stored in the project at `root`. An unreadable file counts as empty."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def load(self, database: str, checksums: Mapping[str, str]) -> dict[str, Prediction]:
        """Return the newest prediction for each version with an unchanged checksum, for a database and any role.

        `checksums` are the current checksums of the migrations by version.
        """
        location = _database_location(database)
        return {
            prediction.version: prediction
            for prediction in self._read_all()
            if _database_location(prediction.database) == location
            and checksums.get(prediction.version) == prediction.checksum
        }

    def load_elsewhere(self, database: str, checksums: Mapping[str, str]) -> dict[str, Prediction]:
        """Return the newest prediction for each version with an unchanged checksum, for any other database."""
        location = _database_location(database)
        return {
            prediction.version: prediction
            for prediction in self._read_all()
            if _database_location(prediction.database) != location
            and checksums.get(prediction.version) == prediction.checksum
        }

    def save(self, predictions: Sequence[Prediction]) -> None:
        """Add predictions and drop the oldest ones beyond the limit. Raise FileAccessError."""
        newest = [*self._read_all(), *predictions][-_MOST:]
        write_own_file(self._root, _FILE, json.dumps(_to_document(newest), indent=1))

    def _read_all(self) -> list[Prediction]:
        try:
            content = read_file(self._root / OWN_FOLDER / _FILE, _FILE, (self._root,))
            return _from_document(json.loads(content))
        except (FileAccessError, ValueError, TypeError, KeyError, RecursionError):
            return []


def _to_document(predictions: Sequence[Prediction]) -> dict[str, Any]:
    entries = [
        {
            "database": prediction.database,
            "version": prediction.version,
            "checksum": prediction.checksum,
            "predicted_ms": prediction.predicted_ms,
            "low_ms": prediction.low_ms,
            "high_ms": prediction.high_ms,
            "runs": prediction.runs,
            **({"measured": _measured_object(prediction.measurement)} if prediction.measurement else {}),
        }
        for prediction in predictions
    ]
    return {"format": _FORMAT, "version": _VERSION, "predictions": entries}


def _from_document(document: Any) -> list[Prediction]:
    """Return the predictions in a document. Version 1 of the format is a bare list."""
    if isinstance(document, dict):
        if (document["format"], document["version"]) != (_FORMAT, _VERSION):
            return []
        document = document["predictions"]
    return [
        Prediction(
            database=entry["database"],
            version=entry["version"],
            checksum=entry["checksum"],
            predicted_ms=entry["predicted_ms"],
            low_ms=entry["low_ms"],
            high_ms=entry["high_ms"],
            runs=entry["runs"],
            measurement=_read_measurement(entry["measured"]) if "measured" in entry else None,
        )
        for entry in document
    ]


def _measured_object(measurement: Measurement) -> dict[str, Any]:
    return {
        "at": measurement.at,
        "locks": [
            {"relation": lock.relation, "mode": lock.mode.value, "held_ms": lock.held_ms} for lock in measurement.locks
        ],
        "wal_bytes": measurement.wal_bytes,
        "temp_bytes": measurement.temp_bytes,
        "rewrites": list(measurement.rewrites),
        "deleted_rows": dict(measurement.deleted_rows),
        "proved": measurement.is_proved,
        "mixed": list(measurement.mixed),
        "not_provable": list(measurement.not_provable),
    }


def _read_measurement(entry: Any) -> Measurement:
    return Measurement(
        at=entry["at"],
        locks=tuple(
            MeasuredLock(relation=lock["relation"], mode=LockMode(lock["mode"]), held_ms=lock["held_ms"])
            for lock in entry["locks"]
        ),
        wal_bytes=entry["wal_bytes"],
        temp_bytes=entry["temp_bytes"],
        rewrites=tuple(entry["rewrites"]),
        deleted_rows=tuple(entry["deleted_rows"].items()),
        is_proved=entry["proved"],
        mixed=tuple(entry["mixed"]),
        not_provable=tuple(entry["not_provable"]),
    )


def _database_location(label: str) -> str:
    """Return a database's host, port, and name without the role, because dry runs may use a less privileged role."""
    return label.rpartition("@")[2]
