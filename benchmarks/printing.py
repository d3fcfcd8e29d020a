"""Prints results as tables."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.machine import Conditions
from benchmarks.results import Result, Row


def print_result(console: Console, result: Result) -> None:
    """One benchmark as a table."""
    table = Table(title=escape(result.title), caption=escape(result.how), title_justify="left", caption_justify="left")
    table.add_column("program")
    memory = ("peak MB",) if result.shows_memory else ()
    for heading in ("median ms", "min..max ms", "CPU ms", *memory, "ratio", "ratio by round"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("target")
    for row in result.rows:
        table.add_row(escape(row.name), *_cells(result, row), row.target)
    console.print(table)
    failures = {row.sample.failure: row.name for row in reversed(result.rows) if row.sample.failure}
    for failure, name in failures.items():
        console.print(f"{name} {failure}", style="red", markup=False, highlight=False)
    console.print()


def _cells(result: Result, row: Row) -> list[str]:
    sample = row.sample
    if sample.failure:
        return ["failed", *[""] * (5 if result.shows_memory else 4)]
    times = [f"{sample.median_ms:.0f}", f"{sample.fastest_ms:.0f}..{sample.slowest_ms:.0f}", f"{sample.cpu_ms:.0f}"]
    times += [f"{sample.peak_mb:.0f}"] if result.shows_memory else []
    if row.name == result.baseline:
        return [*times, "baseline", ""]
    ratio = result.ratio(row)
    if ratio is None:
        return [*times, "", ""]
    return [*times, f"{ratio.of_medians:.2f}", f"{ratio.lowest:.2f}..{ratio.highest:.2f}"]


def print_conditions(console: Console, found: Conditions) -> None:
    """What the numbers were measured on, and how to read them."""
    lines = [
        f"{found.day}; {found.processors} processors; load of the last minute {found.load_before:.2f} before, "
        f"{found.load_after:.2f} after",
        "; ".join(f"{name} {version}" for name, version in found.versions.items()),
        "server: " + "; ".join(f"{name} = {value}" for name, value in found.settings.items()),
        "Whole processes from start to end, in turns (A B C, A B C, ...) after one unmeasured round. Ratio: of the "
        "medians; by round: the lowest and highest ratio of neighbours. CPU: of the process, without the server's.",
    ]
    for line in [*lines, *(f"not compared: {name}: {why}" for name, why in found.missing.items())]:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
