"""Migration checksums, which ignore white space and comments and are chained through the history.

Checksums are stored in databases, so their input is a wire format. It contains the original names of step kinds and
phases, independent of the Python names of classes and fields. tests/unit/test_wire_forms.py pins the format.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from hashlib import sha256

from confiture.models.migration import (
    UP_PHASES,
    Expectation,
    ExpectedValue,
    MigrationFile,
    Step,
    default_step_name,
)
from confiture.models.plan import MigrationChecksums, PlannedStep, StepChecksum
from confiture.plan.step_kinds import find_step_kind
from confiture.sql.parsing import normalize_sql

CHAIN_START = "0" * 64


def digest(*parts: object) -> str:
    """Return the SHA-256 hash (64 hexadecimal digits) of JSON values."""
    return sha256(json.dumps(parts, ensure_ascii=False, default=str).encode()).hexdigest()


def compute_checksums(migration: MigrationFile) -> MigrationChecksums:
    """Return the checksums of a migration."""
    steps = step_checksums(migration)
    return MigrationChecksums(migration_checksum(migration, steps), steps)


def step_checksums(migration: MigrationFile) -> tuple[StepChecksum, ...]:
    """Return a checksum for each step of the up phases, computed from the files before rendering."""
    return tuple(
        StepChecksum(phase=phase, label=label, checksum=step_checksum(step))
        for phase in UP_PHASES
        for label, step in unique_labels(migration.steps(phase))
    )


def unique_labels(steps: Iterable[Step]) -> list[tuple[str, Step]]:
    """Return steps with their labels. Duplicate names are numbered, starting with the second step."""
    counts: Counter[str] = Counter()
    result = []
    for step in steps:
        name = step.name or default_step_name(step.located_source.text)
        counts[name] += 1
        result.append((name if counts[name] == 1 else f"{name} #{counts[name]}", step))
    return result


def migration_checksum(migration: MigrationFile, steps: Iterable[StepChecksum]) -> str:
    """Return a migration's checksum, computed from the steps by phase and the migration's own variables."""
    return digest(migration.variables, [(step.phase.value, step.checksum) for step in steps])


def chain_checksum(previous: str, version: str, checksum: str) -> str:
    """Return the checksum of the history up to a version. Editing an earlier row invalidates all later checksums."""
    return digest(previous, version, checksum)


def segment_fingerprint(steps: Iterable[PlannedStep]) -> str:
    """Return a segment's fingerprint, computed from its rendered statements without white space and comments.

    A resumed run compares this fingerprint with the fingerprint of the committed segment.
    """
    return digest([_execution_parts(step) for step in steps])


def _execution_parts(step: PlannedStep) -> tuple[object, ...]:
    texts = [normalize_sql(statement.text) for statement in step.statements]
    kind_parts = find_step_kind(step.kind).fingerprint_parts(step)
    return (step.phase.value, _expectation_text(step.expect), texts, *kind_parts)


def _expectation_text(expect: Expectation | None) -> str | None:
    """Return an expectation in the form that segment fingerprints have used since the first version."""
    if expect is None:
        return None
    if isinstance(expect, ExpectedValue):
        return f"Comparison(operator={expect.operator!r}, value={expect.value!r})"
    return f"ExpectedRows(rows={expect.rows!r})"


def step_checksum(step: Step) -> str:
    """Return the checksum of a step, computed from the file before rendering."""
    return digest(step.kind, *find_step_kind(step.kind).checksum_parts(step))
