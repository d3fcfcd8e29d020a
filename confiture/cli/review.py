"""`confiture migrate up --interactive`: ask for decisions about a plan on a terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from confiture.cli.context import CommandContext, is_ci, load_project_with_vars, usage_error
from confiture.cli.options import DatabaseOptions, SavedPlanFlags
from confiture.cli.streams import echo_stderr

if TYPE_CHECKING:
    from confiture.core.commands import UpOptions
    from confiture.core.review.review import PlanReview, ReviewedRun
    from confiture.models.review import Decision
    from confiture.plan.project import PlannedProject

_CONTINUE = "nothing more was applied; continue with `confiture migrate up --interactive`"


def review_on_terminal(
    context: CommandContext,
    options: SavedPlanFlags,
    settings_options: DatabaseOptions,
    up_options: UpOptions,
    var: list[str] | None,
    *,
    dry_run: bool,
) -> ReviewedRun | None:
    """Ask what to do with the pending migrations. Return None if nothing is to be applied.

    Raise InputError without a terminal, in CI, and for options that cannot be combined with questions.
    """
    if dry_run or options.plan is not None:
        other = "--dry-run" if dry_run else "--plan"
        raise usage_error(f"--interactive cannot be combined with {other}", f"remove --interactive or {other}")
    _require_terminal(context)
    settings = context.settings(settings_options)
    from confiture.core.commands import up
    from confiture.core.db.connection import resolve_database
    from confiture.core.review.review import PlanReview
    from confiture.models.events import Emitter
    from confiture.output.terminal.console import stderr_console
    from confiture.output.terminal.progress import choose_view

    def load() -> PlannedProject:
        return load_project_with_vars(context.settings(settings_options), var)

    with resolve_database(settings, echo_stderr) as target:

        def measure(project: PlannedProject, run_options: UpOptions) -> None:
            view = choose_view(stderr_console())
            with view:
                up(project, target, run_options, Emitter(view))

        return _ask_questions(PlanReview(load, target, up_options, measure))


def _require_terminal(context: CommandContext) -> None:
    """Raise InputError unless questions can be asked and answered."""
    if is_ci():
        reason = "the variable CI is set"
    elif not context.output_format.is_text:
        reason = f"--format {context.output_format} is for programs"
    elif not (sys.stdin.isatty() and sys.stderr.isatty()):
        reason = "stdin and stderr are not a terminal"
    else:
        return
    hint = "review with `confiture migrate plan --out FILE`, then run `confiture migrate up --plan FILE`"
    raise usage_error(f"--interactive asks questions, but {reason}", hint)


def _ask_questions(review: PlanReview) -> ReviewedRun | None:
    from confiture.models.review import Question, ReviewAction
    from confiture.output.terminal.console import stderr_console
    from confiture.output.terminal.review import print_question

    questions = review.questions()
    try:
        question: Question = next(questions)
        while True:
            print_question(stderr_console(), question)
            decision = _read_decision()
            if decision is None or decision.action is ReviewAction.STOP:
                echo_stderr(_CONTINUE)
                return None
            question = questions.send(decision)
    except StopIteration as end:
        reviewed: ReviewedRun | None = end.value
        if reviewed is None:
            echo_stderr("nothing to apply")
        return reviewed
    except KeyboardInterrupt:
        echo_stderr(f"\n{_CONTINUE}")
        raise
    finally:
        questions.close()


def _read_decision() -> Decision | None:
    """Read lines until one is an answer. Return None at the end of the input."""
    from confiture.models.review import Decision
    from confiture.output.terminal.review import ANSWERS, PROMPT

    while True:
        sys.stderr.write(PROMPT)
        sys.stderr.flush()
        line = sys.stdin.readline()
        if not line:
            sys.stderr.write("\n")
            return None
        key, _, rest = line.strip().partition(" ")
        action = ANSWERS.get(key.lower())
        if action is not None:
            return Decision(action=action, version=rest.strip() or None)
