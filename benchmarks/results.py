"""What a benchmark found: rows of times, each with its ratio to a baseline and the bar that it should keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.timing import Sample


@dataclass(frozen=True, kw_only=True, slots=True)
class Ratio:
    """One time over another: of the medians, and the lowest and highest of the rounds."""

    of_medians: float
    lowest: float
    highest: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One line of a benchmark. `ratio` is that to the benchmark's baseline, unless `against` names another row."""

    name: str
    sample: Sample
    target: str = ""
    against: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """A benchmark's rows. `baseline` is the name of the row that the others are compared with.

    `shows_memory` gives the table a column for the memory that the programs had.
    """

    name: str
    title: str
    how: str
    baseline: str
    rows: tuple[Row, ...]
    shows_memory: bool = False

    def ratio(self, row: Row) -> Ratio | None:
        """The row's time over that of its baseline; None for the baseline itself, and where one of the two failed."""
        samples = {other.name: other.sample for other in self.rows}
        against = samples.get(row.against or self.baseline)
        if against is None or against is row.sample or row.sample.failure or against.failure:
            return None
        rounds = [
            mine.wall_ms / other.wall_ms
            for mine, other in zip(row.sample.runs, against.runs, strict=True)
            if other.wall_ms > 0
        ]
        if not rounds or against.median_ms <= 0:
            return None
        return Ratio(of_medians=row.sample.median_ms / against.median_ms, lowest=min(rounds), highest=max(rounds))

    def document(self) -> dict[str, Any]:
        """The result as JSON holds it."""
        return {
            "name": self.name,
            "title": self.title,
            "how": self.how,
            "baseline": self.baseline,
            "rows": [self._row_document(row) for row in self.rows],
        }

    def _row_document(self, row: Row) -> dict[str, Any]:
        head: dict[str, Any] = {"name": row.name, "target": row.target or None}
        if row.sample.failure:
            return head | {"failure": row.sample.failure}
        ratio = self.ratio(row)
        return head | {
            "wall_ms": [round(run.wall_ms, 2) for run in row.sample.runs],
            "median_ms": round(row.sample.median_ms, 2),
            "cpu_ms": round(row.sample.cpu_ms, 2),
            "peak_mb": round(row.sample.peak_mb, 1),
            "against": row.against or self.baseline,
            "ratio": round(ratio.of_medians, 3) if ratio else None,
            "ratio_lowest": round(ratio.lowest, 3) if ratio else None,
            "ratio_highest": round(ratio.highest, 3) if ratio else None,
        }


def rows_of(samples: Mapping[str, Sample], targets: Mapping[str, str]) -> tuple[Row, ...]:
    """A row for each sample, in order, with the targets by name."""
    return tuple(Row(name=name, sample=sample, target=targets.get(name, "")) for name, sample in samples.items())
