"""Installs the tools that confiture is compared with, each into a folder of its own, by its usual client."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.tools import Alembic, Dbmate, Tool, Yoyo

FOLDER = Path(__file__).parent / ".peers"
_PATIENCE_S = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class Peer:
    """A tool to compare with: which, and in which version; or why it is missing."""

    name: str
    tool: Tool | None = None
    version: str = ""
    problem: str = ""


def install_peers(say: Callable[[str], None]) -> tuple[Peer, ...]:
    """Installs what is not installed yet. A peer that cannot be installed says why; nothing is raised."""
    return tuple(_peer(name, find, say) for name, find in _PEERS.items())


def _peer(name: str, find: Callable[[Callable[[str], None]], tuple[Tool, str]], say: Callable[[str], None]) -> Peer:
    try:
        tool, version = find(say)
    except subprocess.CalledProcessError as error:
        lines = [line for line in (error.stderr or error.stdout or "").splitlines() if line.strip()]
        return Peer(name=name, problem=lines[-1] if lines else str(error))
    except (OSError, subprocess.TimeoutExpired) as error:
        return Peer(name=name, problem=str(error))
    return Peer(name=name, tool=tool, version=version)


def _dbmate(say: Callable[[str], None]) -> tuple[Tool, str]:
    folder = FOLDER / "dbmate"
    if not (folder / "node_modules").is_dir():
        say("installing dbmate by npm ...")
        _run("npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), "dbmate")
    # the package that brings the compiled program is one of several, by operating system
    programs = sorted(path for path in folder.glob("node_modules/@dbmate/*/bin/dbmate*") if path.is_file())
    if not programs:
        raise FileNotFoundError("npm installed dbmate without a program for this system")
    return Dbmate(programs[0]), _run(str(programs[0]), "--version").split()[-1]


def _alembic(say: Callable[[str], None]) -> tuple[Tool, str]:
    programs = _environment("alembic", ["alembic", "psycopg2-binary"], say)
    return Alembic(programs / "alembic"), _version(programs, "alembic")


def _yoyo(say: Callable[[str], None]) -> tuple[Tool, str]:
    programs = _environment("yoyo", ["yoyo-migrations", "psycopg2-binary", "setuptools"], say)
    return Yoyo(programs / "yoyo"), _version(programs, "yoyo-migrations")


_PEERS: dict[str, Callable[[Callable[[str], None]], tuple[Tool, str]]] = {
    "dbmate": _dbmate,
    "alembic": _alembic,
    "yoyo": _yoyo,
}


def _environment(name: str, packages: list[str], say: Callable[[str], None]) -> Path:
    """A virtual environment with the packages; gives the folder of its programs."""
    folder = FOLDER / name
    programs = folder / "bin"
    if not (programs / name).exists():
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
