"""On what, and with what, the numbers were measured."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version

from benchmarks.peers import Peer
from benchmarks.server import Server


@dataclass(frozen=True, kw_only=True, slots=True)
class Conditions:
    """What belongs beside every number. The load is that of the last minute, before and after."""

    day: str
    processors: int
    load_before: float
    load_after: float
    versions: dict[str, str]
    settings: dict[str, str]
    missing: dict[str, str]


def load() -> float:
    """How many processes wanted to run, over the last minute."""
    return os.getloadavg()[0]


def conditions(server: Server, peers: Sequence[Peer], load_before: float) -> Conditions:
    """The conditions of a run that ends now."""
    versions = {
        "Python": platform.python_version(),
        "confiture": version("confiture"),
        "psycopg": version("psycopg"),
        "PostgreSQL and psql": server.embedded.version,
    }
    return Conditions(
        day=date.today().isoformat(),
        processors=os.cpu_count() or 1,
        load_before=load_before,
        load_after=load(),
        versions=versions | {peer.name: peer.version for peer in peers if not peer.problem},
        settings=server.settings(),
        missing={peer.name: peer.problem for peer in peers if peer.problem},
    )
