"""Record migrations as applied without running them, for a database that already contains the objects they create."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg

from confiture.core.database_facts import read_facts
from confiture.core.db.connection import Connection, ConnectionTarget, check_server
from confiture.core.db.errors import db_error_diagnostic
from confiture.core.db.event_log import EventLog, NewEvent
from confiture.core.db.history_store import HistoryStore
from confiture.core.db.history_upgrade import upgrade_history
from confiture.core.db.identity_store import IdentityStore
from confiture.core.db.migration_lock import acquire_migration_lock
from confiture.core.db.other_histories import reject_other_history
from confiture.core.run.runner import last_chain_checksum
from confiture.errors import DatabaseUnavailable, Diagnostic, Drift, InputError
from confiture.models.catalog import TEMPORARY
from confiture.models.history import AppliedMigration, HistoryOrigin, MigrationState
from confiture.models.history_events import HistoryEventKind
from confiture.models.identity import WriteRequest
from confiture.models.plan import PlannedMigration
from confiture.models.settings import Settings
from confiture.plan.checksums import CHAIN_START, chain_checksum
from confiture.plan.migration_order import version_key
from confiture.plan.project import PlannedProject, require_files
from confiture.plan.version_set import is_exact, parse_version_set

if TYPE_CHECKING:
    from confiture.models.catalog import Catalog
    from confiture.models.source import SourceLocation

_PURPOSE = "baseline"


@dataclass(frozen=True, kw_only=True, slots=True)
class BaselineOptions:
    """The versions to record, in the format of `parse_version_set`. `lock_wait_ms` is how long to wait for another run.

    With `force`, objects missing from the database are accepted. With `dry_run`, nothing is recorded. `request`
    contains the confirmation and the reason.
    """

    versions: str
    force: bool = False
    dry_run: bool = False
    lock_wait_ms: int
    request: WriteRequest = field(default_factory=WriteRequest)


@dataclass(frozen=True, kw_only=True, slots=True)
class BaselineResult:
    """The migrations recorded by a baseline, and earlier ones that stay `pending`."""

    recorded: tuple[PlannedMigration, ...]
    pending: tuple[PlannedMigration, ...]


def record_baseline(project: PlannedProject, database: ConnectionTarget, options: BaselineOptions) -> BaselineResult:
    """Record migrations as applied in a single transaction.

    A single version stands for all versions up to and including it. This is rejected if the database has a history that
    lacks earlier versions.

    Raise InputError for unknown versions, for pending migrations that a single version would include, and for an
    interrupted migration; Drift if the database lacks the objects; LockHeld or DatabaseUnavailable.
    """
    positions = parse_version_set(options.versions, project.migrations)
    if not is_exact(options.versions):
        positions = tuple(range(positions[-1] + 1))
    connection = database.connect(_PURPOSE)
    try:
        check_server(connection, database.label)
        key = project.settings.history
        _check_access(connection, project.settings, options)
        with acquire_migration_lock(database, key, _PURPOSE, options.lock_wait_ms, lambda _: None, connection):
            return _record(project, database, connection, positions, options)
    except psycopg.Error as error:
        raise DatabaseUnavailable(db_error_diagnostic(error, "the history cannot be written")) from error
    finally:
        connection.close()


def _record(
    project: PlannedProject,
    database: ConnectionTarget,
    connection: Connection,
    positions: Sequence[int],
    options: BaselineOptions,
) -> BaselineResult:
    _check_access(connection, project.settings, options)
    store = HistoryStore(connection, project.settings.history)
    history = store.read_history() if store.is_installed() else ()
    if not history and store.is_installed():
        reject_other_history(project, store)
    _reject_unfinished(history)
    store.check_writable()
    applied = {version_key(row.version) for row in history}
    selected = [project.ups[position] for position in positions]
    recorded = tuple(plan for plan in selected if version_key(plan.version) not in applied)
    if applied and not is_exact(options.versions):
        _reject_other_pending(selected[-1], recorded)
    require_files(recorded)
    if not options.force:
        _require_objects(project, connection, applied, recorded)
    if not options.dry_run:
        upgrade_history(database, connection, store, _PURPOSE, options.lock_wait_ms, lambda _: None)
        _insert_rows(connection, store, history, recorded, EventLog(project.settings, options.request))
    last = max(positions)
    known = applied | {version_key(plan.version) for plan in recorded}
    pending = tuple(plan for plan in project.ups[:last] if version_key(plan.version) not in known)
    return BaselineResult(recorded=recorded, pending=pending)


def _check_access(connection: Connection, settings: Settings, options: BaselineOptions) -> None:
    store = IdentityStore(connection)
    if options.dry_run:
        store.check(settings)
    else:
        store.check_write(settings, options.request)


def _insert_rows(
    connection: Connection,
    store: HistoryStore,
    history: Sequence[AppliedMigration],
    recorded: Sequence[PlannedMigration],
    log: EventLog,
) -> None:
    with connection.transaction():
        if not store.is_current():
            store.check_privileges()
            store.install()
        IdentityStore(connection).record(log.settings)
        link = last_chain_checksum(history, CHAIN_START)
        for plan in recorded:
            link = chain_checksum(link, plan.version, plan.checksum)
            attempt = str(uuid.uuid4())
            store.insert_applied(plan, attempt, link, HistoryOrigin.BASELINE, None)
            log.record(connection, NewEvent(kind=HistoryEventKind.BASELINED, plan=plan, attempt=attempt))


def _reject_unfinished(history: Sequence[AppliedMigration]) -> None:
    for row in history:
        if row.state is not MigrationState.APPLIED:
            command = "down" if row.state is MigrationState.REVERTING else "up"
            raise InputError(
                Diagnostic(
                    code="unfinished",
                    message=f"{row.version} {row.name} was interrupted",
                    hint=f"finish it first with `confiture migrate {command}`",
                )
            )


def _reject_other_pending(last: PlannedMigration, recorded: Sequence[PlannedMigration]) -> None:
    """Raise InputError if a baseline at one version would record others too, in a database that has a history."""
    others = [plan for plan in recorded if plan is not last]
    if not others:
        return
    labels = ", ".join(plan.migration.label for plan in others)
    raise InputError(
        Diagnostic(
            code="baseline-pending",
            message=f"a baseline at {last.version} would also record {labels}, not yet applied to this database",
            hint=f"record exactly the applied versions: `confiture migrate baseline {last.version}:{last.version}`"
            f" for this one, `{others[0].version}:{last.version}` for all",
        )
    )


def _require_objects(
    project: PlannedProject,
    connection: Connection,
    applied: Collection[object],
    recorded: Sequence[PlannedMigration],
) -> None:
    """Raise Drift if an object created by the migrations is missing from the database."""
    from confiture.lint.plan import replay_catalog

    settings = project.settings
    before = replay_catalog([plan for plan in project.ups if version_key(plan.version) in applied], settings)
    selected = {version_key(plan.version) for plan in recorded} | set(applied)
    after = replay_catalog([plan for plan in project.ups if version_key(plan.version) in selected], settings)
    actual = read_facts(connection).catalog
    if actual is None:
        return
    missing = [_missing_object(*one) for one in _new_objects(before, after, actual)]
    if missing:
        raise Drift(*missing)


def _missing_object(noun: str, name: str, location: SourceLocation | None) -> Diagnostic:
    message = f"the database has no {noun} {name}, so the migration that creates it has not been applied"
    hint = "leave that version out; or, if the baseline is right, use --force"
    if location is None:
        return Diagnostic(code="baseline-object", message=message, hint=hint)
    file = location.rendered.source.file
    return file.diagnostic(location.span, "baseline-object", message, hint=hint)


def _new_objects(before: Catalog, after: Catalog, actual: Catalog) -> Iterator[tuple[str, str, SourceLocation | None]]:
    """Yield the objects in `after` that are in neither `before` nor the database, with the location of their SQL."""
    for noun, old, new, existing in (
        ("table", before.tables, after.tables, actual.tables),
        ("view", before.views, after.views, actual.views),
        ("sequence", before.sequences, after.sequences, actual.sequences),
        ("type", before.types, after.types, actual.types),
        ("function", before.functions, after.functions, actual.functions),
    ):
        for name, item in new.items():
            if name not in old and name not in existing and not str(name).startswith(f"{TEMPORARY}."):
                yield noun, str(name), item.location
    for name, table in after.tables.items():
        if name not in actual.tables:
            continue
        old_table, actual_table = before.tables.get(name), actual.tables[name]
        for column in table.columns:
            is_old = old_table is not None and old_table.column(column.name) is not None
            if not is_old and actual_table.column(column.name) is None:
                yield "column", f"{name}.{column.name}", column.location
    for index, owner in after.index_owners.items():
        if owner in actual.tables and index not in before.index_owners and index not in actual.index_owners:
            yield "index", str(index), None
