"""Batched backfills, for people and for machines."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import RenderableType
from rich.table import Table

from confiture.durations import format_duration
from confiture.models.backfills import BackfillState
from confiture.output.terminal.console import CleanText


def backfills_table(backfills: Sequence[BackfillState], database: str) -> RenderableType:
    """A row for each backfill: how far it is, in batches of which size, and what it waits for."""
    if not backfills:
        return CleanText(f"No backfill is under way on {database}.")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in ("Migration", "Step"):
        table.add_column(name, overflow="fold")
    for name in ("Rows", "Of about", "Batches"):
        table.add_column(name, justify="right")
    table.add_column("State", overflow="fold")
    for one in backfills:
        table.add_row(
            CleanText(one.version),
            CleanText(one.step),
            f"{one.source_rows:,}",
            "unknown" if one.estimated_rows is None else f"{one.estimated_rows:,}",
            f"{one.batches:,}",
            describe_state(one),
        )
    return table


def describe_state(backfill: BackfillState) -> CleanText:
    """What a backfill does now, in words."""
    if backfill.state == "done":
        took = (backfill.finished_at - backfill.started_at).total_seconds() * 1000 if backfill.finished_at else None
        return CleanText(f"done {format_duration(took)} after it began", style="green")
    if not backfill.is_running:
        asked = f", asked to {backfill.control}" if backfill.control != "run" else ""
        return CleanText(f"stopped while {backfill.state}{asked}: `confiture migrate up` goes on", style="yellow")
    if backfill.waiting_for:
        return CleanText(backfill.waiting_for, style="yellow")
    asked = f", asked to {backfill.control}" if backfill.control != "run" else ""
    size = f", batches of {backfill.batch_rows:,}" if backfill.batch_rows is not None else ""
    return CleanText(f"{backfill.state}{size}{asked}")
