"""`file:`, or only a file's name: SQL from a DDL file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from confiture.files.ddl import TEMPLATE_SUFFIX
from confiture.files.schema.containers import FieldValues, Key
from confiture.files.schema.types import FilePath
from confiture.models.migration import FileStep, Step
from confiture.models.source import LocatedSource
from confiture.plan.step_kinds.step_kind import StepKind


class FileKind(StepKind):
    """Runs the SQL of a DDL file."""

    step_type = FileStep
    key = "file"
    keys: ClassVar = {
        "file": Key(
            value_type=FilePath(),
            description=f"A DDL file below the schemas folder; rendered if it ends in {TEMPLATE_SUFFIX}.",
        )
    }

    def build(self, fields: FieldValues, common_fields: Mapping[str, Any]) -> Step:
        """The step, which without a name is called by its file."""
        asked, file = fields["file"]
        named = {**common_fields, "name": common_fields["name"] or asked.text.strip()}
        sql = LocatedSource(text=file.text, file=file)
        return FileStep(sql=sql, is_template=file.path.endswith(TEMPLATE_SUFFIX), **named)

    def is_template(self, step: Step) -> bool:
        """Whether its name says so."""
        return isinstance(step, FileStep) and step.is_template
