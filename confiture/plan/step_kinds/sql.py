"""`sql:`: inline SQL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from confiture.files.schema.containers import FieldValues, Key
from confiture.files.schema.located_text import LocatedText
from confiture.models.migration import SqlStep, Step
from confiture.plan.step_kinds.step_kind import StepKind


class SqlKind(StepKind):
    """A step that runs SQL from the migration file."""

    step_type = SqlStep
    key = "sql"
    keys: ClassVar = {"sql": Key(value_type=LocatedText(), description="SQL, rendered as a Jinja template.")}

    def build(self, fields: FieldValues, common_fields: Mapping[str, Any]) -> Step:
        """Build the step."""
        return SqlStep(sql=fields["sql"], **common_fields)
