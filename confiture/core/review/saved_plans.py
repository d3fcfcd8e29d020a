"""Save a plan, and refuse a saved plan that no longer matches."""

from __future__ import annotations

import getpass
import secrets
import socket
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from confiture import __version__
from confiture.core.database_facts import read_facts
from confiture.core.db.connection import Connection, ConnectionTarget, check_server, connect_for_query, fetch_named_row
from confiture.core.review.assessment import AssessmentOptions, PlanAssessment, assess_plan
from confiture.core.review.plan_facts import (
    ObjectDigests,
    changed_objects,
    describe_emptiness,
    describe_history,
    describe_server_settings,
    describe_target,
)
from confiture.errors import Diagnostic, Drift, InputError
from confiture.files.saved_plans import check_plan_files, plan_refused
from confiture.lint.plan import raise_on_hazards
from confiture.lint.plan_effects import MigrationEffects, find_plan_effects
from confiture.models.findings import Finding
from confiture.models.grades import MigrationAssessment
from confiture.models.history import AppliedMigration
from confiture.models.plan import PlannedMigration
from confiture.models.saved_plans import FORMAT, VERSION, SavedPlan
from confiture.plan.project import PlannedProject
from confiture.plan.saved_plan import describe_project, reject_secrets
from confiture.secrets import hide_secrets, is_secret_name

DEFAULT_EXPIRY_MS = 24 * 3_600_000


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanOptions:
    """The options of `migrate plan` that decide what runs; `expires_ms` is how long the plan is valid, 0 for ever."""

    to: str | None = None
    out_of_order: bool = False
    skip: frozenset[str] = frozenset()
    variables: Mapping[str, str] = field(default_factory=dict)
    expires_ms: int = DEFAULT_EXPIRY_MS
    salt: str | None = None
    """The random text in digests; plans with different texts cannot be compared. By default, a new one."""


def create_saved_plan(project: PlannedProject, database: ConnectionTarget, options: PlanOptions) -> SavedPlan:
    """Return the plan for the pending migrations, for a file. Do not write anything.

    Raise InputError if a variable or the SQL contains a secret, and the errors of `review_plan`.
    """
    _reject_secret_variables(options.variables)
    saved, assessed = review_plan(project, database, options)
    reject_secrets(assessed.plans)
    return saved


def review_plan(
    project: PlannedProject, database: ConnectionTarget, options: PlanOptions
) -> tuple[SavedPlan, PlanAssessment]:
    """Return the plan for the pending migrations and its assessment.

    Raise Drift if files and history differ, HazardsFound if lint findings block the run, and DatabaseUnavailable.
    """
    with connect_for_query(database, "plan", "the database cannot be read") as connection:
        check_server(connection, database.label)
        connection.execute("SET default_transaction_read_only = on")
        assessed = assess_plan(project, database, connection, AssessmentOptions(to=options.to, skip=options.skip))
        if not options.out_of_order:
            _reject_out_of_order(assessed)
        raise_on_hazards(assessed.findings, project.settings.linting.block_migrations)
        now: datetime = fetch_named_row(connection, "server_time")["at"]
        salt = options.salt or secrets.token_hex(16)
        sections = describe_project(project, assessed.plans)
        sections |= _describe_database(
            connection, assessed.history, assessed.effects, ObjectDigests.read(connection, salt)
        )
    expires = now + timedelta(milliseconds=options.expires_ms) if options.expires_ms else None
    saved = SavedPlan(
        content={
            "format": FORMAT,
            "version": VERSION,
            "tool_version": __version__,
            "created": _describe_origin(project.settings.root, now),
            "expires_at": expires.isoformat(timespec="seconds") if expires else None,
            "options": {
                "to": options.to,
                "out_of_order": options.out_of_order,
                "skip": sorted(options.skip),
                "variables": dict(options.variables),
            },
            "review": _describe_review(assessed),
            "salt": salt,
            **sections,
        }
    )
    return saved, assessed


