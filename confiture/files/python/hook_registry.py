"""The registry for hooks defined in the user's Python code."""

from __future__ import annotations

from inspect import isabstract, iscoroutinefunction
from typing import Any

from confiture.models.call_sites import CallSite
from confiture.models.hooks import parse_phase
from confiture.models.migration import HookRegistration

_registrations_by_file: dict[tuple[str, str], HookRegistration] = {}
"""Registrations by file and name."""


def add_registration(name: str, hook: type[Any], call: CallSite) -> None:
    """Register a hook for the file that contains the call. Raise TypeError or ValueError."""
    registration = build_registration(name, hook, call)
    existing = _registrations_by_file.setdefault((call.file, name), registration)
    if existing.hook.__qualname__ != hook.__qualname__:
        raise ValueError(f"this file registers two hooks as {name!r}: rename one of them")
    _registrations_by_file[call.file, name] = registration


def registrations_in(file: str) -> tuple[HookRegistration, ...]:
    """Return the hooks that a file (an absolute path) has registered, in registration order."""
    return tuple(hook for (path, _), hook in _registrations_by_file.items() if path == file)


def registered_hook_names() -> set[tuple[str, str]]:
    """Return the file and the name of every registered hook."""
    return set(_registrations_by_file)


def clear_registrations(file: str) -> None:
    """Remove a file's registrations before the file is read again."""
    for key in [key for key in _registrations_by_file if key[0] == file]:
        del _registrations_by_file[key]


def build_registration(name: str, hook: type[Any], call: CallSite) -> HookRegistration:
    """Build the registration for a hook class. Raise TypeError or ValueError if the class is not a valid hook."""
    if not isinstance(name, str) or not name.strip():
        raise TypeError(f"the name of a hook must be a string, not {name!r}")
    if not isinstance(hook, type) or not callable(getattr(hook, "execute", None)):
        raise TypeError(f"{hook!r} is not a hook: pass a class that defines execute(self, conn, context)")
    if isabstract(hook) or iscoroutinefunction(hook.execute):
        raise TypeError(f"{hook!r} cannot run: its execute method is abstract or async")
    phase = getattr(hook, "phase", None)
    return HookRegistration(
        name=name,
        hook=hook,
        phase=None if phase is None else parse_phase(phase),
        is_batched=bool(getattr(hook, "batched", False)),
        call_site=call,
    )
