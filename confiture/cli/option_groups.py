"""Option groups shared by several commands. Each group is a dataclass with one field per option."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from inspect import Parameter, signature
from typing import Any, TypeVar, get_type_hints

Command = TypeVar("Command", bound=Callable[..., None])


def expand_options(command: Command) -> Command:
    """Let a command accept option groups. Typer sees a group's fields instead of the parameter for the group.

    A group is a dataclass. Each field has a default and is annotated like a Typer option.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, type] = {}
    parameters: list[Parameter] = []
    for name, parameter in signature(command).parameters.items():
        hint = hints[name]
        if isinstance(hint, type) and is_dataclass(hint):
            groups[name] = hint
            parameters += _parameters(hint)
        else:
            parameters.append(parameter.replace(annotation=hint, kind=Parameter.KEYWORD_ONLY))

    def run_with_groups(**values: Any) -> None:
        for name, group in groups.items():
            values[name] = group(**{field.name: values.pop(field.name) for field in fields(group)})
        command(**values)

    run_with_groups.__name__, run_with_groups.__doc__ = command.__name__, command.__doc__
    # Typer reads the signature and the annotations
    run_with_groups.__signature__ = signature(command).replace(parameters=parameters)  # type: ignore[attr-defined]
    run_with_groups.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run_with_groups  # type: ignore[return-value]


@cache
def _parameters(group: type) -> list[Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        Parameter(
            field.name,
            Parameter.KEYWORD_ONLY,
            default=Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(group)
    ]
