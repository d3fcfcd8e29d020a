"""Which tables are whose, for people and for machines."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from confiture.models.isolation import Belonging, MappedTable, TenancyMap
from confiture.models.words import count
from confiture.report.machine import document
from confiture.report.terminal import Text, escape, print_text

_BELONGING = {Belonging.TENANT: "green", Belonging.REGISTRY: "green", Belonging.BY_KEY: "yellow"}


def print_map(console: Console, found: TenancyMap) -> None:
    """A line for each table: how it belongs to tenants, and why."""
    if not found.tables:
        print_text(console, Text(f"No tables in {found.source}."))
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("Table", overflow="fold")
    table.add_column("Belongs", no_wrap=True)
    table.add_column("Why", overflow="fold", ratio=1)
    for one in found.tables:
        style = _BELONGING.get(one.belonging, "dim")
        table.add_row(escape(str(one.name)), Text(one.belonging.value, style=style), escape(one.why))
    console.print(table)
    console.print()
    counts = [(kind, sum(one.belonging is kind for one in found.tables)) for kind in Belonging]
    told = ", ".join(f"{number} {kind.value}" for kind, number in counts if number)
    print_text(console, Text(f"{count(len(found.tables), 'table')} of {found.source}, by {found.column}: {told}."))


def map_document(found: TenancyMap) -> dict[str, Any]:
    """The same as JSON."""
    return document("confiture.tenancy") | {
        "source": found.source,
        "column": found.column,
        "tables": [_table(one) for one in found.tables],
    }


def _table(one: MappedTable) -> dict[str, Any]:
    return {
        "schema": one.name.schema,
        "name": one.name.name,
        "belonging": one.belonging.value,
        "why": one.why,
        "column": one.column,
        "path": [
            {
                "table": str(hop.table),
                "columns": list(hop.columns),
                "target": str(hop.target),
                "target_columns": list(hop.target_columns),
            }
            for hop in one.path
        ],
    }
