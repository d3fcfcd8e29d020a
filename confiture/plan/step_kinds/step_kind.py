"""The interface of step kinds: YAML keys, planning, checksums and output."""

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
    """The context of planning a step: the template context, the tenant column, and the collector of errors."""

    render_context: RenderContext
    tenant_column: str
    problems: DiagnosticCollector


class StepKind:
    """A step kind. The defaults are those of a step that runs rendered SQL.

    `step_type` is its class in models, `key` the YAML key that identifies the kind, `keys` all its own keys, and
    `action` how its statements are executed.
    """

    step_type: ClassVar[type[Step]]
    key: ClassVar[str]
    keys: ClassVar[Mapping[str, Key]]
    dependent_keys: ClassVar[Mapping[str, Sequence[str]]] = {}
    action: ClassVar[StepAction] = StepAction.EXECUTE
    shows_sql: ClassVar[bool] = True
    """Whether `migrate show` prints its statements."""
    details_key: ClassVar[str | None] = None
    """The JSON key of its details besides the SQL; None if it has none."""

    def check_keys(self, fields: FieldValues, reader: Reader) -> None:
        """Raise InvalidValue if one of its keys is used without a key that it requires. Called for all steps."""

    def is_complete(self, fields: FieldValues) -> bool:
        """Whether the readable part of a step with errors is enough to plan it."""
        return self.key in fields

    def build(self, fields: FieldValues, common_fields: Mapping[str, Any]) -> Step:
        """Build the step; `common_fields` are the fields common to all kinds."""
        raise NotImplementedError

    def is_template(self, step: Step) -> bool:
        """Whether its source is rendered."""
        return True

    def render_context(self, context: RenderContext) -> RenderContext:
        """Return the context for rendering its template."""
        return context

    def check_statements(
        self, statements: Sequence[Statement], rendered: RenderedSql, problems: DiagnosticCollector
    ) -> None:
        """Add errors in statements that parse."""

    def content(self, step: Step) -> object | None:
        """Return the content of the step besides the SQL; a skipped step has it, too."""
        return None

    def plan(self, step: Step, planned: PlannedStep, context: StepPlanContext) -> PlannedStep:
        """Complete the planned step from its statements. Not called without statements."""
        return planned

    def checksum_parts(self, step: Step) -> tuple[object, ...]:
        """Return the input of the checksum after the kind's name. Checksums are stored, so it must not change."""
        if not isinstance(step, StepWithSql):
            raise NotImplementedError
        sql = _remove_template_comments(step.sql.text) if self.is_template(step) else step.sql.text
        return normalize_sql(sql).rstrip("; "), self.expected_parts(step), step.when.text if step.when else None

    def expected_parts(self, step: Step) -> object:
        """Return the expected result as part of the checksum."""
        return None

    def fingerprint_parts(self, planned: PlannedStep) -> tuple[object, ...]:
        """Return the input of its segment's fingerprint after the statements. Stored, so it must not change."""
        return ()

    def description(self, planned: PlannedStep) -> str | None:
        """Return the line that `migrate show` prints after its SQL."""
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
    closed, end, rest = text.rpartition("#}")  # searching after the last end would take quadratic time
    return _TEMPLATE_COMMENT.sub(" ", closed + end) + rest
