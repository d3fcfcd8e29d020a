"""Whether a command writes to a database, and how its user confirms that on a protected environment."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import fields
from enum import StrEnum
from inspect import signature
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from confiture.cli.context import is_ci
from confiture.cli.streams import echo_stderr
from confiture.models.identity import WriteRequest
from confiture.models.records import record

if TYPE_CHECKING:
    from confiture.cli.context import CommandContext
    from confiture.core.db.connection import ConnectionTarget
    from confiture.models.settings import Settings

Command = TypeVar("Command", bound=Callable[..., None])


class DatabaseAccess(StrEnum):
    """The use that a command makes of a database."""

    NONE = "none"
    SERVER = "server"
    READS = "reads"
    WRITES = "writes"


ConfirmOption = Annotated[
    str | None,
    typer.Option("--confirm", metavar="NAME", help="The name of the environment; required if it is protected."),
]


@record(frozen=True, kw_only=True)
class ConfirmFlags:
    """The confirmation of a command that writes to a database."""

    confirm: ConfirmOption = None


@record(frozen=True, kw_only=True)
class WriteFlags(ConfirmFlags):
    """The confirmation of a command that writes to the history, and the reason."""

    reason: Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why; stored in the history.")] = None


def without_database(command: Command) -> Command:
    """Mark a command that uses no database."""
    return _mark(command, DatabaseAccess.NONE)


def manages_server(command: Command) -> Command:
    """Mark a command that controls the embedded server, or opens a client for it."""
    return _mark(command, DatabaseAccess.SERVER)


def reads_database(command: Command) -> Command:
    """Mark a command that only reads a database."""
    return _mark(command, DatabaseAccess.READS)


def writes_database(command: Command) -> Command:
    """Mark a command that writes to a database. It must have the option `--confirm`, and pass it to the engine."""
    if fields(ConfirmFlags)[0].name not in signature(command).parameters:
        raise TypeError(f"{command.__name__} writes to a database, so it needs ConfirmFlags or WriteFlags")
    return _mark(command, DatabaseAccess.WRITES)


def _mark(command: Command, access: DatabaseAccess) -> Command:
    command.database_access = access  # type: ignore[attr-defined]
    return command


def request_write(
    context: CommandContext, settings: Settings, target: ConnectionTarget, flags: ConfirmFlags
) -> WriteRequest:
    """Return what the user states for a command that writes. On a terminal, ask for a missing name.

    The engine compares the name with the settings and the database. No connection is open during the question.
    """
    reason = flags.reason if isinstance(flags, WriteFlags) else None
    confirm = flags.confirm
    if confirm is None and can_ask(context):
        from confiture.core.identity import find_name_to_confirm

        name = find_name_to_confirm(settings, target)
        if name is not None:
            confirm = ask_name(name, target.label)
    return WriteRequest(confirm=confirm, reason=reason)


def can_ask(context: CommandContext) -> bool:
    """Whether the command may ask questions: its user is at a terminal, not a CI job or a program that reads JSON."""
    is_terminal = sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()
    return context.output_format.is_text and not is_ci() and is_terminal


def ask_name(name: str, label: str) -> str | None:
    """Ask for the name of a protected environment on stderr. Return the answer; None at the end of the input."""
    echo_stderr(f"The environment {name} is protected. This command writes to {label}.")
    echo_stderr(f"To continue, type the name of the environment ({name}):")
    answer: Any = sys.stdin.readline()
    return answer.strip() or None
