"""`confiture migrate history`: the events of the history."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from confiture.cli.context import error_boundary, usage_error
from confiture.cli.option_groups import expand_options
from confiture.cli.options import DATA_FORMAT_HELP, DatabaseOptions, format_option
from confiture.cli.protection import reads_database
from confiture.cli.streams import echo_stderr
from confiture.durations import UNIT_MS, parse_duration_ms
from confiture.output.document import Document
from confiture.output.formats import TEXT, OutputFormat


@reads_database
@expand_options
def history(
    *,
    version: Annotated[
        str | None, typer.Argument(metavar="[VERSION]", help="One migration; default: all migrations.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="Only events since 2026-11-30, or of the last 12h, 7d."),
    ] = None,
    event: Annotated[
        str | None,
        typer.Option("--event", metavar="EVENT", help="Only events of this kind, such as applied or failed."),
    ] = None,
    settings_options: DatabaseOptions,
    output_format: Annotated[OutputFormat, format_option(Document.HISTORY, DATA_FORMAT_HELP)] = TEXT,
) -> None:
    """Show who applied and reverted which migration, when, and why: newest first, including failed runs.

    Examples:

        confiture migrate history

        confiture migrate history 004 --env production

        confiture migrate history --event failed --since 7d --format json
    """
    with error_boundary(output_format) as context:
        from confiture.core.db.connection import resolve_database
        from confiture.core.history import EventFilter, read_events
        from confiture.output.writer import HistorySummary

        event_filter = EventFilter(version=version, event=_parse_event(event), since=_parse_since(since))
        settings = context.settings(settings_options)
        with resolve_database(settings, echo_stderr) as target:
            events = read_events(settings, target, event_filter)
        context.writer.history(
            HistorySummary(
                events=events, environment=settings.environment, database=target.label, project=settings.project
            )
        )


def _parse_event(text: str | None) -> str | None:
    from confiture.models.history_events import HistoryEventKind
    from confiture.text import did_you_mean

    kinds = [kind.value for kind in HistoryEventKind]
    if text is not None and text not in kinds:
        hint = did_you_mean(text, kinds) or f"events: {', '.join(kinds)}"
        raise usage_error(f"--event {text!r} is not an event", hint)
    return text


def _parse_since(text: str | None) -> datetime | None:
    """Parse a date, a time, or a duration before now. Times without an offset are local."""
    if text is None:
        return None
    days = text[:-1] if text.endswith("d") and text[:-1].isdecimal() else None
    milliseconds = parse_duration_ms(text) if days is None else int(days[:6]) * UNIT_MS["h"] * 24
    try:
        if milliseconds is not None:
            return datetime.now(UTC) - timedelta(milliseconds=milliseconds)
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError) as error:
        hint = "write a date such as 2026-11-30, a time such as 2026-11-30T14:00, or a duration such as 12h or 7d"
        raise usage_error(f"--since {text!r} is not a time", hint) from error
