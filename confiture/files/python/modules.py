"""Execution of the user's Python code: migration files and the modules named in the settings."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import ModuleType, TracebackType

from confiture.errors import Diagnostic, Span
from confiture.models.source import SourceFile
from confiture.text import error_text

MIGRATION_MODULE = "confiture_migration_"
"""The prefix for module names of migration files."""


class UserCodeError(Exception):
    """User code failed; `diagnostic` contains the error and the line in the file."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.message)
        self.diagnostic = diagnostic


@contextmanager
def extended_sys_path(folder: Path | None) -> Iterator[None]:
    """Add a folder to `sys.path` within the block."""
    entry = str(folder)
    if folder is None or entry in sys.path:
        yield
        return
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        sys.path.remove(entry)


@contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Redirect the output of user code to stderr, because stdout is for reports."""
    with redirect_stdout(sys.stderr):
        yield


@contextmanager
def locate_user_errors(file: SourceFile, path: Path) -> Iterator[None]:
    """Convert any exception raised by user code to UserCodeError, located at the innermost line in the file."""
    try:
        with stdout_to_stderr():
            yield
    except SyntaxError as error:
        if error.filename != str(path):
            raise UserCodeError(_user_code_diagnostic(file, path, error)) from error
        span = Span(path=file.path, line=error.lineno or 1, column=error.offset or 1)
        hint = "fix this line or the line before it"
        raise UserCodeError(file.diagnostic(span, "bad-python", f"not valid Python: {error.msg}", hint=hint)) from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        # including asyncio errors and sys.exit: only Ctrl-C ends the run
        raise UserCodeError(_user_code_diagnostic(file, path, error)) from error


def run_file(file: SourceFile, path: Path, root: Path) -> ModuleType:
    """Run a file as a module and return the module. The file can import modules in the project's root.

    Raise UserCodeError.
    """
    module = ModuleType(f"{MIGRATION_MODULE}{path.stem}")
    module.__file__ = str(path)
    with locate_user_errors(file, path):
        code = compile(file.text, str(path), "exec", dont_inherit=True)
        # dataclasses and pickle look up the module by name
        sys.modules[module.__name__] = module
        with extended_sys_path(root):
            exec(code, module.__dict__)  # noqa: S102 - running the user's code is the purpose
    return module


def traceback_line(path: str, trace: TracebackType | None) -> int | None:
    """Return the innermost line (from 1) of a file in a traceback; None if the traceback does not contain the file."""
    line = None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == path:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _user_code_diagnostic(file: SourceFile, path: Path, error: BaseException) -> Diagnostic:
    line = traceback_line(str(path), error.__traceback__) or 1
    text = file.excerpt(line) or ""
    span = Span(path=file.path, line=line, column=len(text) - len(text.lstrip()) + 1)
    hint = "fix the code; reading a migration runs the file and calls up() and down() without a database"
    return file.diagnostic(span, "python-failed", error_text(error), hint=hint)
