"""A dry run's prediction for a migration, and what it measured."""

from __future__ import annotations

from dataclasses import dataclass

from confiture.models.trace import Estimate, LockMode


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasuredLock:
    """The longest time in milliseconds that a dry run held a lock mode on a relation that existed before."""

    relation: str
    mode: LockMode
    held_ms: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """The measurements of a dry run besides the time. `at` is when it ended (ISO 8601, UTC).

    `wal_bytes` and `temp_bytes` are the sums over all statements; `temp_bytes` is None if the role may not read it.
    `deleted_rows` are the rows that were removed, by table. `mixed` and `not_provable` describe the statements that
    mix tenants or whose tenant isolation is not provable; `is_proved` is whether proofs ran.
    """

    at: str
    locks: tuple[MeasuredLock, ...] = ()
    wal_bytes: int = 0
    temp_bytes: int | None = None
    rewrites: tuple[str, ...] = ()
    deleted_rows: tuple[tuple[str, int], ...] = ()
    is_proved: bool = False
    mixed: tuple[str, ...] = ()
    not_provable: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """The predicted duration of a migration on a database, in milliseconds, and the number of dry runs.

    `database` is the database's label; `checksum` is the migration's checksum. The range is None after a single run.
    `measurement` is None if an earlier version of Confiture made the prediction.
    """

    database: str
    version: str
    checksum: str
    predicted_ms: float
    low_ms: float | None
    high_ms: float | None
    runs: int
    measurement: Measurement | None = None

    @classmethod
    def of(
        cls, database: str, version: str, checksum: str, estimate: Estimate, measurement: Measurement | None = None
    ) -> Prediction:
        """Return the prediction based on an estimate."""
        return cls(
            database=database,
            version=version,
            checksum=checksum,
            predicted_ms=estimate.production_ms,
            low_ms=estimate.low_ms,
            high_ms=estimate.high_ms,
            runs=estimate.runs,
            measurement=measurement,
        )

    @property
    def longest_ms(self) -> float:
        """The upper end of the range; the prediction itself if there is no range."""
        return self.predicted_ms if self.high_ms is None else self.high_ms
