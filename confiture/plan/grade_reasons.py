"""Conditions and reasons of grades: what the facts of one migration say about a category."""

from __future__ import annotations

from confiture.durations import format_duration
from confiture.models.grades import LockFact, LossFact, LossKind, RiskFacts
from confiture.text import pluralize

LONG_MS = 60_000
"""From this duration on, a migration is long even without a window."""
SMALL_SHARE = 0.01
"""The share of the database size up to which a need for disk space is small if the free space is not declared."""
_MOST = 3


def join_some(texts: list[str]) -> str:
    more = f", and {len(texts) - _MOST} more" if len(texts) > _MOST else ""
    return ", ".join(texts[:_MOST]) + more


def blocking_locks(facts: RiskFacts) -> list[LockFact]:
    return [lock for lock in facts.locks if lock.is_blocking]


def is_over_limit(lock: LockFact, facts: RiskFacts) -> bool:
    return lock.held_ms is not None and lock.held_ms > facts.max_blocking_ms


def format_lock(lock: LockFact) -> str:
    held = "" if lock.held_ms is None else f" for {format_duration(lock.held_ms)}"
    rows = "" if lock.rows is None else f", about {pluralize(lock.rows, 'row')}"
    return f"{lock.mode.sql} on {lock.relation}{held}{rows}"


def locks_over_limit_in_use(facts: RiskFacts) -> list[str]:
    return [format_lock(lock) for lock in blocking_locks(facts) if is_over_limit(lock, facts) and lock.is_in_use]


def undetermined_locks(facts: RiskFacts) -> list[str]:
    return [
        format_lock(lock)
        for lock in blocking_locks(facts)
        if (lock.held_ms is None and lock.is_in_use is not False)
        or (is_over_limit(lock, facts) and lock.is_in_use is None)
    ]


def locks_without_use(facts: RiskFacts) -> list[str]:
    return [
        format_lock(lock)
        for lock in blocking_locks(facts)
        if lock.is_in_use is False and (lock.held_ms is None or is_over_limit(lock, facts))
    ]


def lost_data(facts: RiskFacts) -> list[LossFact]:
    """Return what is certainly lost: rows that exist, and values in tables with rows."""
    kinds = (LossKind.ROWS, LossKind.VALUES)
    return [loss for loss in facts.losses if loss.kind in kinds and loss.rows and not loss.is_restored]


def uncertain_losses(facts: RiskFacts) -> list[LossFact]:
    kinds = (LossKind.ROWS, LossKind.VALUES)
    return [loss for loss in facts.losses if loss.kind in kinds and loss.rows is None and not loss.is_restored]


def partial_losses(facts: RiskFacts) -> list[LossFact]:
    """Return losses of selected or overwritten rows, and those that `down` restores."""
    kinds = (LossKind.SELECTED_ROWS, LossKind.OVERWRITTEN)
    return [
        loss
        for loss in facts.losses
        if (loss.kind in kinds and loss.rows != 0) or (loss.is_restored and loss.rows != 0)
    ]


def format_losses(losses: list[LossFact]) -> str:
    return join_some(
        [
            loss.description
            + (
                f" ({'about ' if loss.kind is not LossKind.SELECTED_ROWS else ''}{pluralize(loss.rows, 'row')})"
                if loss.rows
                else ""
            )
            + (", which `down` writes again" if loss.is_restored else "")
            for loss in losses
        ]
    )


def format_prediction(facts: RiskFacts) -> str:
    prediction = facts.prediction
    if prediction is None:
        return "no dry run on this database"
    time = format_duration(prediction.predicted_ms)
    if prediction.low_ms is not None and prediction.high_ms is not None:
        time = f"{format_duration(prediction.low_ms)} to {format_duration(prediction.high_ms)}"
    at = f" on {prediction.measurement.at}" if prediction.measurement else ""
    return f"{time} in {pluralize(prediction.runs, 'dry run')} on {prediction.database}{at}"


def longest_ms(facts: RiskFacts) -> float | None:
    return None if facts.prediction is None else facts.prediction.longest_ms


def format_missing_prediction(facts: RiskFacts) -> str:
    if facts.prediction is None:
        return "no dry run on this database" + (f"; {facts.elsewhere}" if facts.elsewhere else "")
    return f"no dry run executes {join_some(list(facts.unmeasured))}"


def is_over_window(facts: RiskFacts) -> bool:
    longest = longest_ms(facts)
    return longest is not None and facts.window_ms is not None and longest > facts.window_ms


def is_long(facts: RiskFacts) -> bool:
    longest = longest_ms(facts) or 0.0
    limit = LONG_MS if facts.window_ms is None else facts.window_ms / 2
    return longest > limit


def needed_bytes(facts: RiskFacts) -> int:
    measurement = facts.prediction.measurement if facts.prediction else None
    if measurement is None:
        return 0
    return measurement.wal_bytes + (measurement.temp_bytes or 0) + facts.rewritten_bytes


def is_measured_completely(facts: RiskFacts) -> bool:
    return facts.is_measured and not facts.unmeasured


def format_size(size: int) -> str:
    value, unit = float(size), "bytes"
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if value < 1024 or unit == "TB":
            break
        value /= 1024
    return f"{value:.0f} {unit}" if unit == "bytes" or value >= 10 else f"{value:.1f} {unit}"


def format_disk_need(facts: RiskFacts) -> str:
    free = "" if facts.free_bytes is None else f" of {format_size(facts.free_bytes)} free space"
    return f"needs about {format_size(needed_bytes(facts))}{free}"


def needs_over(facts: RiskFacts, share: float) -> bool:
    return (
        is_measured_completely(facts)
        and facts.free_bytes is not None
        and needed_bytes(facts) > facts.free_bytes * share
    )


def has_small_need(facts: RiskFacts) -> bool:
    if not is_measured_completely(facts):
        return False
    whole = facts.free_bytes if facts.free_bytes is not None else facts.database_bytes
    share = 1.0 if facts.free_bytes is not None else SMALL_SHARE
    return whole is not None and needed_bytes(facts) <= whole * share


def temp_bytes(facts: RiskFacts) -> int | None:
    measurement = facts.prediction.measurement if facts.prediction and is_measured_completely(facts) else None
    return measurement.temp_bytes if measurement else None


def is_over_temp_limit(facts: RiskFacts) -> bool:
    limit, size = facts.temp_file_limit_bytes, temp_bytes(facts)
    return limit is not None and size is not None and size > limit / 2


def join_transactions(transactions: tuple[object, ...]) -> str:
    return join_some([str(getattr(one, "description", one)) for one in transactions])


def is_empty(facts: RiskFacts) -> bool:
    return facts.statements == 0


def always_holds(_: RiskFacts) -> bool:
    return True
