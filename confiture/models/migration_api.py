"""Migrations written in Python. The calls in `up` and `down` are recorded as steps; nothing runs immediately."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from confiture.models.call_sites import CallSite, caller_site
from confiture.models.hooks import parse_phase
from confiture.models.migration import Phase
from confiture.models.records import record

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg


@record(frozen=True, kw_only=True, slots=True)
class RecordedStep:
    """A step as recorded by a migration method. `fields` are the step's keys in YAML."""

    phase: Phase
    fields: Mapping[str, Any]
    call_site: CallSite


class Migration:
    """The base class for Python migrations: `up` applies the migration, and `down` reverts it.

    Both methods are called once, when the file is read, without a database. The methods that they call record steps.
    These steps are planned, linted, dry-run, and run like steps in a YAML file. Logic that depends on the data belongs
    in a hook.

    `version` and `name` default to the parts of the file name. `requires` lists versions that must be applied before;
    `vars` contains variables for this migration's templates. SQL is rendered with Jinja, as in YAML.

    A connection passed to the constructor (`AddTotals(conn)`) must be the `Migrator`'s connection. Recording does not
    need a connection.

    Example::

        class AddTotals(Migration):
            version = "014"
            name = "add_totals"

            def up(self) -> None:
                self.load_ddl_files(["02_query_side/020_totals.sql"])
                self.execute("INSERT INTO r_totals (id, tenant_id) SELECT id, tenant_id FROM w_orders")
                self.check("SELECT count(*) FROM r_totals WHERE tenant_id IS NULL", expect=0)

            def down(self) -> None:
                self.execute("DROP TABLE r_totals")
    """

    version: ClassVar[str] = ""
    name: ClassVar[str] = ""
    description: ClassVar[str] = ""
    requires: ClassVar[Sequence[str]] = ()
    vars: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, connection: psycopg.Connection[Any] | None = None) -> None:
        self._connection = connection
        self._steps: list[RecordedStep] = []
        self._default_phase = Phase.DDL

    def up(self) -> None:
        """Record the steps that apply the migration. A subclass with only hooks need not override this method."""

    def down(self) -> None:
        """Record the steps that revert the migration. A migration without such steps cannot be reverted."""

    def load_ddl_files(self, files: Sequence[str], *, phase: str | None = None) -> None:
        """Record a step for each DDL file. Paths are as in YAML: relative to the schemas folder, or to the project's
        root.

        `phase` is the phase in which the steps run; default: `ddl`, or `down` if called from `down`.
        """
        if isinstance(files, str):
            raise TypeError("load_ddl_files() takes a list of paths, not a string")
        for file in files:
            self._record(phase, {"file": file})

    def execute(self, sql: str, *, phase: str | None = None, **common: Any) -> None:
        """Record one or more SQL statements.

        `common` contains the keys that every step supports: `name`, `when`, `once`, `timeout`, and `lock_timeout` (for
        example "5s").
        """
        self._record(phase, {"sql": sql, **common})

    def check(self, query: str, expect: Any = 0, *, phase: str | None = None, **common: Any) -> None:
        """Record a query and its expected result: a value, a comparison such as `{">": 0}`, or `{"rows": []}`.

        The step runs in `after_validation` unless `phase` names another phase.
        """
        self._record(phase or self._check_phase, {"check": query, "expect": expect, **common})

    def backfill(
        self,
        *,
        into: str,
        source: str,
        sql: str,
        name: str | None = None,
        when: str | None = None,
        phase: str | None = None,
        **options: Any,
    ) -> None:
        """Record a batched backfill of `into` from the driving table `source`.

        `{{ batch }}` in `sql` is replaced by the condition for each batch.
        `options` are the other `backfill:` keys in YAML (`key`, `batch_rows`, `workers`, ...), in the same units.
        """
        step = {"backfill": {"into": into, "from": source, "sql": sql, **options}}
        self._record(phase, step | _without_none(name=name, when=when))

    def reconcile(
        self, *, table: str, sql: str, phase: str | None = None, name: str | None = None, **options: Any
    ) -> None:
        """Record a check that `table` equals its defining query. `options` are `key` and `by`.

        The step runs in `after_validation` unless `phase` names another phase.
        """
        step = {"reconcile": {"table": table, "sql": sql, **options}}
        self._record(phase or self._check_phase, step | _without_none(name=name))

    def hook(self, reference: str, *, phase: str | None = None, **common: Any) -> None:
        """Record a step that runs a hook, given by its registered name or as `module:Class`."""
        self._record(phase, {"hook": reference, **common})

    @property
    def _check_phase(self) -> Phase:
        return self._default_phase if self._default_phase is Phase.DOWN else Phase.AFTER_VALIDATION

    def _record(self, phase: str | None, fields: dict[str, Any]) -> None:
        step_phase = self._default_phase if phase is None else parse_phase(phase)
        self._steps.append(RecordedStep(phase=step_phase, fields=fields, call_site=caller_site(__file__)))

    @contextmanager
    def _default_phase_set(self, phase: Phase) -> Iterator[None]:
        former, self._default_phase = self._default_phase, phase
        try:
            yield
        finally:
            self._default_phase = former


def record_steps(migration: Migration) -> tuple[RecordedStep, ...]:
    """Return the steps that a migration's `up` and `down` record. Exceptions raised in these methods propagate."""
    migration._steps.clear()
    migration.up()
    with migration._default_phase_set(Phase.DOWN):
        migration.down()
    return tuple(migration._steps)


def migration_connection(migration: Migration) -> psycopg.Connection[Any] | None:
    """Return the connection passed to a migration's constructor; None without one, as when Confiture reads a file."""
    return migration._connection


def _without_none(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
