"""Former names in the API for custom lint rules, so that code that uses these names keeps working."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from operator import attrgetter
from typing import Any, TypeVar

_Class = TypeVar("_Class", bound=type)


def former_attributes(**names: str) -> Callable[[_Class], _Class]:
    """Make attributes readable by their former names, for example `former_attributes(place="location")`."""

    def decorate(cls: _Class) -> _Class:
        for former, name in names.items():
            setattr(cls, former, property(attrgetter(name), doc=f"The former name of `{name}`."))
        return cls

    return decorate


def former_fields(**names: str) -> Callable[[_Class], _Class]:
    """Also accept former field names in the constructor."""

    def decorate(cls: _Class) -> _Class:
        make: Callable[..., None] = cls.__init__  # type: ignore[misc]

        @wraps(make)
        def make_by_either_name(self: object, *args: Any, **values: Any) -> None:
            make(self, *args, **{names.get(name, name): value for name, value in values.items()})

        cls.__init__ = make_by_either_name  # type: ignore[misc]
        return former_attributes(**names)(cls)

    return decorate
