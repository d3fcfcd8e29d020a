"""Assess the risks of pending migrations: collect the facts and grade them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from confiture.core.commands import UpOptions, plan_up
from confiture.core.database_facts import read_facts
from confiture.core.db.connection import (
    READ_LOCK_TIMEOUT_MS,
    Connection,
    ConnectionTarget,
    check_server,
    connect_for_query,
    set_lock_timeout,
)
from confiture.core.db.history_store import HistoryStore
from confiture.core.db.identity_store import check_identity
from confiture.core.db.migration_lock import lock_key
from confiture.core.db.other_histories import reject_other_history
from confiture.core.db.queries import query
from confiture.core.review.activity import (
    ForeignTransaction,
    RelationActivity,
    ServerLoad,
    read_activity,
    read_open_transactions,
    read_server_load,
)
from confiture.errors import Diagnostic, InputError
from confiture.files.predictions import PredictionStore
from confiture.lint.plan import lint_plan
from confiture.lint.plan_effects import MigrationEffects, find_plan_effects
from confiture.models.catalog import QualifiedName
from confiture.models.findings import Finding
from confiture.models.grades import (
    Assessment,
    LockFact,
    LossFact,
    LossKind,
    MigrationAssessment,
    OpenTransaction,
    RiskFacts,
)
from confiture.models.history import AppliedMigration
from confiture.models.migration import Phase
from confiture.models.plan import PlannedMigration
from confiture.models.predictions import Prediction
from confiture.models.settings import Settings
from confiture.models.trace import LockMode
from confiture.plan.grades import grade_migration
from confiture.plan.history import compare_history
from confiture.plan.migration_order import find_version, version_key
from confiture.plan.project import PlannedProject
from confiture.sql.actions import is_same_relation, relations_named_in


@dataclass(frozen=True, kw_only=True, slots=True)
class AssessmentOptions:
    """The migrations to assess: pending `versions`, or all up to `to`.

    The use of tables is sampled for `sample_ms`; with 0, the counters since the last reset decide.
    """

    versions: tuple[str, ...] = ()
    to: str | None = None
    skip: frozenset[str] = frozenset()
    """Pending versions that are left out."""
    sample_ms: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanAssessment:
    """The pending migrations, the history that they follow, their assessment, and their effects, in the same order."""

    plans: tuple[PlannedMigration, ...]
    history: tuple[AppliedMigration, ...]
    assessment: Assessment
    effects: tuple[MigrationEffects, ...]
    findings: tuple[Finding, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class _DatabaseActivity:
    """The database's current activity."""

    relations: Mapping[QualifiedName, RelationActivity]
    transactions: tuple[ForeignTransaction, ...]
    load: ServerLoad
    lock_holder: str | None


def assess(project: PlannedProject, database: ConnectionTarget, options: AssessmentOptions) -> Assessment:
    """Return the graded risks of pending migrations on a database, without writing anything.

    Raise InputError if a version is unknown or not pending, Drift if files and history differ, and
    DatabaseUnavailable.
    """
    for version in options.versions:
        find_version(version, project.migrations)
    with connect_for_query(database, "assess", "the database cannot be assessed") as connection:
        check_server(connection, database.label)
        connection.execute("SET default_transaction_read_only = on")
        result = assess_plan(project, database, connection, options)
    return _select_versions(result.assessment, options.versions)


def assess_plan(
    project: PlannedProject, database: ConnectionTarget, connection: Connection, options: AssessmentOptions
) -> PlanAssessment:
    """Return the pending migrations with their assessment. Raise the same errors as `assess`."""
    set_lock_timeout(connection, READ_LOCK_TIMEOUT_MS)
    store = HistoryStore(connection, project.settings.history)
    is_installed = store.is_installed(only_reads=True)
    check_identity(connection, project.settings)
    history = store.read_history() if is_installed else ()
    if is_installed and not history:
        reject_other_history(project, store)
    plans = plan_up(project, history, UpOptions(to=options.to, out_of_order=True, skip=options.skip))
    facts = read_facts(connection)
    effects = find_plan_effects(plans, project.settings, facts)
    findings = lint_plan(plans, project.settings, facts).report.findings
    activity = _read_activity(connection, project.settings, effects, options.sample_ms)
    checksums = {plan.version: plan.checksum for plan in plans}
    predictions = PredictionStore(project.settings.root)
    own, other = predictions.load(database.label, checksums), predictions.load_elsewhere(database.label, checksums)
    late = {plan.version for plan in compare_history(project.ups, history, project.settings).out_of_order}
    migrations = []
    for plan, effect in zip(plans, effects, strict=True):
        own_findings = [finding for finding in findings if finding.migration == plan.version]
        risk = _with_database(_plan_facts(project, plan, effect, own_findings), effect, activity, project.settings)
        risk = _with_prediction(risk, own.get(plan.version), other.get(plan.version))
        migrations.append(
            MigrationAssessment(
                version=plan.version,
                name=plan.migration.name,
                effect=effect.summary,
                grades=grade_migration(risk),
                prediction=risk.prediction,
                has_down=risk.has_down,
                out_of_order=plan.version in late,
                relations=tuple(sorted(str(name) for name in effect.touched)),
            )
        )
    assessment = Assessment(
        environment=project.settings.environment, database=database.label, migrations=tuple(migrations)
    )
    return PlanAssessment(plans=plans, history=history, assessment=assessment, effects=effects, findings=findings)


