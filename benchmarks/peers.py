"""Installs the tools that confiture is compared with, each into a folder of its own, by its usual client."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.linters import FraiseqlConfiture, Linter, Squawk
from benchmarks.tools import Alembic, Dbmate, Tool, Yoyo

FOLDER = Path(__file__).parent / ".peers"
_PATIENCE_S = 300
_Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Peer:
    """A tool, or a linter, to compare with: which, and in which version; or why it is missing."""

    name: str
    tool: Tool | None = None
    linter: Linter | None = None
    version: str = ""
    problem: str = ""


def install_peers(say: _Say) -> tuple[Peer, ...]:
    """Installs what is not installed yet. A peer that cannot be installed says why; nothing is raised."""
    return tuple(_peer(name, find, say) for name, find in _PEERS.items())


def _peer(name: str, find: Callable[[_Say], Peer], say: _Say) -> Peer:
    try:
        return find(say)
    except subprocess.CalledProcessError as error:
        lines = [line for line in (error.stderr or error.stdout or "").splitlines() if line.strip()]
        return Peer(name=name, problem=lines[-1] if lines else str(error))
    except (OSError, subprocess.TimeoutExpired) as error:
        return Peer(name=name, problem=str(error))


def _dbmate(say: _Say) -> Peer:
    folder = FOLDER / "dbmate"
    if not (folder / "node_modules").is_dir():
        say("installing dbmate by npm ...")
        _run("npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), "dbmate")
    # the package that brings the compiled program is one of several, by operating system
    programs = sorted(path for path in folder.glob("node_modules/@dbmate/*/bin/dbmate*") if path.is_file())
    if not programs:
        raise FileNotFoundError("npm installed dbmate without a program for this system")
    version = _run(str(programs[0]), "--version").split()[-1]
    return Peer(name="dbmate", tool=Dbmate(programs[0]), version=version)


def _alembic(say: _Say) -> Peer:
    programs = _environment("alembic", ["alembic", "psycopg2-binary"], say)
    return Peer(name="alembic", tool=Alembic(programs / "alembic"), version=_version(programs, "alembic"))


def _yoyo(say: _Say) -> Peer:
    programs = _environment("yoyo", ["yoyo-migrations", "psycopg2-binary", "setuptools"], say)
    return Peer(name="yoyo", tool=Yoyo(programs / "yoyo"), version=_version(programs, "yoyo-migrations"))


def _squawk(say: _Say) -> Peer:
    programs = _environment("squawk", ["squawk-cli"], say)
    return Peer(name="squawk", linter=Squawk(programs / "squawk"), version=_version(programs, "squawk-cli"))


def _fraiseql(say: _Say) -> Peer:
    programs = _environment("fraiseql-confiture", ["fraiseql-confiture"], say, program="confiture")
    linter = FraiseqlConfiture(programs / "confiture")
    return Peer(name="fraiseql-confiture", linter=linter, version=_version(programs, "fraiseql-confiture"))


_PEERS: dict[str, Callable[[_Say], Peer]] = {
    "dbmate": _dbmate,
    "alembic": _alembic,
    "yoyo": _yoyo,
    "squawk": _squawk,
    "fraiseql-confiture": _fraiseql,
}


def _environment(name: str, packages: list[str], say: _Say, *, program: str | None = None) -> Path:
    """A virtual environment with the packages; gives the folder of its programs."""
    folder = FOLDER / name
    programs = folder / "bin"
    if not (programs / (program or name)).exists():
        say(f"installing {name} by pip ...")
        shutil.rmtree(folder, ignore_errors=True)
        _run(sys.executable, "-m", "venv", str(folder))
        _run(str(programs / "python"), "-m", "pip", "install", "--quiet", *packages)
    return programs


def _version(programs: Path, package: str) -> str:
    asked = f"from importlib.metadata import version; print(version({package!r}))"
    return _run(str(programs / "python"), "-c", asked).strip()


def _run(*command: str) -> str:
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=_PATIENCE_S)
    return done.stdout
