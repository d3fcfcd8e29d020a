"""What users write hooks with. Importing this loads no driver: migrations are read without one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from confiture.files.python.hook_registry import add_registration
from confiture.models.call_sites import CallSite, caller_site
from confiture.models.hooks import HookPhase, HookResult

if TYPE_CHECKING:
    from logging import Logger

    from confiture.core.hooks.connection import HookConnection
    from confiture.errors import Diagnostic
    from confiture.models.migration import MigrationFile
    from confiture.models.plan import Direction


@dataclass(kw_only=True, slots=True)
class HookContext:
    """What a hook is told, and what it can ask for.

    `migration` has `version`, `name` and `description`; `direction` is UP or DOWN. `phase` is where the hook runs.
    `environment` is the name of the environment, `vars` the variables that templates see. In a dry run `dry_run` is
    true: everything in the database is rolled back, so leave alone what is not (mail, other services). `stats` is
    shared by the hooks of a migration, in one run: what one puts there, or returns as its result's stats, later ones
    find. `logger` shows what it is given with the run, from INFO on. `error` is why the migration failed, in ON_ERROR.

    Example::

        def execute(self, conn, context):
            if not context.dry_run:
                context.logger.info("%s runs in %s", context.migration.name, context.environment)
    """

    migration: MigrationFile
    direction: Direction
    phase: HookPhase
    dry_run: bool
    environment: str
    vars: Mapping[str, Any]
    stats: dict[str, Any]
    logger: Logger
    error: Diagnostic | None
    _progress: Callable[[float, float | None], None]
    _backfill: Callable[[Mapping[str, Any], CallSite], int]

    def progress(self, done: float, total: float | None = None) -> None:
        """Shows how far the hook is: `done` of `total`, in whatever it counts; None where the total is not known.

        Example::

            for number, tenant in enumerate(tenants, start=1):
                conn.execute("SELECT refresh_tenant(%s)", (tenant,))
                context.progress(number, len(tenants))
        """
        self._progress(done, total)

    def backfill(self, *, into: str, source: str, sql: str, **options: Any) -> int:
        """Fills `into` from the driving table `source` in batches, and returns how many rows were written in all.

        Each batch commits with how far it came, so that a run which stops midway goes on from there. Therefore the
        hook runs apart from the migration's transaction, which its class says with `batched = True`; it can fill once,
        and is run again from its beginning when it is resumed. `options` are the other keys of `backfill:` in YAML.

        Raises HookRefused in a hook that is not batched, or at a second call.

        Example::

            class Fill(Hook):
                phase = HookPhase.AFTER_DDL
                batched = True

                def execute(self, conn, context):
                    rows = context.backfill(
                        into="r_totals", source="w_orders", batch_rows=5_000,
                        sql="INSERT INTO r_totals (id, tenant_id) SELECT id, tenant_id FROM w_orders WHERE {{ batch }}",
                    )
                    return HookResult(phase="AFTER_DDL", hook_name="Fill", rows_affected=rows)
        """
        fields = {"into": into, "from": source, "sql": sql, **options}
        return self._backfill(fields, caller_site(__file__))


class Hook(ABC):
    """Python that runs as a step of a migration. A new object is made for each step that runs.

    `phase` is when it runs by itself: behind the migration's own steps of that phase. Without one it only runs where a
    step names it (`hook: name`). `batched` is for those that call `context.backfill`.

    Example::

        class CountTenants(Hook):
            phase = HookPhase.AFTER_VALIDATION

            def execute(self, conn, context):
                tenants = conn.execute("SELECT count(DISTINCT tenant_id) FROM r_totals").scalar()
                if tenants == 0:
                    raise ValueError("no tenant was filled")
                return HookResult(phase="AFTER_VALIDATION", hook_name="CountTenants", stats={"tenants": tenants})

        register_hook("count tenants", CountTenants)
    """

    phase: ClassVar[HookPhase | str | None] = None
    batched: ClassVar[bool] = False

    @abstractmethod
    def execute(self, conn: HookConnection, context: HookContext) -> HookResult | None:
        """Does the work, in the migration's transaction. Whatever it raises fails the migration, which is rolled back.

        It may be called again: where a lock could not be had, the transaction is rolled back and tried anew.
        """


def register_hook(name: str, hook: type[Hook]) -> None:
    """Registers a hook for the file that calls this.

    In a migration's file it belongs to that migration; in a module that `hooks:` of confiture.yaml names, to all of
    them. `name` is what steps and reports call it. Raises TypeError for what is no hook, ValueError for a name that the
    file has given to another.

    Example::

        register_hook("backfill", BackfillHook)
    """
    add_registration(name, hook, caller_site(__file__))
