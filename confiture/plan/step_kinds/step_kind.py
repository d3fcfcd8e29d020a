"""What a kind of step is: its keys in YAML, its plan, its part of the checksum, what is shown of it."""

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
    """What planning a step needs: what its templates see, the tenant column, and where mistakes go."""

    render_context: RenderContext
    tenant_column: str
    problems: DiagnosticCollector


class StepKind:
    """One kind of step. The defaults are those of a step that runs rendered SQL.

    `step_type` is its class in models, `key` the YAML key that makes a step one of this kind, `keys` all keys of its
    own, and `action` what is done with its statements.
    """

    step_type: ClassVar[type[Step]]
    key: ClassVar[str]
    keys: ClassVar[Mapping[str, Key]]
    dependent_keys: ClassVar[Mapping[str, Sequence[str]]] = {}
    action: ClassVar[StepAction] = StepAction.EXECUTE
    shows_sql: ClassVar[bool] = True
    """Whether `migrate show` prints its statements."""
    details_key: ClassVar[str | None] = None
    """Under which key JSON has what the plan says of it beyond its SQL, None where that is nothing."""

    def check_keys(self, fields: FieldValues, reader: Reader) -> None:
        """Raises InvalidValue where one of its keys lacks another. Called for steps of every kind."""

    def is_complete(self, fields: FieldValues) -> bool:
        """Whether what could be read of a step with mistakes is enough to plan it."""
        return self.key in fields

    def build(self, fields: FieldValues, common_fields: Mapping[str, Any]) -> Step:
        """The step that was read; `common_fields` are what all kinds have."""
        raise NotImplementedError

    def is_template(self, step: Step) -> bool:
        """Whether its source is rendered."""
        return True

    def render_context(self, context: RenderContext) -> RenderContext:
        """What its template sees."""
        return context

    def check_statements(
        self, statements: Sequence[Statement], rendered: RenderedSql, problems: DiagnosticCollector
    ) -> None:
        """Adds what is wrong with statements that parse."""

    def content(self, step: Step) -> object | None:
        """What its file says beyond the SQL; a step has it even if it is skipped."""
        return None

    def plan(self, step: Step, planned: PlannedStep, context: StepPlanContext) -> PlannedStep:
        """The planned step with what follows from its statements. Called if it has some."""
        return planned

    def checksum_parts(self, step: Step) -> tuple[object, ...]:
        """What goes into the checksum after the kind's name. Stored in databases: it never changes."""
        if not isinstance(step, StepWithSql):
            raise NotImplementedError
        sql = _remove_template_comments(step.sql.text) if self.is_template(step) else step.sql.text
        return normalize_sql(sql).rstrip("; "), self.expected_parts(step), step.when.text if step.when else None

    def expected_parts(self, step: Step) -> object:
        """What the step must return, in the checksum."""
        return None

    def fingerprint_parts(self, planned: PlannedStep) -> tuple[object, ...]:
        """What goes into the fingerprint of its segment after its statements. Stored in databases, too."""
        return ()

    def description(self, planned: PlannedStep) -> str | None:
        """The line that `migrate show` prints of it, below its SQL if that is shown."""
        return None

    def details(self, planned: PlannedStep) -> dict[str, Any] | None:
        """What JSON has under `details_key`; None for steps of other kinds."""
        return None


def check_single_query(
    statements: Sequence[Statement], rendered: RenderedSql, noun: str, query_hint: str, problems: DiagnosticCollector
) -> None:
    """Adds to `problems` what is wrong with a text that must be one query; `noun` is the kind of its step."""
    code = f"{noun}-not-a-query"
    if len(statements) != 1:
        at = statements[1].offset if statements else 0
        message = f"a {noun} is one query, here are {len(statements)} statements"
        problems.add(rendered.diagnostic(at, code, message, hint=f"write one {noun} for each query"))
    elif statements[0].node_kind not in _QUERIES:
        message = f"a {noun} is a query: SELECT, VALUES, TABLE or WITH"
        problems.add(rendered.diagnostic(statements[0].offset, code, message, hint=query_hint))


def _remove_template_comments(text: str) -> str:
    if "{% raw" in text or "{%- raw" in text:
        return text
    closed, end, rest = text.rpartition("#}")  # a search beyond the last end would take quadratic time
    return _TEMPLATE_COMMENT.sub(" ", closed + end) + rest
