"""What reconciling and verifying found, for people and for machines."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from confiture.models.reconciling import Verdict, Verification, Verified
from confiture.models.words import count, duration
from confiture.report.machine import document
from confiture.report.objects import diagnostics_list, reconciled_object
from confiture.report.terminal import Text, escape, print_diagnostics, print_text

_STYLES = {Verdict.HOLDS: "green", Verdict.FAILS: "bold red", Verdict.CANNOT_RUN: "bold yellow", Verdict.SKIPPED: "dim"}
_READ_ONLY = "25006"
_WORDS = {Verdict.HOLDS: "ok", Verdict.FAILS: "fails", Verdict.CANNOT_RUN: "cannot run", Verdict.SKIPPED: "skipped"}


def print_verification(console: Console, found: Verification) -> None:
    """A line for each step, then why those that do not hold do not, and a sentence that sums up."""
    if found.steps:
        console.print(_table(found))
        console.print()
    _print_failing(console, found)
    if found.of(Verdict.FAILS):
        console.print()
    for step in found.of(Verdict.CANNOT_RUN):
        told = f"{step.migration}: {step.step.name}: {_reason(step)}"
        print_text(console, Text(told, style="yellow"))
    for note in found.notes:
        print_text(console, Text(note))
    style = "bold red" if found.of(Verdict.FAILS) else "green"
    print_text(console, Text(_sentence(found), style=style))


def print_reconciled(console: Console, found: Verification) -> None:
    """Tables held against their queries: what is equal in a sentence each, what differs in full."""
    _print_failing(console, found)
    if found.of(Verdict.FAILS) and found.of(Verdict.HOLDS):
        console.print()
    for step in found.of(Verdict.HOLDS):
        table = step.reconciled.table if step.reconciled else ""
        label = f"{step.migration}: {step.step.name}: " if step.migration else ""
        told = f"{label}{table}: {step.note} ({duration(step.duration_ms)}, {found.database})."
        print_text(console, Text(told, style="green"))


def _print_failing(console: Console, found: Verification) -> None:
    print_diagnostics(console, [step.diagnostic for step in found.of(Verdict.FAILS) if step.diagnostic])


def _reason(step: Verified) -> str:
    """Why a step cannot run."""
    if step.diagnostic is None:
        return Verdict.CANNOT_RUN.value
    when = "read-only" if step.diagnostic.code == _READ_ONLY else "any more"
    return f"cannot run {when}: {step.diagnostic.message}"


def _table(found: Verification) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("Migration", overflow="fold")
    table.add_column("Step", overflow="fold", ratio=1)
    table.add_column("Time", justify="right", no_wrap=True)
    table.add_column("Result", no_wrap=True)
    before = ""
    for step in found.steps:
        name = escape(step.step.name)
        if step.note:
            name += f" [dim]({escape(step.note)})[/dim]"
        took = "" if step.verdict is Verdict.SKIPPED else duration(step.duration_ms)
        result = Text(_WORDS[step.verdict], style=_STYLES[step.verdict])
        table.add_row("" if step.migration == before else escape(step.migration), name, took, result)
        before = step.migration
    return table


def _sentence(found: Verification) -> str:
    where = f"on {found.database} ({found.environment})"
    ran = [step for step in found.steps if step.verdict is not Verdict.SKIPPED]
    if not ran:
        return f"Nothing to verify {where}: no applied migration has checks in after_validation, or reconciles."
    parts = [
        f"{number:,} {one if number == 1 else many}"
        for verdict, one, many in (
            (Verdict.HOLDS, "holds", "hold"),
            (Verdict.FAILS, "fails", "fail"),
            (Verdict.CANNOT_RUN, "cannot run", "cannot run"),
            (Verdict.SKIPPED, "skipped", "skipped"),
        )
        if (number := len(found.of(verdict)))
    ]
    return f"{count(len(found.steps), 'step')} {where}: {', '.join(parts)}."


def verification_document(found: Verification, layout: str) -> dict[str, Any]:
    """The same as JSON; `layout` is `confiture.verify` or `confiture.reconcile`."""
    return document(layout) | {
        "environment": found.environment,
        "database": found.database,
        "steps": [_step(step) for step in found.steps],
        "notes": list(found.notes),
    }


def _step(step: Verified) -> dict[str, Any]:
    return {
        "migration": step.step.version or None,
        "phase": step.step.phase.value if step.migration else None,
        "number": step.step.number if step.migration else None,
        "name": step.step.name,
        "file": step.step.span.path,
        "line": step.step.span.line,
        "verdict": step.verdict.value,
        "execution_time_ms": round(step.duration_ms, 3),
        "note": step.note,
        "reconciled": reconciled_object(step.reconciled) if step.reconciled else None,
        "diagnostics": diagnostics_list((step.diagnostic,) if step.diagnostic else ()),
    }
