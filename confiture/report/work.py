"""What statements of a dry run cost apart from time: rewrites, scans, indexes, WAL, temporary files."""

from __future__ import annotations

from confiture.models.trace import StatementTrace
from confiture.report.words import byte_size, count

_MANY_ROWS = 1_000
_MUCH_WAL = 1024 * 1024


def is_notable(statement: StatementTrace) -> bool:
    """Whether a statement rewrites, builds an index, reads many rows, or writes much WAL or temporary files."""
    return bool(
        statement.rewrites
        or statement.indexes_built
        or statement.temp_bytes
        or statement.wal_bytes > _MUCH_WAL
        or any(scan.rows > _MANY_ROWS for scan in statement.scans)
    )


def work_of(statement: StatementTrace) -> str:
    """All of it in a line; empty where there was none."""
    parts = [f"reads {count(scan.rows, 'row')} of {scan.table}" for scan in statement.scans if scan.rows]
    if statement.rewrites:
        parts.append(f"rewrites {', '.join(statement.rewrites)}")
    if statement.indexes_built:
        parts.append(f"builds {', '.join(statement.indexes_built)}")
    if statement.wal_bytes:
        parts.append(f"{byte_size(statement.wal_bytes)} of WAL")
    if statement.temp_bytes:
        parts.append(f"{byte_size(statement.temp_bytes)} of temporary files")
    return ", ".join(parts)
