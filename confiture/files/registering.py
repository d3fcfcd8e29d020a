"""The hooks that the users' Python has registered so far."""

from __future__ import annotations

from inspect import isabstract, iscoroutinefunction
from typing import Any

from confiture.models.calls import Call
from confiture.models.hooks import phase_named
from confiture.models.migration import HookRegistration

_registered: dict[tuple[str, str], HookRegistration] = {}
"""By file and name."""


def register(name: str, hook: type[Any], call: Call) -> None:
    """Registers a hook for the file of a call. Raises TypeError or ValueError."""
    registration = registration_of(name, hook, call)
    known = _registered.setdefault((call.file, name), registration)
    if known.hook.__qualname__ != hook.__qualname__:
        raise ValueError(f"this file registers two hooks as {name!r}: give one of them another name")
    _registered[call.file, name] = registration


def registered_in(file: str) -> tuple[HookRegistration, ...]:
    """The hooks that a file (an absolute path) registered, in that order."""
    return tuple(hook for (path, _), hook in _registered.items() if path == file)


def registered_names() -> set[tuple[str, str]]:
    """Who registered what so far: files and names."""
    return set(_registered)


def forget(file: str) -> None:
    """Takes back what a file registered: it is about to be read again."""
    for key in [key for key in _registered if key[0] == file]:
        del _registered[key]


def registration_of(name: str, hook: type[Any], call: Call) -> HookRegistration:
    """The registration of a class. Raises TypeError or ValueError for what is no hook."""
    if not isinstance(name, str) or not name.strip():
        raise TypeError(f"a hook is registered under a name, not {name!r}")
    if not isinstance(hook, type) or not callable(getattr(hook, "execute", None)):
        raise TypeError(f"{hook!r} is no hook: give the class, with execute(self, conn, context)")
    if isabstract(hook) or iscoroutinefunction(hook.execute):
        raise TypeError(f"{hook!r} cannot run: its execute is abstract, or async")
    phase = getattr(hook, "phase", None)
    return HookRegistration(
        name=name,
        hook=hook,
        phase=None if phase is None else phase_named(phase),
        is_batched=bool(getattr(hook, "batched", False)),
        call=call,
    )
