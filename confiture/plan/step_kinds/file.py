"""`file:`, or a bare file name: SQL from a DDL file."""

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
    """A step that runs the SQL in a DDL file."""

    step_type = FileStep
    key = "file"
    keys: ClassVar = {
        "file": Key(
            value_type=FilePath(),
            description=f"A pin, or a DDL file below the schemas folder; rendered if it ends in {TEMPLATE_SUFFIX}.",
        )
    }

    def build(self, fields: FieldValues, common_fields: Mapping[str, Any]) -> Step:
        """Build the step; the default name is the file name."""
        file_name, named_file = fields["file"]
        named_fields = {**common_fields, "name": common_fields["name"] or file_name.text.strip()}
        file = named_file.file
        sql = LocatedSource(text=file.text, file=file)
        is_template = file.path.endswith(TEMPLATE_SUFFIX)
        return FileStep(sql=sql, is_template=is_template, named_file=named_file, **named_fields)

    def is_template(self, step: Step) -> bool:
        """Whether the file name ends in the template suffix."""
        return isinstance(step, FileStep) and step.is_template
