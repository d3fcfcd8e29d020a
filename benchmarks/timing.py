"""Times whole processes, taken in turns, and sums up what was measured."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

_HIDDEN = ("PG", "CONFITURE_", "DATABASE_URL", "PYTHON", "DBMATE_", "YOYO_")
_TOLD_LINES = 6
_TOLD_BYTES = 2**16
_PEAK_UNITS = 2**20 if sys.platform == "darwin" else 2**10


class CommandFailed(Exception):
    """A timed process did not end with 0, or did not do its work."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """A process to start; `variables` are added to an environment without any settings of the tools."""

    arguments: Sequence[str | Path]
    folder: Path | None = None
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Contender:
    """A command under a name, and how it ends. `prepare` and `verify` run before and after each run, untimed."""

    name: str
    command: Command
    ends_with: int = 0
    prepare: Callable[[], None] | None = None
    verify: Callable[[], None] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """What one process took, in milliseconds: wall clock, and its own CPU time; and its memory at the most."""

    wall_ms: float
    cpu_ms: float
    peak_mb: float = 0.0


@dataclass(slots=True)
class Sample:
    """All runs of one contender; `failure` says why there are none."""

    runs: list[Run] = field(default_factory=list)
    failure: str | None = None

    @property
    def median_ms(self) -> float:
        """The median of the wall clock times."""
        return median(run.wall_ms for run in self.runs)

    @property
    def fastest_ms(self) -> float:
        """The shortest run."""
        return min(run.wall_ms for run in self.runs)

    @property
    def slowest_ms(self) -> float:
        """The longest run."""
        return max(run.wall_ms for run in self.runs)

    @property
    def cpu_ms(self) -> float:
        """The median of the CPU times."""
        return median(run.cpu_ms for run in self.runs)

    @property
    def peak_mb(self) -> float:
        """The most memory that any run had."""
        return max(run.peak_mb for run in self.runs)

    def minus(self, other: Sample) -> Sample:
        """This sample less another, round by round."""
        if self.failure or other.failure:
            return Sample(failure=self.failure or other.failure)
        pairs = zip(self.runs, other.runs, strict=True)
        return Sample([Run(wall_ms=a.wall_ms - b.wall_ms, cpu_ms=a.cpu_ms - b.cpu_ms) for a, b in pairs])


def in_turns(contenders: Iterable[Contender], runs: int) -> dict[str, Sample]:
    """Runs everything once to warm up, then A B C, A B C, ... Whoever fails is left out of what follows.

    Neighbours in a round met the same load of the machine, so rounds can be compared one by one.
    """
    field_of = list(contenders)
    samples = {contender.name: Sample() for contender in field_of}
    for number in range(runs + 1):
        for contender in field_of:
            sample = samples[contender.name]
            if sample.failure:
                continue
            try:
                run = _run(contender)
            except CommandFailed as failure:
                sample.failure = str(failure)
                continue
            if number > 0:
                sample.runs.append(run)
    return samples


def run_once(command: Command, ends_with: int = 0, says: str = "") -> Run:
    """Runs a process to its end.

    Raises CommandFailed, with the last lines that it said, unless it ends with that code and `says` is among its words.
    """
    with tempfile.TemporaryFile() as said:
        started = time.perf_counter()
        process = subprocess.Popen(
            [str(argument) for argument in command.arguments],
            cwd=command.folder,
            env=environment(command),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall_ms = (time.perf_counter() - started) * 1000
        process.returncode = os.waitstatus_to_exitcode(status)
        # not all of it: linters say much, and what this process has had of memory counts as that of later ones
        said.seek(max(0, said.seek(0, os.SEEK_END) - _TOLD_BYTES))
        text = said.read().decode(errors="replace").strip()
        if process.returncode != ends_with or says not in text:
            raise CommandFailed(f"ended with {process.returncode}: " + "\n".join(text.splitlines()[-_TOLD_LINES:]))
    cpu_ms = (usage.ru_utime + usage.ru_stime) * 1000
    return Run(wall_ms=wall_ms, cpu_ms=cpu_ms, peak_mb=usage.ru_maxrss / _PEAK_UNITS)


def environment(command: Command) -> dict[str, str]:
    """What a process is given: nobody's settings but those of the command."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_HIDDEN)} | dict(command.variables)


def _run(contender: Contender) -> Run:
    if contender.prepare:
        contender.prepare()
    run = run_once(contender.command, contender.ends_with)
    if contender.verify:
        contender.verify()
    return run
