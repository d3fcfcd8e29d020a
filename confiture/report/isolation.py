"""Whether tenants stay apart, by proof, for people and for machines: of `tenancy prove`, and of a dry run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from confiture.models.isolation import IsolationProof, IsolationReport, ProvedStatement, Standing, Values
from confiture.models.words import count, duration, duration_in_prose
from confiture.report.machine import document
from confiture.report.objects import proved_object
from confiture.report.terminal import Text, escape, print_text
from confiture.text import cut

_STYLES = {
    Standing.ISOLATED: "green",
    Standing.MIXED: "bold red",
    Standing.NOT_PROVABLE: "yellow",
    Standing.NO_TENANTS: "yellow",
    Standing.NOTHING_READ: "dim",
}
MOST_LEAKS = 5
"""So many differences of a statement are shown."""
_MOST_WIDTH = 60


def print_isolation(console: Console, found: IsolationReport) -> None:
    """What mixes tenants, with rows; then a line for each statement, and a sentence that sums up."""
    for statement in found.of(Standing.MIXED):
        for line in _mixed(statement):
            _print(console, line)
        console.print()
    if found.statements:
        console.print(_table(found))
        console.print()
    for line in _reasons(found):
        _print(console, line)
    where = f" on {found.database} ({found.environment})"
    for sentence in (_sum(found, where), *_sample(found, "--all looks at every tenant")):
        _print(console, Text(sentence, style="bold red" if found.of(Standing.MIXED) else "default"))


def rehearsed_parts(found: IsolationReport) -> list[Table | Text]:
    """The same of a dry run, whose warnings say what mixes tenants; here are the rows."""
    if not found.statements:
        return []
    parts: list[Table | Text] = []
    for one in found.of(Standing.MIXED):
        parts += [*_mixed(one), Text()]
    parts += [_table(found), Text(), *_reasons(found)]
    return [*parts, *map(Text, rehearsed_sentences(found))]


def rehearsed_sentences(found: IsolationReport) -> list[str]:
    """What the proofs of a dry run come to."""
    took = f"The proofs took {duration_in_prose(found.duration_ms)}, which no other time includes."
    return [_sum(found, ", each looked at before it ran"), *_sample(found, "--tenants N looks at more"), took]


def reason_of(one: ProvedStatement) -> str | None:
    """Why nothing was proved of a statement, and the next step; None where it was."""
    proof = one.proof
    if proof.standing in (Standing.ISOLATED, Standing.MIXED):
        return None
    return f"{proof.reason or proof.standing.value}{f'; {proof.hint}' if proof.hint else ''}"


def tenants_of(proof: IsolationProof) -> str:
    """`10 of 340`; empty where it did not come to that."""
    return f"{len(proof.sample.tenants):,} of {proof.sample.total:,}" if proof.sample else ""


def left_out_of(proof: IsolationProof) -> str:
    """The columns that were not compared, and why; empty where all were."""
    return ", ".join(f"{one.column}, {one.reason}" for one in proof.left_out)


def _print(console: Console, line: Text) -> None:
    if line.no_wrap:
        console.print(line, soft_wrap=True)
    else:
        print_text(console, line)


def _sum(found: IsolationReport, where: str) -> str:
    if not found.statements:
        return f"Nothing to prove: no statement reads rows with {found.column}."
    words = {
        Standing.ISOLATED: "isolated",
        Standing.MIXED: "mixed",
        Standing.NOT_PROVABLE: "not provable",
        Standing.NO_TENANTS: "without tenants",
    }
    parts = [f"{len(found.of(one))} {word}" for one, word in words.items() if found.of(one)]
    return f"{count(len(found.statements), 'statement')}{where}: {', '.join(parts)}."


def _sample(found: IsolationReport, more: str) -> Iterator[str]:
    """What the proofs do not say."""
    samples = [one.proof.sample for one in found.statements if one.proof.sample and one.proof.sample.tenants]
    if samples and all(sample.is_whole for sample in samples):
        yield "All tenants were looked at; it holds for the data that there are."
    elif samples:
        widest = max(samples, key=lambda sample: sample.total)
        looked = f"{len(widest.tenants):,} of {count(widest.total, 'tenant')} were looked at: {widest.how}."
        yield f"A sample: {looked} {more}."


def _mixed(statement: ProvedStatement) -> Iterator[Text]:
    head = Text(f"mixed: {statement.migration}: {statement.step.name}: ", style="bold red")
    yield head.append(f"{statement.target} mixes tenants", style="bold default")
    yield Text(f"  --> {statement.span}", style="cyan", no_wrap=True)
    leaks = statement.proof.leaks
    for leak in leaks[:MOST_LEAKS]:
        yield Text(f"  {leak.sentence}")
        for values in leak.shown:
            yield Text(f"    {row_text(values)}", style="dim", no_wrap=True)
    if len(leaks) > MOST_LEAKS:
        yield Text(f"  ... and {len(leaks) - MOST_LEAKS} more; the JSON has them all")


def _reasons(found: IsolationReport) -> Iterator[Text]:
    for one in (*found.of(Standing.NOT_PROVABLE), *found.of(Standing.NO_TENANTS)):
        proof = one.proof
        text = Text(f"{one.migration}: {one.step.name}: {one.target}: ", style="yellow")
        yield text.append(proof.reason or proof.standing.value, style="default")
        if proof.hint:
            yield Text("  next: ", style="green").append(proof.hint, style="default")


def row_text(values: Values) -> str:
    """A row as `id = 1, name = NULL`, its longest values cut."""
    return ", ".join(
        f"{name} = {'NULL' if value is None else cut(value, _MOST_WIDTH)}" for name, value in values.items()
    )


def _table(found: IsolationReport) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("Migration", overflow="fold")
    table.add_column("Step", overflow="fold", ratio=1)
    table.add_column("Writes", overflow="fold")
    table.add_column("Tenants", justify="right", no_wrap=True)
    table.add_column("Rows", justify="right", no_wrap=True)
    table.add_column("Time", justify="right", no_wrap=True)
    table.add_column("Tenants stay apart", no_wrap=True)
    before = ""
    for one in found.statements:
        proof = one.proof
        name = escape(one.step.name)
        if proof.left_out:
            name += f" [dim](not compared: {escape(left_out_of(proof))})[/dim]"
        table.add_row(
            "" if one.migration == before else escape(one.migration),
            name,
            escape(one.target),
            tenants_of(proof),
            f"{proof.rows:,}" if proof.sample else "",
            duration(proof.duration_ms),
            Text(proof.standing.value, style=_STYLES[proof.standing]),
        )
        before = one.migration
    return table


def isolation_document(found: IsolationReport) -> dict[str, Any]:
    """The same as JSON."""
    return document("confiture.isolation") | {
        "environment": found.environment,
        "database": found.database,
        "column": found.column,
        "statements": [proved_object(one) for one in found.statements],
    }
