"""The API for writing hooks. Importing it does not load the driver: reading migrations does not need it."""

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
    """The context of a hook: information about the run, and services.

    `migration` has `version`, `name` and `description`; `direction` is UP or DOWN. `phase` is the phase in which the
    hook runs. `environment` is the name of the environment, `vars` are the variables of templates. In a dry run,
    `dry_run` is true: only the database is rolled back, so a hook must not touch anything else (mail, other services).
    `stats` is shared by the hooks of a migration in one run: later hooks find what earlier ones put there or returned
    as stats. Messages to `logger` from INFO on are shown with the run. In ON_ERROR, `error` is the cause.

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
        """Report the progress of the hook: `done` of `total`, in any unit; None if the total is unknown.

        Example::

            for number, tenant in enumerate(tenants, start=1):
                conn.execute("SELECT refresh_tenant(%s)", (tenant,))
                context.progress(number, len(tenants))
        """
        self._progress(done, total)

    def backfill(self, *, into: str, source: str, sql: str, **options: Any) -> int:
        """Fill `into` from the driving table `source` in batches. Return the total number of written rows.

        Each batch commits together with its position, so that the next run can continue an interrupted backfill.
        Therefore the hook runs outside the migration's transaction, which its class declares with `batched = True`. It
        can fill only once, and runs again from its beginning when it is resumed. `options` are the other keys of
        `backfill:` in YAML.

        Raise HookRefused in a hook that is not batched, or on a second call.

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
    """Python code that runs as a step of a migration. Each step that runs creates a new object.

    With `phase`, it runs automatically after the migration's own steps of that phase. Without it, it only runs in steps
    that name it (`hook: name`). `batched` is required for hooks that call `context.backfill`.

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
        """Do the work, in the migration's transaction. Any exception fails the migration, which is rolled back.

        It may be called again: after a lock timeout, the transaction is rolled back and retried.
        """


def register_hook(name: str, hook: type[Hook]) -> None:
    """Register a hook for the calling file.

    In a migration's file, the hook belongs to that migration; in a module listed under `hooks:` of confiture.yaml, to
    all migrations. `name` is its name in steps and reports. Raise TypeError for a class that is not a hook, ValueError
    for a name that the file has already registered.

    Example::

        register_hook("backfill", BackfillHook)
    """
    add_registration(name, hook, caller_site(__file__))
