"""What a dry run predicts of a migration."""

from __future__ import annotations

from dataclasses import dataclass

from confiture.models.trace import Estimate


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
