"""Sort the customers of each shop into tiers.

A tier ends where the next customer has spent much less. The tier boundaries are the two largest jumps, by ratio, among
the better half of a shop's customers. SQL would need several passes; a hook needs only a few lines. The hook runs as a
step in the migration's transaction, and a dry run measures the hook and rolls it back like any other step.
"""

from decimal import Decimal
from itertools import pairwise

from confiture.core import Hook, HookConnection, HookContext, HookPhase, HookResult, register_hook
from confiture.models import Migration


class SortIntoTiers(Hook):
    phase = HookPhase.AFTER_DDL

    def execute(self, conn: HookConnection, context: HookContext) -> HookResult:
        tenants = conn.execute("SELECT tenant_id FROM w_tenants ORDER BY tenant_id").fetchall()
        rows = 0
        for number, (tenant,) in enumerate(tenants, start=1):
            spent = conn.execute(
                "SELECT total_spent FROM r_customer_lifetime_value WHERE tenant_id = %s AND total_spent > 0"
                " ORDER BY total_spent DESC",
                (tenant,),
            ).fetchall()
            gold, silver = least_of_tiers([total for (total,) in spent])
            rows += conn.execute(
                "UPDATE r_customer_lifetime_value"
                " SET tier = CASE WHEN total_spent >= %(gold)s THEN 'gold' ELSE 'silver' END"
                " WHERE tenant_id = %(tenant)s AND total_spent >= %(silver)s",
                {"gold": gold, "silver": silver, "tenant": tenant},
            ).rowcount
            context.progress(number, len(tenants))
        return HookResult(
            phase="AFTER_DDL", hook_name="sort into tiers", rows_affected=rows, stats={"shops": len(tenants)}
        )


def least_of_tiers(spent: list[Decimal]) -> tuple[Decimal, Decimal]:
    """Return the lowest gold and the lowest silver amount; `spent` is in descending order."""
    better_half = spent[: max(len(spent) // 2, 3)]
    jumps = sorted((high / low, high) for high, low in pairwise(better_half))
    silver, gold = sorted(high for _, high in jumps[-2:])
    return gold, silver


register_hook("sort into tiers", SortIntoTiers)


class AddCustomerTiers(Migration):
    description = "A tier for each customer, computed separately for each shop."
    requires = ("002",)

    def up(self) -> None:
        self.load_ddl_files(["02_query_side/011_customer_lifetime_value_add_tier.sql"])
        self.check(
            "SELECT count(*) FROM r_customer_lifetime_value WHERE tier <> 'bronze' AND total_spent = 0",
            name="every customer above bronze has spent something",
        )
        self.execute("ANALYZE r_customer_lifetime_value", phase="cleanup")

    def down(self) -> None:
        self.execute("ALTER TABLE r_customer_lifetime_value DROP COLUMN tier")
