"""A password from a command, such as a short-lived token. It is read for each connection and never stored."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from confiture.errors import DatabaseUnavailable, Diagnostic
from confiture.secrets import add_secret

_LIMIT_S = 30


def read_password(command: Sequence[str], label: str) -> str:
    """Run the command and return its output without the line end. Hide it in all output.

    Raise DatabaseUnavailable if the command fails, prints nothing, or runs longer than 30 seconds. Its output is never
    part of the error.
    """
    try:
        done = subprocess.run(
            list(command), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=_LIMIT_S
        )
    except subprocess.TimeoutExpired as error:
        raise _failure(label, command[0], f"it did not end within {_LIMIT_S} seconds") from error
    except (OSError, UnicodeError) as error:
        raise _failure(label, command[0], "it cannot be run") from error
    password = done.stdout.rstrip("\r\n")
    add_secret(password, is_certain=True)
    if done.returncode:
        raise _failure(label, command[0], f"it exited with {done.returncode}")
    if not password or "\n" in password:
        raise _failure(label, command[0], f"it printed {'several lines' if password else 'nothing'}")
    return password


def _failure(label: str, program: str, reason: str) -> DatabaseUnavailable:
    return DatabaseUnavailable(
        Diagnostic(
            code="password-command",
            message=f"no password for {label}: the command {program!r} of password_command failed: {reason}",
            hint="run the command yourself; it must print the password on one line and exit with 0",
        )
    )