class PlanGuard:
    """Refuses a saved plan that differs from the project or the database. It is used for one run."""

    def __init__(self, project: PlannedProject, saved: SavedPlan) -> None:
        self._project = project
        self._saved = saved
        self._effects: dict[str, MigrationEffects] = {}
        self._rows: Mapping[str, str] = {}
        self._accepted: ObjectDigests | None = None

    def check_plan(
        self, connection: Connection, history: Sequence[AppliedMigration], plans: Sequence[PlannedMigration]
    ) -> None:
        """Raise Drift unless the plan is valid, and equal to what would run now. The migration lock is held."""
        self._check_expiry(connection)
        effects = find_plan_effects(plans, self._project.settings, read_facts(connection))
        content = self._saved.content
        objects = ObjectDigests.read(connection, content["salt"])
        current = SavedPlan(
            content={
                "format": FORMAT,
                "version": VERSION,
                "tool_version": __version__,
                "options": content["options"],
                "salt": content["salt"],
                **describe_project(self._project, plans),
                **_describe_database(connection, history, effects, objects),
            }
        )
        differences = self._saved.differences(current)
        if differences:
            raise plan_refused(differences)
        self._effects = {effect.version: effect for effect in effects}
        self._rows = describe_history(history)["rows"]
        self._accepted = objects

    def check_migration(
        self, connection: Connection, history: Sequence[AppliedMigration], plan: PlannedMigration
    ) -> None:
        """Raise Drift if the target, the history, the files, or the objects of a migration have changed in the run."""
        self._check_expiry(connection)
        check_plan_files(self._project.settings.root, self._saved)
        current = {"target": describe_target(connection), "server_settings": describe_server_settings(connection)}
        planned = SavedPlan(content={key: self._saved.content[key] for key in current})
        differences = [*planned.differences(SavedPlan(content=current))]
        if describe_history(history)["rows"] != self._rows:
            differences.append("history: another run has changed it")
        if self._accepted is not None:
            effect, now = self._effects[plan.version], ObjectDigests.read(connection, self._saved.content["salt"])
            names = {*self._accepted.of(effect), *now.of(effect)}
            differences += changed_objects(self._accepted.select(names), now.select(names))
        if differences:
            raise plan_refused(tuple(differences))

    def accept_migration(
        self, connection: Connection, history: Sequence[AppliedMigration], plan: PlannedMigration
    ) -> None:
        """Accept what a migration of this run has changed: the history and the objects that it touches."""
        self._rows = describe_history(history)["rows"]
        if self._accepted is not None:
            now = ObjectDigests.read(connection, self._saved.content["salt"])
            self._accepted = self._accepted.with_changes(now, self._effects[plan.version])

    def _check_expiry(self, connection: Connection) -> None:
        expires = self._saved.content["expires_at"]
        now: datetime = fetch_named_row(connection, "server_time")["at"]
        if expires is not None and now > datetime.fromisoformat(expires):
            hint = "save and review a new plan; `--expires` sets how long it is valid"
            raise Drift(Diagnostic(code="plan-expired", message=f"the saved plan expired at {expires}", hint=hint))


def _describe_database(
    connection: Connection,
    history: Sequence[AppliedMigration],
    effects: Sequence[MigrationEffects],
    objects: ObjectDigests,
) -> dict[str, Any]:
    return {
        "target": describe_target(connection),
        "server_settings": describe_server_settings(connection),
        "history": describe_history(history),
        "objects": objects.of_all(effects),
        "empty_tables": describe_emptiness(connection, effects),
    }


def _reject_secret_variables(variables: Mapping[str, str]) -> None:
    problems = [
        Diagnostic(
            code="secret-in-plan",
            message=f"the value of --var {name} may be a secret, which a plan would show",
            hint="run `confiture migrate up` without a saved plan",
        )
        for name, value in variables.items()
        if is_secret_name(name) or hide_secrets(value) != value
    ]
    if problems:
        raise InputError(*problems)


def _reject_out_of_order(assessed: PlanAssessment) -> None:
    late = [one for one in assessed.assessment.migrations if one.out_of_order]
    if late:
        raise Drift(
            *(
                Diagnostic(
                    code="out-of-order",
                    message=f"{one.version} {one.name} is pending, but a later migration is already applied",
                    hint="give it a later version, or pass --out-of-order",
                )
                for one in late
            )
        )


def _describe_origin(root: Path, now: datetime) -> dict[str, Any]:
    commit = _run_git(root, "rev-parse", "HEAD")
    status = _run_git(root, "status", "--porcelain")
    return {
        "at": now.isoformat(timespec="seconds"),
        "author": _author(root),
        "host": socket.gethostname(),
        "commit": commit,
        "is_dirty": None if commit is None else bool(status),
    }


def _author(root: Path) -> str | None:
    name = _run_git(root, "config", "user.name")
    with suppress(OSError, KeyError, ImportError):
        return name or getpass.getuser()
    return name


def _run_git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _describe_review(assessed: PlanAssessment) -> dict[str, Any]:
    return {
        "database": assessed.assessment.database,
        "worst": assessed.assessment.worst.value,
        "migrations": [_review_object(one) for one in assessed.assessment.migrations],
        "findings": [_finding_object(one) for one in assessed.findings],
    }


def _review_object(migration: MigrationAssessment) -> dict[str, Any]:
    prediction = migration.prediction
    return {
        "version": migration.version,
        "effect": migration.effect,
        "grades": {
            one.category.value: {
                "grade": one.grade.value,
                "source": one.source.value,
                "reason": hide_secrets(one.reason),
            }
            for one in migration.grades
        },
        "has_down": migration.has_down,
        "dry_run": None
        if prediction is None
        else {
            "database": prediction.database,
            "measured_at": prediction.measurement.at if prediction.measurement else None,
            "predicted_ms": prediction.predicted_ms,
            "low_ms": prediction.low_ms,
            "high_ms": prediction.high_ms,
            "runs": prediction.runs,
        },
    }


def _finding_object(finding: Finding) -> dict[str, Any]:
    return {
        "rule": finding.rule,
        "severity": finding.severity,
        "migration": finding.migration,
        "message": hide_secrets(finding.message),
        "place": str(finding.span) if finding.span else None,
    }
