"""Questions about a plan as text, without redraws: the scrollback keeps everything."""

from __future__ import annotations

from rich.console import Console
from rich.padding import Padding

from confiture.models.review import Question, QuestionView, ReviewAction
from confiture.output.terminal.assessment import print_overview, reason_lines
from confiture.output.terminal.console import CleanText, print_wrapped
from confiture.output.terminal.plan import print_plan

ANSWERS = {
    "a": ReviewAction.APPLY,
    "d": ReviewAction.DRY_RUN,
    "s": ReviewAction.SHOW_SQL,
    "i": ReviewAction.SHOW_DETAILS,
    "k": ReviewAction.SKIP,
    "q": ReviewAction.STOP,
}
PROMPT = "a apply, d dry run, s SQL, i details,\nk VERSION skip, q stop (no default): "
"""The keys, within 60 columns."""


def print_question(console: Console, question: Question) -> None:
    """Print the plan, the SQL, or the reasons of the grades, and what is skipped or has changed."""
    if question.view is QuestionView.SQL:
        for plan in question.plans:
            print_plan(console, plan)
    elif question.view is QuestionView.DETAILS:
        _print_details(console, question)
    else:
        _print_plan(console, question)
    for skipped in question.skipped:
        reason = f": {skipped.reason}" if skipped.reason else ""
        text = f"Skipped: {skipped.version} {skipped.name}{reason}. It will be out of order later."
        print_wrapped(console, CleanText(text, style="yellow"))
    if question.problem is not None:
        print_wrapped(console, CleanText(question.problem, style="bold red"))


def _print_details(console: Console, question: Question) -> None:
    for migration in question.assessment.migrations:
        print_wrapped(console, CleanText(f"{migration.version} {migration.name}", style="bold"))
        for line in reason_lines(migration, all_grades=True):
            console.print(Padding(line, (0, 0, 0, 2), expand=False))


def _print_plan(console: Console, question: Question) -> None:
    if question.changes:
        print_wrapped(console, CleanText("Changed since the plan was shown; nothing was applied:", style="bold yellow"))
        for change in question.changes:
            print_wrapped(console, CleanText(f"  {change}"))
    where = f"{question.assessment.database} ({question.assessment.environment})"
    print_wrapped(console, CleanText(f"Plan for {where}:"))
    print_overview(console, question.assessment)
    if not question.plans:
        print_wrapped(console, CleanText("No migration is left to apply."))
