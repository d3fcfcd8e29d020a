"""The API for writing hooks. Importing this module does not load the driver, which is not needed to read migrations."""

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
    """The context of a hook: information about the run, and services for the hook.

    `migration` has the attributes `version`, `name` and `description`; `direction` is UP or DOWN. `phase` is the phase
    in which the hook runs. `environment` is the name of the environment, and `vars` contains the template variables. In
    a dry run, `dry_run` is true. Only the database is rolled back, so a hook must not touch anything else, such as mail
    or other services. `stats` is shared by a migration's hooks during one run, so later hooks see what earlier hooks
    stored or returned as stats. Messages sent to `logger` at INFO or above are shown with the run. In ON_ERROR, `error`
    is the cause.

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
        """Report the hook's progress as `done` out of `total`, in any unit. `total` is None if it is unknown.

        Example::

            for number, tenant in enumerate(tenants, start=1):
                conn.execute("SELECT refresh_tenant(%s)", (tenant,))
                context.progress(number, len(tenants))
        """
        self._progress(done, total)

    def backfill(self, *, into: str, source: str, sql: str, **options: Any) -> int:
        """Fill `into` from the driving table `source` in batches. Return the total number of rows written.

        Each batch commits together with its key position, so that the next run can continue an interrupted backfill.
        Therefore the hook runs outside the migration's transaction, and its class must declare this with `batched =
        True`. A hook can run only one backfill, and starts again from the beginning when it is resumed. `options` are
        the other keys of `backfill:` in YAML.

        Raise HookRefused if the hook is not batched, or on a second call.

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
    """Python code that runs as a migration step. Each time a step runs, a new object is created.

    With `phase`, the hook runs automatically after the migration's own steps in that phase. Without `phase`, it only
    runs in steps that name it (`hook: name`). `batched` is required for hooks that call `context.backfill`.

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
        """Do the work in the migration's transaction. Any exception fails the migration, which is then rolled back.

        This method may be called again, because the transaction is rolled back and retried after a lock timeout.
        """


def register_hook(name: str, hook: type[Hook]) -> None:
    """Register a hook for the file that calls this function.

    If the file is a migration file, the hook belongs to that migration. If it is a module listed under `hooks:` in
    confiture.yaml, the hook belongs to all migrations. `name` identifies the hook in steps and reports. Raise TypeError
    for a class that is not a hook, and ValueError for a name that is already registered in the file.

    Example::

        register_hook("backfill", BackfillHook)
    """
    add_registration(name, hook, caller_site(__file__))
