"""A saved plan: what `migrate up --plan` will run, and everything that must not change until then."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from confiture.models.grades import Assessment, CategoryGrade, Grade, GradeSource, MigrationAssessment, RiskCategory
from confiture.models.predictions import Prediction

FORMAT, VERSION = "confiture.saved_plan", 1
NOT_COMPARED = frozenset({"created", "expires_at", "hash", "review"})
"""The sections that describe the plan. All other sections must be the same when the plan runs."""

_MOST = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class SavedPlan:
    """The content of a plan file. docs/plans.md describes its sections.

    Example::

        SavedPlan(content=json.loads(text)).differences(SavedPlan(content=current))
    """

    content: Mapping[str, Any] = field(repr=False)

    @property
    def digest(self) -> str:
        """The hash of everything except `hash` itself, as SHA-256 of JSON with sorted keys."""
        content = {key: value for key, value in self.content.items() if key != "hash"}
        return sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    @property
    def is_intact(self) -> bool:
        """Whether the stored hash is that of the content."""
        return self.content.get("hash") == self.digest

    def to_text(self) -> str:
        """Return the file: sorted keys, one value per line, with the hash."""
        return json.dumps({**self.content, "hash": self.digest}, indent=1, sort_keys=True) + "\n"

    def differences(self, current: SavedPlan) -> tuple[str, ...]:
        """Return a sentence for each value that differs between this plan and the current one, at most 10."""
        found = [
            difference
            for section in sorted({*self.content, *current.content} - NOT_COMPARED)
            for difference in _compare(section, self.content.get(section), current.content.get(section))
        ]
        more = [f"and {len(found) - _MOST} more differences"] if len(found) > _MOST else []
        return (*found[:_MOST], *more)


def _compare(place: str, planned: Any, now: Any) -> Iterator[str]:
    if planned == now and type(planned) is type(now):
        return
    if isinstance(planned, Mapping) and isinstance(now, Mapping):
        for key in sorted({*planned, *now}):
            if key not in now:
                yield f"{place}: {key} is gone"
            elif key not in planned:
                yield f"{place}: {key} is new"
            else:
                yield from _compare(f"{place}: {key}", planned[key], now[key])
    elif isinstance(planned, list) and isinstance(now, list) and len(planned) == len(now):
        for number, pair in enumerate(zip(planned, now, strict=True), start=1):
            label = next(
                (str(one.get("version") or one.get("name") or number) for one in pair if isinstance(one, dict)), number
            )
            yield from _compare(f"{place} {label}", *pair)
    elif _is_short(planned) and _is_short(now):
        yield f"{place}: {now}, not {planned}"
    else:
        yield f"{place}: changed"


def _is_short(value: Any) -> bool:
    """Whether a value can be printed: digests, texts with several lines, and structures cannot."""
    text = str(value)
    is_digest = len(text) in (16, 64) and all(character in "0123456789abcdef" for character in text)
    return not isinstance(value, list | dict) and len(text) <= 80 and "\n" not in text and not is_digest


def reviewed_assessment(plan: SavedPlan) -> Assessment:
    """Return the assessment that a plan contains."""
    names = {one["version"]: one["name"] for one in plan.content["migrations"]}
    review = plan.content["review"]
    return Assessment(
        environment=plan.content["environment"],
        database=review["database"],
        migrations=tuple(
            MigrationAssessment(
                version=one["version"],
                name=names[one["version"]],
                effect=one["effect"],
                has_down=one["has_down"],
                prediction=_read_dry_run(one["dry_run"], one["version"]),
                grades=tuple(
                    CategoryGrade(
                        category=RiskCategory(category),
                        grade=Grade(grade["grade"]),
                        source=GradeSource(grade["source"]),
                        reason=grade["reason"],
                    )
                    for category, grade in one["grades"].items()
                ),
            )
            for one in review["migrations"]
        ),
    )


def _read_dry_run(dry_run: Mapping[str, Any] | None, version: str) -> Prediction | None:
    if dry_run is None:
        return None
    return Prediction(
        database=dry_run["database"],
        version=version,
        checksum="",
        predicted_ms=dry_run["predicted_ms"],
        low_ms=dry_run["low_ms"],
        high_ms=dry_run["high_ms"],
        runs=dry_run["runs"],
    )
