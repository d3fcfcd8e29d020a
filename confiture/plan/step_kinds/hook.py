"""`hook:`: a Python hook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from confiture.files.python.modules import MIGRATION_MODULE
from confiture.files.schema.containers import FieldValues, Key
from confiture.files.schema.located_text import LocatedText
from confiture.models.migration import HookStep, Step
from confiture.models.plan import PlannedStep, StepAction
from confiture.plan.step_kinds.step_kind import StepKind


class HookKind(StepKind):
    """A step that runs a Python hook. The planner finds the hook among the project's and the migration's hooks."""

    step_type = HookStep
    key = "hook"
    keys: ClassVar = {
        "hook": Key(value_type=LocatedText(), description="A Python hook: its registered name, or module:Class.")
    }
    action = StepAction.HOOK
    shows_sql = False
    details_key = "hook"

    def build(self, fields: FieldValues, common_fields: Mapping[str, Any]) -> Step:
        """Build the step."""
        return HookStep(reference=fields["hook"], **common_fields)

    def is_template(self, step: Step) -> bool:
        """Return False, because the name is never rendered."""
        return False

    def checksum_parts(self, step: Step) -> tuple[object, ...]:
        """Return the name, and the class's source if the class is in the migration's file."""
        if not isinstance(step, HookStep):
            raise TypeError(step.kind)
        return step.reference.text, step.source, step.when.text if step.when else None

    def fingerprint_parts(self, planned: PlannedStep) -> tuple[object, ...]:
        """Return the registered name."""
        return (planned.hook.name,) if planned.hook else ()

    def description(self, planned: PlannedStep) -> str | None:
        """Return the class that is run."""
        if planned.hook is None:
            return None
        hook = planned.hook.hook
        is_in_file = hook.__module__.startswith(MIGRATION_MODULE)
        name = hook.__qualname__ if is_in_file else f"{hook.__module__}:{hook.__qualname__}"
        how = ", in batches outside the transaction" if planned.hook.is_batched else ""
        return f"runs the Python hook {name}{how}"

    def details(self, planned: PlannedStep) -> dict[str, Any] | None:
        """Return the name and whether the hook runs in batches."""
        return {"name": planned.hook.name, "batched": planned.hook.is_batched} if planned.hook else None
