"""Linting of a project's migrations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from confiture.errors import Diagnostic
from confiture.lint.engine.findings import to_findings
from confiture.lint.engine.ignores import IgnoreComment
from confiture.lint.engine.replay import LocatedViolation, MigrationReplay
from confiture.lint.schema_before import SchemaBefore
from confiture.models.findings import Finding
from confiture.models.plan import PlannedMigration


@dataclass(frozen=True, kw_only=True, slots=True)
class MigrationPlans:
    """A project's planned migrations, as far as lint needs them. They can be pickled.

    `problems` are errors from reading the migrations. `files` is the number of migration files, None without a
    migrations folder. `executed_paths` are the paths of all files whose SQL the migrations run. `pins` are the pins
    among them, and `pinned_paths` are the schema files that were pinned. `unknown_steps` are the positions of the steps
    whose effect on the schema is unknown: hooks with DDL, and DDL that `when` skips.
    """

    ups: tuple[PlannedMigration, ...] = ()
    problems: tuple[Diagnostic, ...] = ()
    misplaced_ignores: tuple[IgnoreComment, ...] = ()
    files: int | None = None
    executed_paths: frozenset[str] = frozenset()
    pins: frozenset[str] = frozenset()
    pinned_paths: frozenset[str] = frozenset()
    unknown_steps: tuple[str, ...] = ()
    unread_files: tuple[str, ...] = ()


def lint_migrations(before: SchemaBefore, replay: MigrationReplay) -> tuple[Finding, ...]:
    """Replay migrations on the schema before them, and return the findings in those that are to be checked."""
    if before.catalog is not None:
        replay.start_from(before.catalog, before.undone)
    return to_findings(_replay(before, replay))


def _replay(before: SchemaBefore, replay: MigrationReplay) -> Iterator[LocatedViolation]:
    for plan in before.plans:
        if plan.version in before.checked:
            yield from replay.check(plan)
        else:
            replay.apply(plan)
