"""Batched backfills, for people and for machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table

from confiture.models.backfills import BackfillState
from confiture.models.words import duration
from confiture.report.machine import document
from confiture.report.objects import rounded
from confiture.report.terminal import Text


def backfills_view(backfills: Sequence[BackfillState], database: str) -> RenderableType:
    """A row for each backfill: how far it is, in batches of which size, and what it waits for."""
    if not backfills:
        return Text(f"No backfill is under way on {database}.")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in ("Migration", "Step"):
        table.add_column(name, overflow="fold")
    for name in ("Rows", "Of about", "Batches"):
        table.add_column(name, justify="right")
    table.add_column("State", overflow="fold")
    for one in backfills:
        table.add_row(
            Text(one.version),
            Text(one.step),
            f"{one.source_rows:,}",
            "unknown" if one.estimated_rows is None else f"{one.estimated_rows:,}",
            f"{one.batches:,}",
            state_of(one),
        )
    return table


def state_of(one: BackfillState) -> Text:
    """What a backfill does now, in words."""
    if one.state == "done":
        took = (one.finished_at - one.started_at).total_seconds() * 1000 if one.finished_at else None
        return Text(f"done {duration(took)} after it began", style="green")
    if not one.is_running:
        asked = f", asked to {one.control}" if one.control != "run" else ""
        return Text(f"stopped while {one.state}{asked}: `confiture migrate up` goes on", style="yellow")
    if one.waiting_for:
        return Text(one.waiting_for, style="yellow")
    asked = f", asked to {one.control}" if one.control != "run" else ""
    size = f", batches of {one.batch_rows:,}" if one.batch_rows is not None else ""
    return Text(f"{one.state}{size}{asked}")


def backfills_document(backfills: Sequence[BackfillState], database: str) -> dict[str, Any]:
    """The same as JSON: `confiture backfill status --format json`."""
    return document("confiture.backfills") | {
        "database": database,
        "backfills": [_backfill(one) for one in backfills],
    }


def _backfill(one: BackfillState) -> dict[str, Any]:
    return {
        "attempt": one.attempt,
        "segment": one.segment,
        "number": one.number,
        "version": one.version,
        "step": one.step,
        "source": one.source,
        "target": one.target,
        "state": one.state,
        "control": one.control,
        "waiting_for": one.waiting_for,
        "batch_rows": one.batch_rows,
        "runner": one.runner,
        "estimated_rows": one.estimated_rows,
        "started_at": one.started_at.isoformat(),
        "finished_at": one.finished_at.isoformat() if one.finished_at else None,
        "is_running": one.is_running,
        "batches": one.batches,
        "source_rows": one.source_rows,
        "written_rows": one.written_rows,
        "busy_ms": rounded(one.busy_ms),
        "ranges": one.ranges,
        "ranges_done": one.ranges_done,
    }
