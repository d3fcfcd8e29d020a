"""A self-contained HTML page for a run, without network access or scripts."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from confiture.durations import format_duration
from confiture.models.reports import RunReport
from confiture.models.trace import BlockedAccess
from confiture.output.colors import css_class
from confiture.output.html.backfill_chart import LEFT, RIGHT, draw_chart
from confiture.output.lock_lanes import LockLane, lock_lanes, run_end_ms
from confiture.output.numbers import format_rows
from confiture.output.statement_cost import describe_memory, group_batches
from confiture.output.summaries import (
    blocked_summary,
    estimate_summary,
    retry_summary,
    run_summary,
    server_messages_summary,
)
from confiture.output.terminal.tenancy_proofs import (
    dry_run_summary,
    reason_text,
    row_text,
    skipped_columns_text,
    tenants_text,
)
from confiture.text import cut, escape_block, escape_ci_commands_in_html, excerpt_part, format_bytes

_LEFT, _WIDTH = 260, 720
_LANE_HEIGHT, _FIRST_LANE = 24, 28
_TICKS = 4
_LONGEST_LABEL = 36


def run_page(report: RunReport) -> str:
    """Return the page as HTML."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, finalize=_escape_value)
    template = environment.from_string((files("confiture.output.html") / "report.html.j2").read_text(encoding="utf-8"))
    lanes = lock_lanes(report.locks)
    total_ms = run_end_ms(report)
    page = template.render(
        title=f"{'Dry run' if report.dry_run else 'Migrate ' + report.direction.value} on {report.database}",
        sentence=run_summary(report),
        estimate_lines=estimate_summary(report),
        cards=_cards(report),
        report=report,
        works=group_batches(report.statements),
        blocked=blocked_summary(report),
        notes=[*retry_summary(report), *report.notes],
        server_messages=server_messages_summary(report),
        held=lanes,
        lanes=[_lane_object(index, lane, total_ms) for index, lane in enumerate(lanes)],
        legend=_legend_entries(lanes),
        ticks=[
            (_LEFT + tick * _WIDTH // _TICKS, format_duration(total_ms * tick / _TICKS) if tick else "0")
            for tick in range(_TICKS + 1)
        ],
        proofs=report.isolation.statements if report.isolation else (),
        proof_sentences=dry_run_summary(report.isolation) if report.isolation else [],
        reason_of=reason_text,
        tenants_of=tenants_text,
        left_out_of=skipped_columns_text,
        row_text=row_text,
        excerpt_part=excerpt_part,
        pictures=[draw_chart(backfill) for backfill in report.backfills],
        picture_left=LEFT,
        picture_right=RIGHT,
        lane_height=_LANE_HEIGHT,
        first_lane_y=_FIRST_LANE,
        rows=format_rows,
        duration=format_duration,
        bytes=format_bytes,
        memory=describe_memory,
    )
    # `--report /dev/stdout` may write the page to a log
    return escape_ci_commands_in_html(page)


def _escape_value(value: object) -> object:
    return value if isinstance(value, int | float) else escape_block(str(value))


def _cards(report: RunReport) -> list[tuple[str, str]]:
    cards = [
        ("Measured", format_duration(report.duration_ms)),
        (
            f"Rows written{' (backfills: a sample)' if report.sampled_steps else ''}",
            format_rows(sum(migration.rows for migration in report.migrations)),
        ),
        ("Migrations", format_rows(len(report.migrations))),
    ]
    if report.dry_run:
        cards.append(("Locked tables", format_rows(len(report.locked_tables))))
        cards.append(("Warnings", format_rows(len(report.warnings))))
    if report.estimate:
        cards.insert(0, ("Estimate", format_duration(report.estimate.production_ms)))
    return cards


def _lane_object(index: int, lane: LockLane, total_ms: float) -> dict[str, Any]:
    scale = _WIDTH / total_ms if total_ms else 0.0
    label = cut(lane.relation, _LONGEST_LABEL)
    return {
        "index": index,
        "relation": lane.relation,
        "label": label,
        "bars": [
            {
                "x": round(_LEFT + bar.start_ms * scale, 1),
                "width": max(round((bar.end_ms - bar.start_ms) * scale, 1), 1.0),
                "style": css_class(bar.lock.effective_mode.blocked_access),
                "title": f"{bar.lock.effective_mode.sql}, up to {format_duration(bar.lock.held_ms)}",
            }
            for bar in lane.bars
        ],
    }


def _legend_entries(lanes_shown: Sequence[LockLane]) -> list[tuple[str, str]]:
    present = {bar.lock.effective_mode.blocked_access for lane in lanes_shown for bar in lane.bars}
    return [(access.value, css_class(access)) for access in BlockedAccess if access in present]
