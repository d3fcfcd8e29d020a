"""A dry run's prediction for a migration."""

from __future__ import annotations

from dataclasses import dataclass

from confiture.models.trace import Estimate


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """The predicted duration of a migration on a database, in milliseconds, and the number of dry runs.

    `database` is the database's label; `checksum` is the migration's checksum. The range is None after a single run.
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
        """Return the prediction based on an estimate."""
        return cls(
            database=database,
            version=version,
            checksum=checksum,
            predicted_ms=estimate.production_ms,
            low_ms=estimate.low_ms,
            high_ms=estimate.high_ms,
            runs=estimate.runs,
        )
