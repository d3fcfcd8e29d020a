"""The results of tenant isolation proofs as tables and sentences, for `tenancy prove` and dry runs."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.console import Console
from rich.table import Table

from confiture.durations import format_duration, format_duration_long
from confiture.models.tenancy_proofs import (
    ColumnValues,
    IsolationProof,
    IsolationReport,
    IsolationVerdict,
    ProvedStatement,
)
from confiture.output.terminal.console import CleanText, escape_markup, print_wrapped
from confiture.redaction import row_values
from confiture.text import cut, pluralize

_STYLES = {
    IsolationVerdict.ISOLATED: "green",
    IsolationVerdict.MIXED: "bold red",
    IsolationVerdict.NOT_PROVABLE: "yellow",
    IsolationVerdict.NO_TENANTS: "yellow",
    IsolationVerdict.NOTHING_READ: "dim",
}
MOST_LEAKS = 5
"""The maximum number of differences printed per statement."""
_MOST_WIDTH = 60


def print_isolation(console: Console, report: IsolationReport) -> None:
    """Print the rows that mix tenants by statement, then a line for each statement and a summary."""
    for statement in report.with_verdict(IsolationVerdict.MIXED):
        for line in _mixed_lines(statement):
            _print_line(console, line)
        console.print()
    if report.statements:
        console.print(_proofs_table(report))
        console.print()
    for line in _reason_lines(report):
        _print_line(console, line)
    where = f" on {report.database} ({report.environment})"
    for sentence in (_summary(report, where), *_limitations(report, "--all checks every tenant")):
        _print_line(
            console, CleanText(sentence, style="bold red" if report.with_verdict(IsolationVerdict.MIXED) else "default")
        )


def dry_run_tables(report: IsolationReport) -> list[Table | CleanText]:
    """Return the rows that mix tenants and the table of a dry run's proofs. The dry-run warnings name the problems."""
    if not report.statements:
        return []
    parts: list[Table | CleanText] = []
    for statement in report.with_verdict(IsolationVerdict.MIXED):
        parts += [*_mixed_lines(statement), CleanText()]
    parts += [_proofs_table(report), CleanText(), *_reason_lines(report)]
    return [*parts, *map(CleanText, dry_run_summary(report))]


def dry_run_summary(report: IsolationReport) -> list[str]:
    """Return a summary of a dry run's proofs, with their limits and their duration."""
    duration = f"The proofs took {format_duration_long(report.duration_ms)}; the other times do not include the proofs."
    return [
        _summary(report, ", each checked before it ran"),
        *_limitations(report, "--tenants N checks more"),
        duration,
    ]


def reason_text(statement: ProvedStatement) -> str | None:
    """Return why a statement could not be checked, and the next step; None if it is isolated or mixed."""
    proof = statement.proof
    if proof.verdict in (IsolationVerdict.ISOLATED, IsolationVerdict.MIXED):
        return None
    return f"{proof.reason or proof.verdict.value}{f'; {proof.hint}' if proof.hint else ''}"


def tenants_text(proof: IsolationProof) -> str:
    """Return the checked tenants as `10 of 340`; empty without a sample."""
    return f"{len(proof.sample.tenants):,} of {proof.sample.total:,}" if proof.sample else ""


def skipped_columns_text(proof: IsolationProof) -> str:
    """Return the columns that were not compared, with reasons; empty if all columns were compared."""
    return ", ".join(f"{skipped.column}, {skipped.reason}" for skipped in proof.skipped_columns)


def _print_line(console: Console, line: CleanText) -> None:
    if line.no_wrap:
        console.print(line, soft_wrap=True)
    else:
        print_wrapped(console, line)


def _summary(report: IsolationReport, target: str) -> str:
    if not report.statements:
        return f"Nothing to prove: no statement reads rows with {report.column}."
    words = {
        IsolationVerdict.ISOLATED: "isolated",
        IsolationVerdict.MIXED: "mixed",
        IsolationVerdict.NOT_PROVABLE: "not provable",
        IsolationVerdict.NO_TENANTS: "without tenants",
    }
    parts = [
        f"{len(report.with_verdict(verdict))} {word}" for verdict, word in words.items() if report.with_verdict(verdict)
    ]
    return f"{pluralize(len(report.statements), 'statement')}{target}: {', '.join(parts)}."


def _limitations(report: IsolationReport, further: str) -> Iterator[str]:
    """Yield the limits of the proofs."""
    proof_samples = (statement.proof.sample for statement in report.statements)
    samples = [sample for sample in proof_samples if sample and sample.tenants]
    if samples and all(sample.is_complete for sample in samples):
        yield "All tenants were checked. The result applies to the current data."
    elif samples:
        widest = max(samples, key=lambda sample: sample.total)
        checked = f"{len(widest.tenants):,} of {pluralize(widest.total, 'tenant')} were checked: {widest.method}."
        yield f"A sample: {checked} {further}."


def _mixed_lines(statement: ProvedStatement) -> Iterator[CleanText]:
    head = CleanText(f"mixed: {statement.migration}: {statement.step.name}: ", style="bold red")
    yield head.append(f"{statement.target} mixes tenants", style="bold default")
    yield CleanText(f"  --> {statement.span}", style="cyan", no_wrap=True)
    leaks = statement.proof.leaks
    for leak in leaks[:MOST_LEAKS]:
        yield CleanText(f"  {leak.description}")
        for values in leak.first_rows:
            yield CleanText(f"    {row_text(values)}", style="dim", no_wrap=True)
    if len(leaks) > MOST_LEAKS:
        yield CleanText(f"  ... and {len(leaks) - MOST_LEAKS} more; the JSON report lists all")


def _reason_lines(report: IsolationReport) -> Iterator[CleanText]:
    without_proof = (
        *report.with_verdict(IsolationVerdict.NOT_PROVABLE),
        *report.with_verdict(IsolationVerdict.NO_TENANTS),
    )
    for statement in without_proof:
        proof = statement.proof
        text = CleanText(f"{statement.migration}: {statement.step.name}: {statement.target}: ", style="yellow")
        yield text.append(proof.reason or proof.verdict.value, style="default")
        if proof.hint:
            yield CleanText("  next: ", style="green").append(proof.hint, style="default")


def row_text(values: ColumnValues) -> str:
    """Return a row as `id = 1, name = NULL`, with long values shortened."""
    return ", ".join(
        f"{name} = {'NULL' if value is None else cut(value, _MOST_WIDTH)}" for name, value in row_values(values).items()
    )


def _proofs_table(report: IsolationReport) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("Migration", overflow="fold")
    table.add_column("Step", overflow="fold", ratio=1)
    table.add_column("Writes", overflow="fold")
    table.add_column("Tenants", justify="right", no_wrap=True)
    table.add_column("Rows", justify="right", no_wrap=True)
    table.add_column("Time", justify="right", no_wrap=True)
    table.add_column("Result", no_wrap=True)
    before = ""
    for statement in report.statements:
        proof = statement.proof
        name = escape_markup(statement.step.name)
        if proof.skipped_columns:
            name += f" [dim](not compared: {escape_markup(skipped_columns_text(proof))})[/dim]"
        table.add_row(
            "" if statement.migration == before else escape_markup(statement.migration),
            name,
            escape_markup(statement.target),
            tenants_text(proof),
            f"{proof.rows:,}" if proof.sample else "",
            format_duration(proof.duration_ms),
            CleanText(proof.verdict.value, style=_STYLES[proof.verdict]),
        )
        before = statement.migration
    return table
