"""The step kinds, one module for each. `confiture schema`, the planner, checksums, and output use this table."""

from __future__ import annotations

from confiture.files.migration import MigrationSchema
from confiture.plan.step_kinds.backfill import BackfillKind
from confiture.plan.step_kinds.check import CheckKind
from confiture.plan.step_kinds.file import FileKind
from confiture.plan.step_kinds.hook import HookKind
from confiture.plan.step_kinds.reconcile import ReconcileKind
from confiture.plan.step_kinds.sql import SqlKind
from confiture.plan.step_kinds.step_kind import StepKind

STEP_KINDS: tuple[StepKind, ...] = (
    FileKind(),
    SqlKind(),
    CheckKind(),
    BackfillKind(),
    ReconcileKind(),
    HookKind(),
)
_BY_NAME = {kind.step_type.kind: kind for kind in STEP_KINDS}
MIGRATION_SCHEMA = MigrationSchema(STEP_KINDS)


def find_step_kind(name: str) -> StepKind:
    """Return the step kind with a stable name such as `SqlStep`."""
    return _BY_NAME[name]
