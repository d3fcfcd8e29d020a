"""The interface for step kinds: YAML keys, planning, checksums, and output."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from confiture.errors import DiagnosticCollector
from confiture.files.schema.containers import FieldValues, Key
from confiture.files.schema.reader import Reader
from confiture.models.migration import Step, StepWithSql
from confiture.models.plan import PlannedStep, Statement, StepAction
from confiture.models.source import RenderedSql
from confiture.plan.rendering import RenderContext
from confiture.sql.parsing import normalize_sql

_QUERIES = ("select_stmt",)
_TEMPLATE_COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)


@dataclass(frozen=True, kw_only=True, slots=True)
class StepPlanContext:
    """The context for planning a step: the template context, the tenant column, and the error collector."""

    render_context: RenderContext
    tenant_column: str
    problems: DiagnosticCollector


class StepKind:
    """A step kind. The defaults are for a step that runs rendered SQL.

    `step_type` is the class in `confiture.models`; `key` is the YAML key that identifies the kind; `keys` are all keys
    specific to the kind; and `action` is how the statements are executed.
    """

    step_type: ClassVar[type[Step]]
    key: ClassVar[str]
    keys: ClassVar[Mapping[str, Key]]
    dependent_keys: ClassVar[Mapping[str, Sequence[str]]] = {}
    action: ClassVar[StepAction] = StepAction.EXECUTE
    shows_sql: ClassVar[bool] = True
    """Whether `migrate show` prints the step's statements."""
    details_key: ClassVar[str | None] = None
    """The JSON key for details other than the SQL; None if there are none."""

    def check_keys(self, fields: FieldValues, reader: Reader) -> None:
        """Raise InvalidValue if one of the kind's keys is used without a required key. Called for all steps."""

    def is_complete(self, fields: FieldValues) -> bool:
        """Whether the readable part of a step with errors is enough to plan it."""
        return self.key in fields

    def build(self, fields: FieldValues, common_fields: Mapping[str, Any]) -> Step:
        """Build the step; `common_fields` are the fields common to all kinds."""
        raise NotImplementedError

    def is_template(self, step: Step) -> bool:
        """Whether the step's source is rendered."""
        return True

    def render_context(self, context: RenderContext) -> RenderContext:
        """Return the context for rendering the step's template."""
        return context

    def check_statements(
        self, statements: Sequence[Statement], rendered: RenderedSql, problems: DiagnosticCollector
    ) -> None:
        """Add errors found in valid statements."""

    def content(self, step: Step) -> object | None:
        """Return the step's content other than the SQL, also for a skipped step."""
        return None

    def plan(self, step: Step, planned: PlannedStep, context: StepPlanContext) -> PlannedStep:
        """Complete the planned step from its statements. Not called for a step without statements."""
        return planned

    def checksum_parts(self, step: Step) -> tuple[object, ...]:
        """Return the checksum input that follows the kind's name. Checksums are stored, so it must not change."""
        if not isinstance(step, StepWithSql):
            raise NotImplementedError
        sql = _remove_template_comments(step.sql.text) if self.is_template(step) else step.sql.text
        return normalize_sql(sql).rstrip("; "), self.expected_parts(step), step.when.text if step.when else None

    def expected_parts(self, step: Step) -> object:
        """Return the expected result as part of the checksum."""
        return None

    def fingerprint_parts(self, planned: PlannedStep) -> tuple[object, ...]:
        """Return the fingerprint input that follows the statements. Fingerprints are stored, so it must not change."""
        return ()

    def description(self, planned: PlannedStep) -> str | None:
        """Return the line that `migrate show` prints after the SQL."""
        return None

    def details(self, planned: PlannedStep) -> dict[str, Any] | None:
        """Return the JSON value for `details_key`; None for steps of other kinds."""
        return None


def check_single_query(
    statements: Sequence[Statement], rendered: RenderedSql, noun: str, query_hint: str, problems: DiagnosticCollector
) -> None:
    """Add an error to `problems` unless the text is a single query; `noun` is the step kind."""
    code = f"{noun}-not-a-query"
    if len(statements) != 1:
        offset = statements[1].offset if statements else 0
        message = f"a {noun} must be a single query; found {len(statements)} statements"
        problems.add(rendered.diagnostic(offset, code, message, hint=f"write one {noun} for each query"))
    elif statements[0].node_kind not in _QUERIES:
        message = f"a {noun} must be a query: SELECT, VALUES, TABLE or WITH"
        problems.add(rendered.diagnostic(statements[0].offset, code, message, hint=query_hint))


def _remove_template_comments(text: str) -> str:
    if "{% raw" in text or "{%- raw" in text:
        return text
    closed, end, rest = text.rpartition("#}")  # searching beyond the last end would take quadratic time
    return _TEMPLATE_COMMENT.sub(" ", closed + end) + rest
