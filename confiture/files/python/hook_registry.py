"""The hooks that the users' Python has registered so far."""

from __future__ import annotations

from inspect import isabstract, iscoroutinefunction
from typing import Any

from confiture.models.call_sites import CallSite
from confiture.models.hooks import parse_phase
from confiture.models.migration import HookRegistration

_registrations_by_file: dict[tuple[str, str], HookRegistration] = {}
"""By file and name."""


def add_registration(name: str, hook: type[Any], call: CallSite) -> None:
    """Registers a hook for the file of a call. Raises TypeError or ValueError."""
    registration = build_registration(name, hook, call)
    known = _registrations_by_file.setdefault((call.file, name), registration)
    if known.hook.__qualname__ != hook.__qualname__:
        raise ValueError(f"this file registers two hooks as {name!r}: give one of them another name")
    _registrations_by_file[call.file, name] = registration


def registrations_in(file: str) -> tuple[HookRegistration, ...]:
    """The hooks that a file (an absolute path) registered, in that order."""
    return tuple(hook for (path, _), hook in _registrations_by_file.items() if path == file)


def registered_hook_names() -> set[tuple[str, str]]:
    """Who registered what so far: files and names."""
    return set(_registrations_by_file)


def clear_registrations(file: str) -> None:
    """Takes back what a file registered: it is about to be read again."""
    for key in [key for key in _registrations_by_file if key[0] == file]:
        del _registrations_by_file[key]


def build_registration(name: str, hook: type[Any], call: CallSite) -> HookRegistration:
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
        phase=None if phase is None else parse_phase(phase),
        is_batched=bool(getattr(hook, "batched", False)),
        call_site=call,
    )
