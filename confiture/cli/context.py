"""What commands do alike: load the settings, turn errors into output and an exit code."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from confiture.cli.options import Format
from confiture.cli.streams import clean_logs, say, write_document, write_utf_8
from confiture.errors import ConfitureError, Diagnostic, ExitCode, InputError

if TYPE_CHECKING:
    from confiture.models.settings import Settings
    from confiture.plan.project import PlannedProject

_WAIT = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min|h)")
_UNIT_MS = {"ms": 1, "s": 1_000, "min": 60_000, "h": 3_600_000}


def project_for(
    settings: Settings, variables: Sequence[str] | None, *, needs_variables: bool = False
) -> PlannedProject:
    """The project, with `--var` options merged in. Raises InputError as `load_project` does."""
    from confiture.plan.project import load_project

    return load_project(settings, parse_variables(variables or ()), needs_variables=needs_variables)


def parse_variables(given: Sequence[str]) -> dict[str, str]:
    """`NAME=VALUE` options as a mapping. Raises InputError with all that are none."""
    from confiture.files.variables import VARIABLE_NAME

    parsed: dict[str, str] = {}
    wrong: list[Diagnostic] = []
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not re.fullmatch(VARIABLE_NAME, name):
            # never the value, nor what may be one
            shown = f"{name}=..." if equals else text if text.isidentifier() else "..."
            message = f"--var {shown!r} is not NAME=VALUE, or {name if equals else shown!r} is no name for a variable"
            wrong.append(Diagnostic(code="bad-option", message=message, hint="for example --var read_model=r_orders"))
        elif not _is_utf_8(value):
            message = f"the value of --var {name} is not UTF-8"
            wrong.append(Diagnostic(code="bad-option", message=message, hint="set the terminal to UTF-8"))
        parsed[name] = value
    if wrong:
        raise InputError(*wrong)
    return parsed


def _is_utf_8(text: str) -> bool:
    """Whether an argument was valid UTF-8: what was not is smuggled in as half of a surrogate pair."""
    return not re.search("[\ud800-\udfff]", text)


def parse_wait(text: str) -> int:
    """What `--wait` says, in milliseconds. Raises InputError."""
    return parse_time("--wait", text)


def parse_time(option: str, text: str) -> int:
    """A duration option in milliseconds. Raises InputError."""
    if text.strip() == "0":
        return 0
    match = _WAIT.fullmatch(text.strip())
    if match is None:
        raise bad_option(f"{option} {text!r} is no duration", "write 0, 30s or 5min")
    return round(float(match[1]) * _UNIT_MS[match[2]])


def bad_option(message: str, hint: str) -> InputError:
    """What is raised for options that mean nothing, or nothing together; `hint` says what to give instead."""
    return InputError(Diagnostic(code="bad-option", message=message, hint=hint))


def tell_step(step: str) -> None:
    """Who looks on at a terminal sees which step runs; it may take a while."""
    if sys.stderr.isatty():
        say(f"{step} ...")


@dataclass(slots=True)
class Scope:
    """How a command's failures are printed: in which format, with paths below which folder."""

    form: Format
    root: Path

    def settings(
        self,
        config: Path | None,
        environment: str | None,
        database: str | None,
        check: Callable[[Settings], None] | None = None,
    ) -> Settings:
        """The settings that the options and the environment choose. Raises InputError, with what `check` finds."""
        from confiture.files.settings import Overrides, load_settings, settings_path

        overrides = Overrides(config=config, environment=environment, database=database)
        # what is wrong with the settings is told relative to where they are
        self.root = settings_path(Path.cwd(), overrides, os.environ).parent
        return load_settings(Path.cwd(), overrides, os.environ, check)


@contextmanager
def failures(form: Format) -> Iterator[Scope]:
    """Prints what ends a command in the format asked for, and exits with its code.

    Ctrl-C and SIGTERM inside become KeyboardInterrupt, so that whatever runs is rolled back.
    """
    clean_logs()
    former = signal.signal(signal.SIGTERM, _interrupt)
    scope = Scope(form, Path.cwd())
    if form is not Format.TEXT:
        write_utf_8()
    try:
        yield scope
    except ConfitureError as error:
        print_failure(scope, error.diagnostics)
        raise typer.Exit(error.exit_code) from error
    except KeyboardInterrupt as interrupt:
        say("interrupted")
        raise typer.Exit(ExitCode.INTERRUPTED) from interrupt
    finally:
        signal.signal(signal.SIGTERM, former)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def print_failure(scope: Scope, diagnostics: Sequence[Diagnostic]) -> None:
    """Diagnostics on stdout for machines, on stderr for people."""
    if scope.form is Format.TEXT:
        from confiture.report.terminal import print_diagnostics, talk_console

        print_diagnostics(talk_console(), diagnostics)
        return
    write_document(_document(scope, diagnostics), is_commands=scope.form is Format.GITHUB)


def _document(scope: Scope, diagnostics: Sequence[Diagnostic]) -> str:
    if scope.form is Format.JSON:
        from confiture.report.machine import as_text, diagnostics_document

        return as_text(diagnostics_document(diagnostics))
    if scope.form is Format.GITHUB:
        from confiture.report.github import error_commands

        return error_commands(diagnostics, scope.root, os.environ)
    if scope.form is Format.MARKDOWN:
        from confiture.report.markdown import diagnostics_markdown

        return diagnostics_markdown(diagnostics)
    from confiture.report.junit import diagnostics_xml

    return diagnostics_xml(diagnostics)
