"""Convert hook output for reports. No value may make a report fail."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence, Set
from typing import Any

from confiture.models.events import Emit, Notice

_DEEPEST = 20


def to_json_value(value: Any, depth: int = 0) -> Any:
    """Return a value as JSON. Unsupported types, and values nested deeper than 20 levels, are converted to text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if depth < _DEEPEST and isinstance(value, Mapping):
        return {_safe_str(key): to_json_value(item, depth + 1) for key, item in value.items()}
    if depth < _DEEPEST and isinstance(value, Sequence | Set) and not isinstance(value, bytes | bytearray):
        return [to_json_value(item, depth + 1) for item in value]
    return _safe_str(value)


class RunNotes(logging.Handler):
    """A handler that emits log records at INFO or above as notes for the run. `name` is the hook's name."""

    def __init__(self, emit: Emit, name: str) -> None:
        super().__init__(logging.INFO)
        self._emit = emit
        self._name = name

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except Exception:
            # As in every handler, an invalid message is reported but does not make the caller fail.
            self.handleError(record)
            return
        self._emit(Notice(text=f"{self._name}: {text}"))


def parse_progress(done: object, total: object) -> tuple[float, float | None]:
    """Return a hook's progress as numbers. Raise TypeError or ValueError if the values are not finite numbers."""
    if total is None:
        return _parse_number(done), None
    return _parse_number(done), _parse_number(total)


def _parse_number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"progress must be a number, not {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"progress cannot be {value}")
    return value


def _safe_str(value: object) -> str:
    try:
        return str(value)
    except Exception as error:
        # The user's own class may raise any exception.
        return f"{type(value).__name__} ({type(error).__name__})"
