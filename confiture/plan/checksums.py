"""Checksums of migrations: blind to white space and comments, chained over the history.

They are stored in databases, so what goes into them is a wire form: names of kinds and phases as they were first
written, whatever classes and fields are called today. tests/unit/test_wire_forms.py pins them.
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
    """The SHA-256 (64 hexadecimal digits) of values that JSON can hold."""
    return sha256(json.dumps(parts, ensure_ascii=False, default=str).encode()).hexdigest()


def compute_checksums(migration: MigrationFile) -> MigrationChecksums:
    """The checksums of a migration."""
    steps = step_checksums(migration)
    return MigrationChecksums(migration_checksum(migration, steps), steps)


def step_checksums(migration: MigrationFile) -> tuple[StepChecksum, ...]:
    """One checksum for each step of the up phases, taken from the files before rendering."""
    return tuple(
        StepChecksum(phase=phase, label=label, checksum=_step_checksum(step))
        for phase in UP_PHASES
        for label, step in unique_labels(migration.steps(phase))
    )


def unique_labels(steps: Iterable[Step]) -> list[tuple[str, Step]]:
    """Steps with what people call them; those that share a name are numbered from the second on."""
    seen: Counter[str] = Counter()
    result = []
    for step in steps:
        name = step.name or default_step_name(step.located_source.text)
        seen[name] += 1
        result.append((name if seen[name] == 1 else f"{name} #{seen[name]}", step))
    return result


def migration_checksum(migration: MigrationFile, steps: Iterable[StepChecksum]) -> str:
    """The checksum of what a migration does: its steps, phase by phase, and its own variables."""
    return digest(migration.variables, [(step.phase.value, step.checksum) for step in steps])


def chain_checksum(previous: str, version: str, checksum: str) -> str:
    """The history's checksum up to and with a version: whoever edits an earlier row breaks all that follow."""
    return digest(previous, version, checksum)


def segment_fingerprint(steps: Iterable[PlannedStep]) -> str:
    """Identifies what a segment does, rendered: its statements, blind to white space and comments.

    A resumed run compares it with what an earlier one committed.
    """
    return digest([_execution_parts(step) for step in steps])


def _execution_parts(step: PlannedStep) -> tuple[object, ...]:
    texts = [normalize_sql(statement.text) for statement in step.statements]
    kind_parts = find_step_kind(step.kind).fingerprint_parts(step)
    return (step.phase.value, _expectation_text(step.expect), texts, *kind_parts)


def _expectation_text(expect: Expectation | None) -> str | None:
    """An expectation as fingerprints of segments hold it, in the words of their first version."""
    if expect is None:
        return None
    if isinstance(expect, ExpectedValue):
        return f"Comparison(operator={expect.operator!r}, value={expect.value!r})"
    return f"ExpectedRows(rows={expect.rows!r})"


def _step_checksum(step: Step) -> str:
    return digest(step.kind, *find_step_kind(step.kind).checksum_parts(step))