def _select_versions(assessment: Assessment, versions: Collection[str]) -> Assessment:
    if not versions:
        return assessment
    wanted = {version_key(version): version for version in versions}
    selected = tuple(one for one in assessment.migrations if version_key(one.version) in wanted)
    missing = wanted.keys() - {version_key(one.version) for one in selected}
    if missing:
        raise InputError(
            *(
                Diagnostic(
                    code="not-pending",
                    message=f"{wanted[key]} is already applied to this database",
                    hint="`confiture migrate status` lists the pending migrations",
                )
                for key in sorted(missing)
            )
        )
    return replace(assessment, migrations=selected)


def _read_activity(
    connection: Connection, settings: Settings, effects: Iterable[MigrationEffects], sample_ms: int
) -> _DatabaseActivity:
    names = {name for effect in effects for name in (*effect.locks, *effect.rewrites, *effect.touched)}
    load = read_server_load(connection)
    holder = connection.execute(query("lock_holder"), {"key": lock_key(settings.history)}).fetchone()
    return _DatabaseActivity(
        relations=read_activity(connection, names, sample_ms),
        transactions=read_open_transactions(connection, settings.database.lock_timeout_ms),
        load=load,
        lock_holder=None if holder is None else holder["application_name"] or "a session without a name",
    )


def _plan_facts(
    project: PlannedProject, plan: PlannedMigration, effect: MigrationEffects, findings: Sequence[Finding]
) -> RiskFacts:
    """Return the facts that follow from the plan and the settings."""
    settings = project.settings
    down = project.downs.get(plan.version)
    has_down: bool | None = bool(plan.migration.steps(Phase.DOWN)) and down is not None
    if down is not None and down.missing_variables:
        has_down = None
    tenant = [finding for finding in findings if finding.rule.startswith("tenant_")]
    return RiskFacts(
        statements=effect.statements,
        segments=len(plan.segments),
        has_down=has_down,
        opaque=(*effect.opaque, *effect.triggered),
        unmeasured=effect.unmeasured,
        losses=tuple(replace(loss, is_restored=_restores(down, loss)) for loss in effect.losses),
        rewrites=tuple(sorted(map(str, effect.rewrites))),
        reads_rows=effect.reads_rows,
        waits_for_all=effect.waits_for_all,
        max_blocking_ms=settings.database.max_blocking_ms,
        window_ms=settings.window_ms,
        free_bytes=settings.free_space_bytes,
        has_tenants=settings.tenancy.is_set,
        tenant_errors=tuple(one.message for one in tenant if one.severity == "error"),
        tenant_warnings=tuple(one.message for one in tenant if one.severity == "warning"),
        tenant_doubts=(*effect.opaque, *(one.message for one in tenant if one.severity == "info")),
    )


def _restores(down: PlannedMigration | None, loss: LossFact) -> bool:
    """Whether `down` inserts rows into the relation of a loss."""
    if down is None or not loss.relation or loss.kind is not LossKind.ROWS:
        return False
    writes = [
        statement.text
        for step in down.steps
        for statement in step.statements
        if statement.node_kind in ("insert_stmt", "copy_stmt")
    ]
    return any(is_same_relation(name, loss.relation) for name in relations_named_in(writes))


