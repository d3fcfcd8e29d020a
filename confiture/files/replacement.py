"""Replaces the contents of a file whole or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

from confiture.errors import Diagnostic, InputError


def write_whole(path: Path, content: bytes, hint: str) -> None:
    """Writes a file whole or not at all; one that exists keeps its permissions. Raises InputError with the hint.

    What is not a file, such as /dev/null, is written to.
    """
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(content)
        else:
            replace_file(path.resolve(), content)
    except OSError as error:
        message = f"cannot write {path}: {(error.strerror or str(error)).lower()}"
        raise InputError(Diagnostic(code="unwritable-file", message=message, hint=hint)) from error


def replace_file(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all. Raises OSError."""
    temporary = path.with_name(f".{path.name}.{token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileNotFoundError):
            temporary.chmod(path.stat().st_mode)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
