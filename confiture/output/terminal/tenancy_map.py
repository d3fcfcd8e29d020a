"""The tenant ownership of tables as a table."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from confiture.models.tenancy_proofs import TenancyMap, TenantOwnership
from confiture.output.terminal.console import CleanText, escape_markup, print_wrapped
from confiture.text import pluralize

_BELONGING = {TenantOwnership.TENANT: "green", TenantOwnership.REGISTRY: "green", TenantOwnership.FOREIGN_KEY: "yellow"}


def print_tenancy_map(console: Console, tenancy_map: TenancyMap) -> None:
    """Print a line for each table: its ownership and the reason."""
    if not tenancy_map.tables:
        print_wrapped(console, CleanText(f"No tables in {tenancy_map.source}."))
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("Table", overflow="fold")
    table.add_column("Ownership", no_wrap=True)
    table.add_column("Reason", overflow="fold", ratio=1)
    for row in tenancy_map.tables:
        style = _BELONGING.get(row.ownership, "dim")
        table.add_row(
            escape_markup(str(row.name)), CleanText(row.ownership.value, style=style), escape_markup(row.reason)
        )
    console.print(table)
    console.print()
    counts = [(kind, sum(row.ownership is kind for row in tenancy_map.tables)) for kind in TenantOwnership]
    summary = ", ".join(f"{number} {kind.value}" for kind, number in counts if number)
    print_wrapped(
        console,
        CleanText(
            f"{pluralize(len(tenancy_map.tables), 'table')} in {tenancy_map.source},"
            f" tenant column {tenancy_map.column}: {summary}."
        ),
    )