def _with_database(
    facts: RiskFacts, effect: MigrationEffects, activity: _DatabaseActivity, settings: Settings
) -> RiskFacts:
    """Return the facts with what the database reports now."""
    rows = {str(name): one.rows for name, one in activity.relations.items()}
    locks = tuple(
        LockFact(relation=str(name), mode=mode, rows=one.rows, is_in_use=one.is_in_use)
        if (one := activity.relations.get(name))
        else LockFact(relation=str(name), mode=mode)
        for name, mode in effect.locks.items()
    )
    holders, old = _divide_transactions(effect, activity.transactions)
    return replace(
        facts,
        locks=_existing_locks(locks, activity),
        losses=tuple(replace(loss, rows=rows.get(loss.relation)) for loss in facts.losses),
        database_bytes=activity.load.database_bytes,
        rewritten_bytes=sum(
            one.total_bytes for name in effect.rewrites if (one := activity.relations.get(name)) is not None
        ),
        temp_file_limit_bytes=activity.load.temp_file_limit_bytes,
        sees_sessions=activity.load.sees_sessions,
        lock_holder=activity.lock_holder,
        holders=holders,
        old_transactions=old,
        replica_lag_ms=activity.load.replica_lag_ms,
    )


def _existing_locks(locks: tuple[LockFact, ...], activity: _DatabaseActivity) -> tuple[LockFact, ...]:
    """Return the locks on relations that exist in the database."""
    names = {str(name) for name in activity.relations}
    return tuple(lock for lock in locks if lock.relation in names)


def _divide_transactions(
    effect: MigrationEffects, transactions: Iterable[ForeignTransaction]
) -> tuple[tuple[OpenTransaction, ...], tuple[OpenTransaction, ...]]:
    """Return the transactions that a statement waits for, and the others."""
    holders: list[OpenTransaction] = []
    others: list[OpenTransaction] = []
    for one in transactions:
        waits = effect.waits_for_all or one.blocks(effect.locks)
        (holders if waits else others).append(one.transaction)
    return tuple(holders), tuple(others)


def _with_prediction(facts: RiskFacts, own: Prediction | None, other: Prediction | None) -> RiskFacts:
    """Return the facts with what dry runs measured, on this database or on another one."""
    elsewhere = None
    if other is not None:
        at = f" ({other.measurement.at})" if other.measurement else ""
        elsewhere = f"a dry run on {other.database}{at} predicts {other.predicted_ms:.0f} ms there"
    measurement = own.measurement if own else None
    if measurement is None:
        return replace(facts, prediction=own, elsewhere=elsewhere)
    return replace(
        facts,
        prediction=own,
        elsewhere=elsewhere,
        is_measured=True,
        locks=_measured_locks(facts, own),
        losses=_measured_losses(facts, own),
        tenant_doubts=measurement.not_provable if measurement.is_proved else facts.tenant_doubts,
    )


def _measured_locks(facts: RiskFacts, own: Prediction | None) -> tuple[LockFact, ...]:
    """Return the locks with their measured times, and the locks that only the dry run found."""
    measurement = own.measurement if own else None
    if measurement is None:
        return facts.locks
    locks: list[LockFact] = []
    matched: set[tuple[str, LockMode]] = set()
    for lock in facts.locks:
        held = [one for one in measurement.locks if is_same_relation(one.relation, lock.relation)]
        strongest = max(held, key=lambda one: one.mode.strength, default=None)
        matched |= {(one.relation, one.mode) for one in held}
        if strongest is None:
            locks.append(lock)
            continue
        mode = max(lock.mode, strongest.mode, key=lambda one: one.strength)
        blocking = [one.held_ms for one in held if LockFact(relation="", mode=one.mode).is_blocking]
        locks.append(replace(lock, mode=mode, held_ms=max(blocking, default=strongest.held_ms)))
    locks += [
        LockFact(relation=one.relation, mode=one.mode, held_ms=one.held_ms)
        for one in measurement.locks
        if (one.relation, one.mode) not in matched
    ]
    return tuple(locks)


def _measured_losses(facts: RiskFacts, own: Prediction | None) -> tuple[LossFact, ...]:
    """Return the losses with the rows that the dry run deleted, and deletions that only the dry run found."""
    measurement = own.measurement if own else None
    if measurement is None:
        return facts.losses
    deleted = dict(measurement.deleted_rows)
    losses = []
    for loss in facts.losses:
        count = next((rows for table, rows in deleted.items() if is_same_relation(table, loss.relation)), None)
        if loss.kind is LossKind.SELECTED_ROWS:
            loss = replace(loss, rows=count or 0)
        losses.append(loss)
    known = {loss.relation for loss in losses}
    for table, rows in deleted.items():
        if not any(is_same_relation(table, relation) for relation in known if relation):
            description = f"deletes rows of {table}"
            losses.append(LossFact(kind=LossKind.SELECTED_ROWS, relation=table, description=description, rows=rows))
    return tuple(losses)
