"""Which tables are whose, and whether tenants stay apart, for people and for machines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from confiture.models.isolation import (
    Belonging,
    IsolationProof,
    IsolationReport,
    Leak,
    LeakKind,
    MappedTable,
    ProvedStatement,
    Standing,
    TenancyMap,
    Values,
)
from confiture.report.machine import VERSION
from confiture.report.terminal import print_text
from confiture.report.words import count, duration

_STYLES = {
    Standing.ISOLATED: "green",
    Standing.MIXED: "bold red",
    Standing.NOT_PROVABLE: "yellow",
    Standing.NO_TENANTS: "yellow",
    Standing.NOTHING_READ: "dim",
}
_BELONGING = {Belonging.TENANT: "green", Belonging.REGISTRY: "green", Belonging.BY_KEY: "yellow"}
_KINDS = {
    LeakKind.FOREIGN: "that it gets only because of other tenants' rows",
    LeakKind.LOST: "that other tenants' rows keep it from getting",
    LeakKind.ASTRAY: "that are made of its data for somebody else",
    LeakKind.UNOWNED: "that are made of its data without a tenant",
    LeakKind.SHARED: "that other tenants lay claim to as well",
}
_MOST_LEAKS = 5
_MOST_WIDTH = 60


def print_isolation(console: Console, found: IsolationReport) -> None:
    """What mixes tenants, with rows; then a line for each statement, and a sentence that sums up."""
    for statement in found.of(Standing.MIXED):
        _print_mixed(console, statement)
        console.print()
    if found.statements:
        console.print(_proofs(found))
        console.print()
    for statement in (*found.of(Standing.NOT_PROVABLE), *found.of(Standing.NO_TENANTS)):
        _print_reason(console, statement)
    for line in proof_sentences(found):
        print_text(console, Text(line, style="bold red" if found.of(Standing.MIXED) else "default"))


def proof_sentences(found: IsolationReport) -> Iterator[str]:
    """What the proofs come to, and what they do not say."""
    if not found.statements:
        yield f"Nothing to prove: no statement reads rows with {found.column}."
        return
    words = {
        Standing.ISOLATED: "isolated",
        Standing.MIXED: "mixed",
        Standing.NOT_PROVABLE: "not provable",
        Standing.NO_TENANTS: "without tenants",
    }
    parts = [f"{len(found.of(one))} {word}" for one, word in words.items() if found.of(one)]
    where = f"on {found.database} ({found.environment})"
    yield f"{count(len(found.statements), 'statement')} {where}: {', '.join(parts)}."
    samples = [one.proof.sample for one in found.statements if one.proof.sample and one.proof.sample.tenants]
    if samples and all(sample.is_whole for sample in samples):
        yield "All tenants were looked at; it holds for the data that there are."
    elif samples:
        widest = max(samples, key=lambda sample: sample.total)
        looked = f"{len(widest.tenants):,} of {count(widest.total, 'tenant')} were looked at: {widest.how}."
        yield f"A sample: {looked} --all looks at every tenant."


def leak_sentence(leak: Leak) -> str:
    """`tenant 7: 12 rows that it gets only because of other tenants' rows`."""
    return f"tenant {leak.tenant}: {count(leak.rows, 'row')} {_KINDS[leak.kind]}"


def _print_mixed(console: Console, statement: ProvedStatement) -> None:
    head = Text(f"mixed: {statement.migration}: {statement.step.name}: ", style="bold red")
    print_text(console, head.append(f"{statement.target} mixes tenants", style="bold default"))
    console.print(Text(f"  --> {statement.span}", style="cyan"), soft_wrap=True)
    leaks = statement.proof.leaks
    for leak in leaks[:_MOST_LEAKS]:
        print_text(console, Text(f"  {leak_sentence(leak)}"))
        for values in leak.shown:
            console.print(Text(f"    {_row_text(values)}", style="dim"), soft_wrap=True)
    if len(leaks) > _MOST_LEAKS:
        print_text(console, Text(f"  ... and {len(leaks) - _MOST_LEAKS} more; the JSON has them all"))


def _print_reason(console: Console, statement: ProvedStatement) -> None:
    proof = statement.proof
    text = Text(f"{statement.migration}: {statement.step.name}: {statement.target}: ", style="yellow")
    print_text(console, text.append(proof.reason or proof.standing.value, style="default"))
    if proof.hint:
        print_text(console, Text("  next: ", style="green").append(proof.hint, style="default"))


def _row_text(values: Values) -> str:
    return ", ".join(f"{name} = {_shortened(value)}" for name, value in values.items())


def _shortened(value: str | None) -> str:
    if value is None:
        return "NULL"
    return value if len(value) <= _MOST_WIDTH else f"{value[: _MOST_WIDTH - 1]}…"


def _proofs(found: IsolationReport) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("Migration", overflow="fold")
    table.add_column("Step", overflow="fold", ratio=1)
    table.add_column("Writes", overflow="fold")
    table.add_column("Tenants", justify="right", no_wrap=True)
    table.add_column("Rows", justify="right", no_wrap=True)
    table.add_column("Time", justify="right", no_wrap=True)
    table.add_column("Result", no_wrap=True)
    before = ""
    for one in found.statements:
        proof = one.proof
        name = escape(one.step.name)
        if proof.left_out:
            name += f" [dim](not compared: {escape(_left_out(proof))})[/dim]"
        table.add_row(
            "" if one.migration == before else escape(one.migration),
            name,
            escape(one.target),
            f"{len(proof.sample.tenants):,} of {proof.sample.total:,}" if proof.sample else "",
            f"{proof.rows:,}" if proof.sample else "",
            duration(proof.duration_ms),
            Text(proof.standing.value, style=_STYLES[proof.standing]),
        )
        before = one.migration
    return table


def _left_out(proof: IsolationProof) -> str:
    return ", ".join(f"{one.column}, {one.reason}" for one in proof.left_out)


def isolation_document(found: IsolationReport) -> dict[str, Any]:
    """The same as JSON."""
    return {
        "format": "confiture.isolation",
        "version": VERSION,
        "environment": found.environment,
        "database": found.database,
        "column": found.column,
        "statements": [_statement(one) for one in found.statements],
    }


def _statement(one: ProvedStatement) -> dict[str, Any]:
    return {
        "migration": one.step.version,
        "phase": one.step.phase.value,
        "number": one.step.number,
        "name": one.step.name,
        "file": one.span.path,
        "line": one.span.line,
        "target": one.target,
        **one.proof.as_document(),
    }


def print_map(console: Console, found: TenancyMap) -> None:
    """A line for each table: how it belongs to tenants, and why."""
    if not found.tables:
        print_text(console, Text(f"No tables in {found.source}."))
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("Table", overflow="fold")
    table.add_column("Belongs", no_wrap=True)
    table.add_column("Why", overflow="fold", ratio=1)
    for one in found.tables:
        style = _BELONGING.get(one.belonging, "dim")
        table.add_row(escape(str(one.name)), Text(one.belonging.value, style=style), escape(one.why))
    console.print(table)
    console.print()
    counts = [(kind, sum(one.belonging is kind for one in found.tables)) for kind in Belonging]
    told = ", ".join(f"{number} {kind.value}" for kind, number in counts if number)
    print_text(console, Text(f"{count(len(found.tables), 'table')} of {found.source}, by {found.column}: {told}."))


def map_document(found: TenancyMap) -> dict[str, Any]:
    """The same as JSON."""
    return {
        "format": "confiture.tenancy",
        "version": VERSION,
        "source": found.source,
        "column": found.column,
        "tables": [_table(one) for one in found.tables],
    }


def _table(one: MappedTable) -> dict[str, Any]:
    return {
        "schema": one.name.schema,
        "name": one.name.name,
        "belonging": one.belonging.value,
        "why": one.why,
        "column": one.column,
        "path": [
            {
                "table": str(hop.table),
                "columns": list(hop.columns),
                "target": str(hop.target),
                "target_columns": list(hop.target_columns),
            }
            for hop in one.path
        ],
    }
