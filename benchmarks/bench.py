"""What every benchmark is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.linters import Linter
from benchmarks.server import Server
from benchmarks.timing import Command, Contender
from benchmarks.tools import Confiture, Tool
from benchmarks.workload import Change


@dataclass(frozen=True, kw_only=True, slots=True)
class Bench:
    """The server, the tools, and how often to run; `asked_runs` is None where each benchmark has its own number."""

    server: Server
    peers: Sequence[Tool]
    linters: Sequence[Linter] = ()
    asked_runs: int | None = None
    confiture: Confiture = field(default_factory=Confiture)

    @property
    def tools(self) -> tuple[Tool, ...]:
        """Confiture, then its peers."""
        return (self.confiture, *self.peers)

    def runs(self, usual: int) -> int:
        """How often to run each contender."""
        return self.asked_runs or usual

    def file(self, name: str, text: str) -> Path:
        """Writes a file for the benchmarks."""
        path = self.server.folder / name
        path.write_text(text)
        return path

    def project(self, tool: Tool, name: str, changes: Sequence[Change]) -> Path:
        """The folder of a project of the tool with these migrations."""
        folder = self.server.folder / f"{name}_{tool.name}"
        if not folder.exists():
            tool.write(folder, changes)
        return folder

    def on_empty(self, name: str, command: Command, database: str, leaves: int) -> Contender:
        """A command whose database is dropped and made anew before each run, and then has so many tables."""
        return Contender(
            name=name,
            command=command,
            prepare=lambda: self.server.create_anew(database),
            verify=lambda: self.server.require_tables(database, leaves),
        )

    def with_nothing_to_do(self, name: str, command: Command, database: str, leaves: int) -> Contender:
        """A command on a database of its own, which its warm-up run fills: the timed runs find nothing to do."""
        self.server.create_anew(database)
        return Contender(name=name, command=command, verify=lambda: self.server.require_tables(database, leaves))
