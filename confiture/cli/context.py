"""Behavior shared by all commands: loading the settings, and turning errors into output and an exit code."""

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

from confiture.cli.options import DatabaseOptions, SettingsOptions
from confiture.cli.streams import echo_stderr, force_utf8_stdout, sanitize_logs, write_document
from confiture.durations import parse_duration_ms
from confiture.errors import ConfitureError, Diagnostic, ExitCode, InputError
from confiture.output.document import Document
from confiture.output.formats import TEXT, OutputFormat
from confiture.redaction import redact_rows

if TYPE_CHECKING:
    from confiture.core.db.connection import ConnectionTarget
    from confiture.models.settings import Settings
    from confiture.output.writer import Writer
    from confiture.plan.project import PlannedProject


def load_project_with_vars(
    settings: Settings, assignments: Sequence[str] | None, *, needs_variables: bool = False
) -> PlannedProject:
    """Load the project with the `--var` options merged in. Raise InputError like `load_project`."""
    from confiture.plan.project import load_project

    return load_project(settings, parse_variables(assignments or ()), needs_variables=needs_variables)


def parse_variables(assignments: Sequence[str]) -> dict[str, str]:
    """Parse `NAME=VALUE` options into a mapping. Raise InputError with every invalid option."""
    from confiture.files.variables import VARIABLE_NAME

    parsed: dict[str, str] = {}
    wrong: list[Diagnostic] = []
    for text in assignments:
        name, equals, value = text.partition("=")
        if not equals or not re.fullmatch(VARIABLE_NAME, name):
            # never print the value, or text that may be a value
            display_text = f"{name}=..." if equals else text if text.isidentifier() else "..."
            message = (
                f"--var {display_text!r} is not NAME=VALUE, or {name if equals else display_text!r} is not a valid name"
            )
            wrong.append(Diagnostic(code="bad-option", message=message, hint="for example --var read_model=r_orders"))
        elif not _is_utf8(value):
            message = f"the value of --var {name} is not UTF-8"
            wrong.append(Diagnostic(code="bad-option", message=message, hint="set the terminal's encoding to UTF-8"))
        parsed[name] = value
    if wrong:
        raise InputError(*wrong)
    return parsed


def _is_utf8(text: str) -> bool:
    """Whether an argument was valid UTF-8. Python decodes invalid bytes to lone surrogates."""
    return not re.search("[\ud800-\udfff]", text)


def parse_wait(text: str) -> int:
    """Return the value of `--wait` in milliseconds. Raise InputError if it is not a duration."""
    return parse_duration_option("--wait", text)


def parse_duration_option(option: str, text: str) -> int:
    """Return the value of a duration option in milliseconds. Raise InputError if it is not a duration."""
    milliseconds = parse_duration_ms(text)
    if milliseconds is None:
        raise usage_error(f"{option} {text!r} is not a duration", "write 0, 30s or 5min")
    return milliseconds


def parse_database_option(option: str, url: str) -> ConnectionTarget:
    """Return the database at a URL option. Raise InputError with a message that omits the URL, which may be secret."""
    from confiture.core.db.connection import ConnectionTarget, database_label
    from confiture.models.settings import EMBEDDED, DatabaseSettings

    if url == EMBEDDED:
        raise usage_error(f"{option} embedded is not a database URL", "use the URL that `confiture db url` prints")
    if not _is_conninfo(url):
        raise usage_error(f"{option} is not a database URL", "write it like postgresql://user@host:5432/name")
    return ConnectionTarget(conninfo=url, label=database_label(DatabaseSettings(url=url)), origin=option)


def _is_conninfo(text: str) -> bool:
    from psycopg import Error
    from psycopg.conninfo import conninfo_to_dict

    try:
        return bool(conninfo_to_dict(text))
    except (Error, UnicodeError):
        return False


def usage_error(message: str, hint: str) -> InputError:
    """Return the error for an invalid option or combination of options; `hint` says what to pass instead."""
    return InputError(Diagnostic(code="bad-option", message=message, hint=hint))


def is_ci() -> bool:
    """Whether the command runs in a CI job, according to the variable CI."""
    return os.environ.get("CI", "").lower() not in ("", "0", "false")


def apply_redaction(redact: bool | None) -> None:
    """Hide the values of rows, or show them, if the option was given."""
    if redact is not None:
        redact_rows(redact)


def announce_step(step: str) -> None:
    """Announce a slow step on stderr if it is a terminal."""
    if sys.stderr.isatty():
        echo_stderr(f"{step} ...")


@dataclass(slots=True)
class CommandContext:
    """A command's output format, and the folder that printed paths are relative to."""

    output_format: OutputFormat
    root: Path
    marked_for: tuple[str, str] = ("", "")

    def settings(
        self,
        options: SettingsOptions,
        *,
        needs_database: bool = True,
        check: Callable[[Settings], None] | None = None,
    ) -> Settings:
        """Load the settings chosen by the options and the environment. Raise InputError, also if `check` raises it.

        The settings must name a database only if the command needs one.
        """
        from confiture.files.settings import SettingsOverrides, choose_settings_path, load_settings

        database: str | None = "embedded"
        if needs_database:
            database = options.database if isinstance(options, DatabaseOptions) else None
        overrides = SettingsOverrides(config=options.config, environment=options.env, database=database)
        # error messages show paths relative to the settings file
        self.root = choose_settings_path(Path.cwd(), overrides, os.environ).parent
        settings = load_settings(Path.cwd(), overrides, os.environ, check)
        self.marked_for = (settings.project, settings.environment)
        return settings

    @property
    def writer(self) -> Writer:
        """The writer for the command's documents, which go to stdout."""
        return self._open(self.output_format)

    def print_failure(self, diagnostics: Sequence[Diagnostic]) -> None:
        """Print the errors that ended the command. If the format cannot represent errors, print text on stderr."""
        has_form = Document.DIAGNOSTICS in self.output_format.documents
        self._open(self.output_format if has_form else TEXT).diagnostics(diagnostics)

    def _open(self, output_format: OutputFormat) -> Writer:
        from confiture.output.writer import WriterContext

        return output_format.open(
            WriterContext(
                root=self.root,
                environ=os.environ,
                write=write_document,
                write_clean=lambda text: write_document(text, is_clean=True),
                marked_for=self.marked_for,
            )
        )


@contextmanager
def error_boundary(output_format: OutputFormat = TEXT) -> Iterator[CommandContext]:
    """Catch an error raised in the block, print the error in the command's format, and exit with its exit code.

    Ctrl-C and SIGTERM raise KeyboardInterrupt in the block, so that running transactions are rolled back.
    """
    sanitize_logs()
    redact_rows(is_ci())
    former = signal.signal(signal.SIGTERM, _raise_interrupt)
    context = CommandContext(output_format, Path.cwd())
    if not output_format.is_text:
        force_utf8_stdout()
    try:
        yield context
    except ConfitureError as error:
        context.print_failure(error.diagnostics)
        raise typer.Exit(error.exit_code) from error
    except KeyboardInterrupt as interrupt:
        echo_stderr("interrupted")
        raise typer.Exit(ExitCode.INTERRUPTED) from interrupt
    finally:
        signal.signal(signal.SIGTERM, former)


def _raise_interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt
