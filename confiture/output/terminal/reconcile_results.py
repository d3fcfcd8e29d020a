"""The results of `reconcile` and `verify` as tables and sentences."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from confiture.durations import format_duration
from confiture.models.reconcile_results import VerifyReport, VerifyResult, VerifyVerdict
from confiture.output.terminal.console import CleanText, escape_markup, print_diagnostics, print_wrapped
from confiture.text import pluralize

_STYLES = {
    VerifyVerdict.HOLDS: "green",
    VerifyVerdict.FAILS: "bold red",
    VerifyVerdict.CANNOT_RUN: "bold yellow",
    VerifyVerdict.SKIPPED: "dim",
}
_READ_ONLY = "25006"
_WORDS = {
    VerifyVerdict.HOLDS: "ok",
    VerifyVerdict.FAILS: "fails",
    VerifyVerdict.CANNOT_RUN: "cannot run",
    VerifyVerdict.SKIPPED: "skipped",
}


def print_verify_report(console: Console, report: VerifyReport) -> None:
    """Print a line for each step, then the reasons for failed checks, and a summary."""
    if report.steps:
        console.print(_results_table(report))
        console.print()
    _print_failures(console, report)
    if report.with_verdict(VerifyVerdict.FAILS):
        console.print()
    for step in report.with_verdict(VerifyVerdict.CANNOT_RUN):
        line = f"{step.migration}: {step.step.name}: {_reason_text(step)}"
        print_wrapped(console, CleanText(line, style="yellow"))
    for note in report.notes:
        print_wrapped(console, CleanText(note))
    style = "bold red" if report.with_verdict(VerifyVerdict.FAILS) else "green"
    print_wrapped(console, CleanText(_summary(report), style=style))


def print_reconcile_results(console: Console, results: VerifyReport) -> None:
    """Print how tables compare with their queries: a sentence for each equal table, and details for differences."""
    _print_failures(console, results)
    if results.with_verdict(VerifyVerdict.FAILS) and results.with_verdict(VerifyVerdict.HOLDS):
        console.print()
    for step in results.with_verdict(VerifyVerdict.HOLDS):
        table = step.reconcile_result.table if step.reconcile_result else ""
        label = f"{step.migration}: {step.step.name}: " if step.migration else ""
        line = f"{label}{table}: {step.note} ({format_duration(step.duration_ms)}, {results.database})."
        print_wrapped(console, CleanText(line, style="green"))


def _print_failures(console: Console, results: VerifyReport) -> None:
    print_diagnostics(
        console, [step.diagnostic for step in results.with_verdict(VerifyVerdict.FAILS) if step.diagnostic]
    )


def _reason_text(step: VerifyResult) -> str:
    """Return the reason why a step cannot run."""
    if step.diagnostic is None:
        return VerifyVerdict.CANNOT_RUN.value
    if step.diagnostic.code == _READ_ONLY:
        return f"cannot run in a read-only transaction: {step.diagnostic.message}"
    return f"can no longer run: {step.diagnostic.message}"


def _results_table(report: VerifyReport) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("Migration", overflow="fold")
    table.add_column("Step", overflow="fold", ratio=1)
    table.add_column("Time", justify="right", no_wrap=True)
    table.add_column("Result", no_wrap=True)
    before = ""
    for step in report.steps:
        name = escape_markup(step.step.name)
        if step.note:
            name += f" [dim]({escape_markup(step.note)})[/dim]"
        took = "" if step.verdict is VerifyVerdict.SKIPPED else format_duration(step.duration_ms)
        result = CleanText(_WORDS[step.verdict], style=_STYLES[step.verdict])
        table.add_row("" if step.migration == before else escape_markup(step.migration), name, took, result)
        before = step.migration
    return table


def _summary(report: VerifyReport) -> str:
    where = f"on {report.database} ({report.environment})"
    ran = [step for step in report.steps if step.verdict is not VerifyVerdict.SKIPPED]
    if not ran:
        return f"Nothing to verify {where}: no applied migration has after_validation checks or reconcile steps."
    parts = [
        f"{number:,} {one if number == 1 else many}"
        for verdict, one, many in (
            (VerifyVerdict.HOLDS, "holds", "hold"),
            (VerifyVerdict.FAILS, "fails", "fail"),
            (VerifyVerdict.CANNOT_RUN, "cannot run", "cannot run"),
            (VerifyVerdict.SKIPPED, "skipped", "skipped"),
        )
        if (number := len(report.with_verdict(verdict)))
    ]
    return f"{pluralize(len(report.steps), 'step')} {where}: {', '.join(parts)}."
