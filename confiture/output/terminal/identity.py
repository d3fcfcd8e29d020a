"""The identities in a database as a table."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from confiture.output.terminal.console import CleanText, print_wrapped
from confiture.output.writer import IdentitySummary


def print_identity(console: Console, summary: IdentitySummary) -> None:
    """Print a row for each project in the database, and how this session resolves unqualified names."""
    if not summary.identities:
        text = f"{summary.database} has no identity. The next `confiture migrate up` records it."
        print_wrapped(console, CleanText(text))
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in ("Project", "Environment", "Protected", "Schema", "Since", "By"):
        table.add_column(name, overflow="fold")
    for identity in summary.identities:
        environment = identity.environment if identity.is_declared else f"{identity.environment} (default)"
        table.add_row(
            CleanText(identity.project),
            CleanText(environment),
            "yes" if identity.is_protected else "no",
            CleanText(identity.resolution.schema_name or "none"),
            f"{identity.since.astimezone():%Y-%m-%d %H:%M}",
            CleanText(identity.set_by),
        )
    console.print(table)
    schema = summary.resolution.schema_name
    text = f"On {summary.database}, this session creates unqualified names in {schema or 'no schema'}."
    print_wrapped(console, CleanText(text))
