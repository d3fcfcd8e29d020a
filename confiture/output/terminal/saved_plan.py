"""A saved plan as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.padding import Padding

from confiture.models.saved_plans import SavedPlan, reviewed_assessment
from confiture.output.terminal.assessment import print_overview, reason_lines
from confiture.output.terminal.console import CleanText, print_wrapped
from confiture.text import escape_lines, pluralize


def print_saved_plan(console: Console, plan: SavedPlan) -> None:
    """Print the target, the grades with their reasons, the findings, and the statements."""
    for text in origin_lines(plan):
        print_wrapped(console, CleanText(text))
    assessment = reviewed_assessment(plan)
    console.print()
    print_overview(console, assessment)
    for reviewed, migration in zip(assessment.migrations, plan.content["migrations"], strict=True):
        console.print()
        print_wrapped(console, CleanText(f"{migration['version']} {migration['name']}", style="bold"))
        for line in reason_lines(reviewed):
            console.print(Padding(line, (0, 0, 0, 2), expand=False))
        for text in statement_lines(migration):
            console.print(CleanText(f"  {text}"), soft_wrap=True)
    for finding in plan.content["review"]["findings"]:
        print_wrapped(console, CleanText(finding_text(finding)))


def origin_lines(plan: SavedPlan) -> Iterator[str]:
    """Yield sentences about what the plan is for, who made it, and how long it is valid."""
    content = plan.content
    number = pluralize(len(content["migrations"]), "migration")
    target, created = content["target"], content["created"]
    yield f"{number} for the project {content['project']} in {content['environment']}."
    yield (
        f"Database {target['database']} on the server {target['system_identifier']},"
        f" PostgreSQL {target['server_version'] // 10_000}, as {target['role']}."
    )
    commit = f", commit {created['commit']}" if created["commit"] else ""
    dirty = " with uncommitted changes" if created["is_dirty"] else ""
    yield f"Saved at {created['at']} by {created['author'] or 'an unknown user'} on {created['host']}{commit}{dirty}."
    yield f"Valid until {content['expires_at']}." if content["expires_at"] else "Valid without a time limit."
    yield f"Hash {plan.digest}."


def statement_lines(migration: dict[str, Any]) -> Iterator[str]:
    """Yield the segments, steps, and statements of a migration."""
    for segment in migration["segments"]:
        yield f"segment {segment['number']} ({segment['transaction']})"
        for step in segment["steps"]:
            yield f"  {step['phase']}: {step['name']}" + (f" ({step['content']})" if step["content"] else "")
            for statement in step["statements"]:
                yield from (f"    {line}" for line in escape_lines(f"{statement};"))


def finding_text(finding: dict[str, Any]) -> str:
    """Return a lint finding as one line."""
    place = f"{finding['place']}: " if finding["place"] else ""
    return f"{place}{finding['severity']}: {finding['message']} ({finding['rule']})"
