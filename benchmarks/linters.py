"""Linters as the benchmark of lint sees them: how each is started on a project."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.timing import Command
from benchmarks.tools import Confiture


class Linter(Protocol):
    """Something that judges the SQL files of a project."""

    @property
    def name(self) -> str:
        """What it is called in the tables."""
        ...

    @property
    def ends_with(self) -> int:
        """How it ends on the project of the benchmark."""
        ...

    @property
    def scales(self) -> bool:
        """Whether ten times the project is done within a minute."""
        ...

    def lint(self, folder: Path) -> Command:
        """Judges the project in that folder."""
        ...


@dataclass(frozen=True, slots=True)
class ConfitureLint:
    """The tool at hand."""

    confiture: Confiture
    name: str = "confiture lint"
    ends_with: int = 0
    scales: bool = True

    def lint(self, folder: Path) -> Command:
        return self.confiture.command("lint", folder=folder)


@dataclass(frozen=True, slots=True)
class Squawk:
    """squawk: its compiled program. It judges each file by itself, and ends with 1 for any finding."""

    program: Path
    name: str = "squawk"
    ends_with: int = 1
    scales: bool = True

    def lint(self, folder: Path) -> Command:
        return Command(arguments=[self.program, "schemas/**/*.sql"], folder=folder)


@dataclass(frozen=True, slots=True)
class FraiseqlConfiture:
    """`confiture lint` of fraiseql-confiture, which reads the folders that db/environments/local.yaml names."""

    program: Path
    name: str = "fraiseql-confiture lint"
    ends_with: int = 0
    scales: bool = False

    def lint(self, folder: Path) -> Command:
        return Command(arguments=[self.program, "lint"], folder=folder)
