"""The schema at the end of all migrations, built in a throwaway database."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from confiture.core.diff.sources import PURPOSE, installed_extensions
from confiture.core.schema_facts.cache import cache_key
from confiture.core.throwaway.server import ServerChoice, ThrowawayDatabase, ThrowawayServer
from confiture.errors import DiagnosticCollector
from confiture.models.plan import PlannedMigration, PlannedStep, Statement, StepAction
from confiture.plan.project import PlannedProject

_DO = "do_stmt"
_OUTSIDE_WORDS = re.compile(
    r"\b(?:create|alter|drop)\s+(?:role|user|group|database|tablespace|subscription)\b|\balter\s+system\b"
    r"|\b(?:reassign|drop)\s+owned\b|\b(?:grant|revoke)\b[^;]*\bon\s+(?:database|tablespace|parameter)\b",
    re.IGNORECASE,
)
_HINT = "create roles, databases and tablespaces outside of migrations, or compare without --migrations"


class MigrationsSource:
    """The schema at the end of all migrations."""

    label = "the end of all migrations"

    def __init__(self, project: PlannedProject) -> None:
        self._project = project

    def key(self, server: ThrowawayServer) -> str | None:
        """Return the key: of the statements in order. None if a hook runs, because it can do anything."""
        plans = self._project.ups
        steps = [step for plan in plans for step in plan.steps]
        if self._project.settings.hooks or any(step.action is StepAction.HOOK for step in steps):
            return None
        texts = (text for plan in plans for text in (plan.version, plan.checksum, *_step_texts(plan.steps)))
        return cache_key("migrations", texts, server.version_number, installed_extensions(server))

    @contextmanager
    def build(self, server: ThrowawayServer) -> Iterator[ThrowawayDatabase]:
        """Apply all migrations; drop the database on exit.

        Raise InputError if they reach beyond the database on a server that is not disposable, and the errors of `up`.
        """
        from confiture.core.commands import UpOptions, up

        references = _References()
        for plan in self._project.ups:
            references.add(plan)
        if server.choice is not ServerChoice.EMBEDDED:
            references.outside_effects.raise_if_any()
        with server.database(
            PURPOSE,
            roles=references.roles,
            created_extensions=references.extensions,
            created_schemas=references.schemas,
        ) as database:
            up(self._project, database.target, UpOptions(), lambda _: None)
            yield database


@dataclass(slots=True)
class _References:
    """The roles that migrations name, what they create, and the statements that reach beyond the database."""

    roles: set[str] = field(default_factory=set)
    extensions: set[str] = field(default_factory=set)
    schemas: set[str] = field(default_factory=set)
    outside_effects: DiagnosticCollector = field(default_factory=DiagnosticCollector)

    def add(self, plan: PlannedMigration) -> None:
        """Add the statements of a migration."""
        for step in plan.steps:
            for statement in step.statements:
                self._add_statement(step, statement)

    def _add_statement(self, step: PlannedStep, statement: Statement) -> None:
        from confiture.sql.database_scope import find_outside_effect, find_roles
        from confiture.sql.parser import parse_sql

        for raw in parse_sql(statement.text).stmts:
            kind = raw.stmt.WhichOneof("node")
            node = getattr(raw.stmt, kind)
            self.roles.update(find_roles(kind, node))
            if kind == "create_extension_stmt":
                self.extensions.add(node.extname)
            elif kind == "create_schema_stmt" and not node.if_not_exists:
                self.schemas.add(node.schemaname or node.authrole.rolename)
            effect = find_outside_effect(kind, node, statement.text)
            if not effect and kind == _DO and _OUTSIDE_WORDS.search(statement.text):
                effect = "the block can change objects outside the database"
            if effect:
                self.outside_effects.add(
                    step.rendered.diagnostic(
                        statement.offset,
                        "beyond-database",
                        f"{effect}, but a throwaway database must not affect anything else",
                        hint=_HINT,
                    )
                )


def _step_texts(steps: Sequence[PlannedStep]) -> Iterator[str]:
    return (statement.text for step in steps for statement in step.statements)
