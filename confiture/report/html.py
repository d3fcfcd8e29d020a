"""One self-contained HTML page of a run: no network, no scripts."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from confiture.models.reports import RunReport
from confiture.models.trace import Blocks
from confiture.models.words import duration
from confiture.report.colours import css_class
from confiture.report.isolation import left_out_of, reason_of, rehearsed_sentences, row_text, tenants_of
from confiture.report.pace import LEFT, RIGHT, picture
from confiture.report.sentences import blocked_sentences, estimate_sentences, retry_sentences, run_sentence
from confiture.report.timeline import Lane, lanes, run_end_ms
from confiture.report.words import byte_size, rows
from confiture.report.work import folded
from confiture.text import cut, excerpt_part, visible_block

_LEFT, _WIDTH = 260, 720
_LANE_HEIGHT, _FIRST_LANE = 24, 28
_TICKS = 4
_LONGEST_LABEL = 36


def run_page(report: RunReport) -> str:
    """The page, as text."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, finalize=_shown)
    template = environment.from_string((files("confiture.report") / "report.html.j2").read_text(encoding="utf-8"))
    found = lanes(report.locks)
    total_ms = run_end_ms(report)
    return template.render(
        title=f"{'Dry run' if report.dry_run else 'Migrate ' + report.direction.value} on {report.database}",
        sentence=run_sentence(report),
        estimate_lines=estimate_sentences(report),
        cards=_cards(report),
        report=report,
        works=folded(report.statements),
        blocked=blocked_sentences(report),
        notes=[*retry_sentences(report), *report.notes],
        held=found,
        lanes=[_lane(index, lane, total_ms) for index, lane in enumerate(found)],
        legend=_legend(found),
        ticks=[
            (_LEFT + tick * _WIDTH // _TICKS, duration(total_ms * tick / _TICKS) if tick else "0")
            for tick in range(_TICKS + 1)
        ],
        proofs=report.isolation.statements if report.isolation else (),
        proof_sentences=rehearsed_sentences(report.isolation) if report.isolation else [],
        reason_of=reason_of,
        tenants_of=tenants_of,
        left_out_of=left_out_of,
        row_text=row_text,
        excerpt_part=excerpt_part,
        pictures=[picture(backfill) for backfill in report.backfills],
        picture_left=LEFT,
        picture_right=RIGHT,
        loop_y=lambda index: index * _LANE_HEIGHT + _FIRST_LANE,
        rows=rows,
        duration=duration,
        bytes=byte_size,
    )


def _shown(value: object) -> object:
    return value if isinstance(value, int | float) else visible_block(str(value))


def _cards(report: RunReport) -> list[tuple[str, str]]:
    cards = [
        ("Measured", duration(report.duration_ms)),
        (
            f"Rows written{' (of backfills a sample)' if report.sampled_steps else ''}",
            rows(sum(migration.rows for migration in report.migrations)),
        ),
        ("Migrations", rows(len(report.migrations))),
    ]
    if report.dry_run:
        cards.append(("Tables kept busy", rows(len(report.locked_tables))))
        cards.append(("Warnings", rows(len(report.warnings))))
    if report.estimate:
        cards.insert(0, ("Estimate", duration(report.estimate.production_ms)))
    return cards


def _lane(index: int, lane: Lane, total_ms: float) -> dict[str, Any]:
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
                "style": css_class(bar.lock.felt.blocks),
                "title": f"{bar.lock.felt.sql}, up to {duration(bar.lock.held_ms)}",
            }
            for bar in lane.bars
        ],
    }


def _legend(found: Sequence[Lane]) -> list[tuple[str, str]]:
    shown = {bar.lock.felt.blocks for lane in found for bar in lane.bars}
    return [(blocks.value, css_class(blocks)) for blocks in Blocks if blocks in shown]
