"""Which tables are whose, for people and for machines."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from confiture.models.tenancy_proofs import TenancyMap, TenantOwnership
from confiture.output.terminal.console import CleanText, escape_markup, print_wrapped
from confiture.text import pluralize

_BELONGING = {TenantOwnership.TENANT: "green", TenantOwnership.REGISTRY: "green", TenantOwnership.FOREIGN_KEY: "yellow"}


def print_tenancy_map(console: Console, tenancy_map: TenancyMap) -> None:
    """A line for each table: how it belongs to tenants, and why."""
    if not tenancy_map.tables:
        print_wrapped(console, CleanText(f"No tables in {tenancy_map.source}."))
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("Table", overflow="fold")
    table.add_column("Belongs", no_wrap=True)
    table.add_column("Why", overflow="fold", ratio=1)
    for one in tenancy_map.tables:
        style = _BELONGING.get(one.ownership, "dim")
        table.add_row(
            escape_markup(str(one.name)), CleanText(one.ownership.value, style=style), escape_markup(one.reason)
        )
    console.print(table)
    console.print()
    counts = [(kind, sum(one.ownership is kind for one in tenancy_map.tables)) for kind in TenantOwnership]
    told = ", ".join(f"{number} {kind.value}" for kind, number in counts if number)
    print_wrapped(
        console,
        CleanText(
            f"{pluralize(len(tenancy_map.tables), 'table')} of {tenancy_map.source}, by {tenancy_map.column}: {told}."
        ),
    )
