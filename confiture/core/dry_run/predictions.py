"""Remembers what dry runs predicted, so that real runs can be held against it.

A dry run leaves the database as it was, so predictions are kept beside the project, in `.confiture/predictions.json`.
The file is a wire form: `format`, `version` and the keys of its entries stay as they are written here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confiture.files.replacement import replace_file
from confiture.models.trace import Estimate

_MOST = 1_000
_FORMAT, _VERSION = "confiture.predictions", 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """How long a migration was predicted to take on a database, in milliseconds, and from how many dry runs.

    `database` is its label, `checksum` the migration's. The range is None where one run gave none.
    """

    database: str
    version: str
    checksum: str
    predicted_ms: float
    low_ms: float | None
    high_ms: float | None
    runs: int

    @classmethod
    def of(cls, database: str, version: str, checksum: str, estimate: Estimate) -> Prediction:
        """The prediction that an estimate makes."""
        return cls(
            database=database,
            version=version,
            checksum=checksum,
            predicted_ms=estimate.production_ms,
            low_ms=estimate.low_ms,
            high_ms=estimate.high_ms,
            runs=estimate.runs,
        )


class Predictions:
    """The predictions of the project at `root`. A file that cannot be read counts as none."""

    def __init__(self, root: Path) -> None:
        self._folder = root / ".confiture"
        self._path = self._folder / "predictions.json"

    def recall(self, database: str, checksums: Mapping[str, str]) -> dict[str, Prediction]:
        """The newest predictions, by version, for migrations as they are now on a database, whoever connects to it.

        `checksums` are theirs, by version.
        """
        place = _place(database)
        return {
            prediction.version: prediction
            for prediction in self._load()
            if _place(prediction.database) == place and checksums.get(prediction.version) == prediction.checksum
        }

    def remember(self, predictions: Sequence[Prediction]) -> None:
        """Adds predictions; the oldest go when there are too many."""
        kept = [*self._load(), *predictions][-_MOST:]
        self._folder.mkdir(exist_ok=True)
        (self._folder / ".gitignore").write_text("*\n", encoding="utf-8")
        replace_file(self._path, json.dumps(_document(kept), indent=1).encode())

    def _load(self) -> list[Prediction]:
        try:
            return _predictions(json.loads(self._path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, KeyError):
            return []


def _document(predictions: Sequence[Prediction]) -> dict[str, Any]:
    entries = [
        {
            "database": prediction.database,
            "version": prediction.version,
            "checksum": prediction.checksum,
            "predicted_ms": prediction.predicted_ms,
            "low_ms": prediction.low_ms,
            "high_ms": prediction.high_ms,
            "runs": prediction.runs,
        }
        for prediction in predictions
    ]
    return {"format": _FORMAT, "version": _VERSION, "predictions": entries}


def _predictions(document: Any) -> list[Prediction]:
    """The entries of a file; the first ones had no head, just the list."""
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
        )
        for entry in document
    ]


def _place(label: str) -> str:
    """Host, port and name of a database: dry runs may use a role that may less than that of the real run."""
    return label.rpartition("@")[2]
