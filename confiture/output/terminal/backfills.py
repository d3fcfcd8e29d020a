"""Batched backfills as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import RenderableType
from rich.table import Table

from confiture.durations import format_duration
from confiture.models.backfills import BackfillState
from confiture.output.terminal.console import CleanText


def backfills_table(backfills: Sequence[BackfillState], database: str) -> RenderableType:
    """Return a table with a row for each backfill: its progress, its batch size, and what it is waiting for."""
    if not backfills:
        return CleanText(f"No unfinished backfills on {database}.")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in ("Migration", "Step"):
        table.add_column(name, overflow="fold")
    for name in ("Rows", "Estimated", "Batches"):
        table.add_column(name, justify="right")
    table.add_column("State", overflow="fold")
    for backfill in backfills:
        table.add_row(
            CleanText(backfill.version),
            CleanText(backfill.step),
            f"{backfill.source_rows:,}",
            "unknown" if backfill.estimated_rows is None else f"{backfill.estimated_rows:,}",
            f"{backfill.batches:,}",
            describe_state(backfill),
        )
    return table


def describe_state(backfill: BackfillState) -> CleanText:
    """Return the state of a backfill in words."""
    if backfill.state == "done":
        took = (backfill.finished_at - backfill.started_at).total_seconds() * 1000 if backfill.finished_at else None
        return CleanText(f"done in {format_duration(took)}", style="green")
    request = f", {backfill.control} requested" if backfill.control != "run" else ""
    if not backfill.is_running:
        return CleanText(f"stopped while {backfill.state}{request}. Next: run `confiture migrate up`", style="yellow")
    if backfill.waiting_for:
        return CleanText(backfill.waiting_for, style="yellow")
    size = f", batches of {backfill.batch_rows:,}" if backfill.batch_rows is not None else ""
    return CleanText(f"{backfill.state}{size}{request}")
