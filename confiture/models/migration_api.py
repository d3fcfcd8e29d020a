"""Migrations written in Python. What `up` and `down` call is recorded as steps; nothing runs by itself."""

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
    """A step as a method of a migration was given it. `fields` are the keys that the step has in YAML."""

    phase: Phase
    fields: Mapping[str, Any]
    call_site: CallSite


class Migration:
    """A migration in Python: a subclass says what it is, `up` says what it does, `down` how to undo that.

    Both are called once, when the file is read, without a database: the methods they call record steps, which are
    planned, linted, dry-run and run as those of a YAML file are. What only the data can decide belongs into a hook.

    `version` and `name` default to what the file's name says. `requires` are versions that must be applied before,
    `vars` variables for the templates of this migration. SQL is rendered with Jinja, as in YAML.

    The connection that it can be made with (`AddTotals(conn)`) must be that of the `Migrator`; recording needs none.

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
        """Records the steps that apply the migration; a subclass says which. Hooks can be all that there is."""

    def down(self) -> None:
        """Records the steps that undo the migration. Without any it cannot be undone."""

    def load_ddl_files(self, files: Sequence[str], *, phase: str | None = None) -> None:
        """Records a step for each DDL file, named as in YAML: from the schemas folder, or from the project's root.

        `phase` is where the steps run; by default in `ddl`, or in `down` where `down` records them.
        """
        if isinstance(files, str):
            raise TypeError("load_ddl_files takes a list of files")
        for file in files:
            self._record(phase, {"file": file})

    def execute(self, sql: str, *, phase: str | None = None, **common: Any) -> None:
        """Records SQL: one statement or several.

        `common` are the keys that each step may have: `name`, `when`, `once`, `timeout` and `lock_timeout` (such as
        "5s").
        """
        self._record(phase, {"sql": sql, **common})

    def check(self, query: str, expect: Any = 0, *, phase: str | None = None, **common: Any) -> None:
        """Records a query and what it must return: a value, a comparison such as `{">": 0}`, or `{"rows": []}`.

        It runs in `after_validation` unless `phase` says otherwise.
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
        """Records a batched fill of `into` from the driving table `source`; `{{ batch }}` in `sql` limits it.

        `options` are the other keys of `backfill:` in YAML (`key`, `batch_rows`, `workers`, ...), in the same units.
        """
        step = {"backfill": {"into": into, "from": source, "sql": sql, **options}}
        self._record(phase, step | _without_none(name=name, when=when))

    def reconcile(
        self, *, table: str, sql: str, phase: str | None = None, name: str | None = None, **options: Any
    ) -> None:
        """Records the proof that `table` equals its defining query. `options` are `key` and `by`.

        It runs in `after_validation` unless `phase` says otherwise.
        """
        step = {"reconcile": {"table": table, "sql": sql, **options}}
        self._record(phase or self._check_phase, step | _without_none(name=name))

    def hook(self, reference: str, *, phase: str | None = None, **common: Any) -> None:
        """Records that a hook runs here: its registered name, or `module:Class`."""
        self._record(phase, {"hook": reference, **common})

    @property
    def _check_phase(self) -> Phase:
        return self._default_phase if self._default_phase is Phase.DOWN else Phase.AFTER_VALIDATION

    def _record(self, phase: str | None, fields: dict[str, Any]) -> None:
        chosen = self._default_phase if phase is None else parse_phase(phase)
        self._steps.append(RecordedStep(phase=chosen, fields=fields, call_site=caller_site(__file__)))

    @contextmanager
    def _default_phase_set(self, phase: Phase) -> Iterator[None]:
        former, self._default_phase = self._default_phase, phase
        try:
            yield
        finally:
            self._default_phase = former


def record_steps(migration: Migration) -> tuple[RecordedStep, ...]:
    """The steps that `up` and `down` of a migration record. Raises whatever these raise."""
    migration._steps.clear()
    migration.up()
    with migration._default_phase_set(Phase.DOWN):
        migration.down()
    return tuple(migration._steps)


def migration_connection(migration: Migration) -> psycopg.Connection[Any] | None:
    """The connection that a migration was made with; None where it has none, as where its file is read."""
    return migration._connection


def _without_none(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
