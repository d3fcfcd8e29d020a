"""Runs again, read-only, what applied migrations checked and proved at their ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from confiture.core.asking import asking
from confiture.core.database import Connection, Database
from confiture.core.other_projects import refuse_other_history
from confiture.core.reconcile.alone import Asked, Rechecker, asked_step, require_comparable
from confiture.core.standing import read_history
from confiture.core.state import StateStore
from confiture.errors import Diagnostic, InputError
from confiture.models.history import State
from confiture.models.migration import Phase
from confiture.models.plan import Isolation, PlannedMigration, PlannedStep, Segment
from confiture.models.reconciling import Verdict, Verification, Verified
from confiture.models.settings import Settings
from confiture.models.steps import step_id
from confiture.plan.ordering import find_version, version_key
from confiture.plan.project import PlannedProject

Tell = Callable[[str], None]
"""Is told the name of each step before it runs."""
_REFUSED = "the database cannot be asked"


def verify(project: PlannedProject, database: Database, version: str | None, tell: Tell) -> Verification:
    """The checks and reconciles of all applied migrations, or of one, as they stand now.

    Raises InputError where that one is not applied, DatabaseUnavailable where the database cannot be asked.
    """
    wanted = None if version is None else project.ups[find_version(version, project.migrations)]
    with asking(database, "verify", _REFUSED) as connection:
        plans, notes = _applied(connection, project, wanted)
        rechecker = Rechecker(connection, project.settings.database.lock_timeout_ms)
        steps = [_verified(rechecker, plan, segment, step, tell) for plan in plans for segment, step in _asking(plan)]
    environment = project.settings.environment
    return Verification(database=database.label, environment=environment, steps=tuple(steps), notes=tuple(notes))


def reconcile_again(project: PlannedProject, database: Database, version: str, tell: Tell) -> Verification:
    """All reconciles of one migration. Raises InputError where it has none, or one cannot be compared at all."""
    plan = project.plan_of(version, down=False)
    found = [(segment, step) for segment, step in _steps(plan) if step.reconcile and not step.skipped]
    if not found:
        message = f"{plan.migration.label} has no step `reconcile:`"
        hint = "add one, or name a table: `confiture reconcile TABLE --sql QUERY`"
        told = plan.migration.file.diagnostic(plan.migration.span, "no-reconcile", message, hint=hint)
        raise InputError(told)
    with asking(database, "reconcile", _REFUSED) as connection:
        rechecker = Rechecker(connection, project.settings.database.lock_timeout_ms)
        steps = [_verified(rechecker, plan, segment, step, tell) for segment, step in found]
    require_comparable(steps)
    return Verification(database=database.label, environment=project.settings.environment, steps=tuple(steps))


def reconcile_asked(settings: Settings, database: Database, asked: Asked) -> Verification:
    """A table against a query of the command line. Raises InputError where the two cannot be compared."""
    step = asked_step(asked, settings.tenancy.column)
    segment = Segment(number=1, steps=(step,), isolation=Isolation.TRANSACTIONAL)
    with asking(database, "reconcile", _REFUSED) as connection:
        rechecker = Rechecker(connection, settings.database.lock_timeout_ms)
        found = rechecker.run("", step, step_id("", segment, step))
    require_comparable([found])
    return Verification(database=database.label, environment=settings.environment, steps=(found,))


def _applied(
    connection: Connection, project: PlannedProject, wanted: PlannedMigration | None
) -> tuple[Sequence[PlannedMigration], list[str]]:
    """The plans of what is applied, in the order in which that was done, and what is to be said of the rest."""
    history = read_history(connection, project.settings.history)
    state = StateStore(connection, project.settings.history)
    if not history and state.installed():
        refuse_other_history(project, state)
    rows = {version_key(row.version): row for row in history if row.state is State.APPLIED}
    plans = {version_key(plan.version): plan for plan in project.ups}
    if wanted is not None:
        only = version_key(wanted.version)
        if only not in rows:
            raise InputError(
                wanted.migration.file.diagnostic(
                    wanted.migration.span,
                    "not-applied",
                    f"{wanted.migration.label} is not applied: there is nothing to verify",
                    hint="`confiture migrate up` applies it",
                )
            )
        rows = {only: rows[only]}
    notes = []
    for key, row in rows.items():
        plan = plans.get(key)
        if plan is None:
            notes.append(f"{row.version} {row.name}: its file is gone, so nothing of it was run")
        elif plan.checksum != row.checksum:
            notes.append(f"{plan.migration.label}: its file changed since it was applied; what was run is as it is now")
    return [plans[key] for key in rows if key in plans], notes


def _steps(plan: PlannedMigration) -> Iterator[tuple[Segment, PlannedStep]]:
    return ((segment, step) for segment in plan.segments for step in segment.steps)


def _asking(plan: PlannedMigration) -> Iterator[tuple[Segment, PlannedStep]]:
    """What must hold for as long as the migration is applied: the end checks, and reconciles wherever they stand."""
    return ((s, step) for s, step in _steps(plan) if step.phase is Phase.AFTER_VALIDATION or step.reconcile)


def _verified(
    rechecker: Rechecker, plan: PlannedMigration, segment: Segment, step: PlannedStep, tell: Tell
) -> Verified:
    label = plan.migration.label
    identity = step_id(plan.version, segment, step)
    reason = step.skipped
    if not reason and step.expect is None and step.reconcile is None:
        reason = "it is no query: what it does, it did once"
    if step.once:
        reason = "`once`: it held right after the migration"
    if not reason and step.missing:
        return Verified(migration=label, step=identity, verdict=Verdict.CANNOT_RUN, diagnostic=step.missing[0])
    if reason:
        return Verified(migration=label, step=identity, verdict=Verdict.SKIPPED, note=reason)
    tell(f"{label}: {step.label}")
    return rechecker.run(label, step, identity)


def not_holding(found: Verification, *, strict: bool) -> tuple[Diagnostic, ...]:
    """What ends the command with 1: what fails and, where `strict`, what cannot run any more."""
    failing = found.of(Verdict.FAILS) + (found.of(Verdict.CANNOT_RUN) if strict else ())
    return tuple(step.diagnostic for step in failing if step.diagnostic)
