"""Lookup of the hooks that settings and steps refer to."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from confiture.errors import InputError
from confiture.files.python.hook_registry import build_registration, registrations_in
from confiture.files.python.modules import extended_sys_path
from confiture.models.call_sites import CallSite
from confiture.models.migration import HookRegistration
from confiture.models.source import LocatedSource

ENTRY_POINTS = "confiture.hooks"
"""The entry point group in which packages provide hook classes."""


def find_hooks(reference: LocatedSource, root: Path) -> tuple[HookRegistration, ...]:
    """Return the hooks for a name: an entry point, `module:Class`, or all hooks that a module registers.

    `root` is added to the module search path. Raise InputError at the name if the hook cannot be found or loaded.
    """
    name = reference.text.strip()
    module, colon, class_name = name.partition(":")
    try:
        entry = _find_entry_point(name)
        with extended_sys_path(root):
            if entry is not None:
                return (_registration_for_class(name, entry.load()),)
            loaded = import_module(module)
            if colon:
                return (_registration_for_class(name, _find_attribute(loaded, class_name)),)
    except (Exception, SystemExit) as error:
        message = f"the hook {name!r} cannot be loaded: {type(error).__name__}: {error}"
        raise _hook_error(reference, message, _hint(name)) from error
    registrations = registrations_in(str(loaded.__file__))
    if not registrations:
        hint = 'call register_hook("name", Class) in the module, or refer to a class as module:Class'
        raise _hook_error(reference, f"the module {name!r} registers no hooks", hint)
    return registrations


def known_hook_names(hooks: Sequence[HookRegistration]) -> list[str]:
    """Return all hook names that a step can use: registered hooks and entry points."""
    return [*(hook.name for hook in hooks), *(entry.name for entry in entry_points(group=ENTRY_POINTS))]


def is_reference(name: str) -> bool:
    """Whether an unregistered name is a `module:Class` reference or an entry point."""
    return ":" in name or bool(entry_points(group=ENTRY_POINTS, name=name))


def _registration_for_class(name: str, hook: type[Any]) -> HookRegistration:
    file = inspect.getsourcefile(hook) if isinstance(hook, type) else None
    return build_registration(name, hook, CallSite(file=file or "", line=1, end_line=1))


def _find_attribute(module: object, path: str) -> Any:
    value: Any = module
    for part in path.split("."):
        value = getattr(value, part)
    return value


def _find_entry_point(name: str) -> EntryPoint | None:
    """Return a hook's entry point, if any. Raise ValueError if packages provide different hooks with that name."""
    entries = {entry.value: entry for entry in entry_points(group=ENTRY_POINTS, name=name)}
    if len(entries) > 1:
        raise ValueError(f"several packages provide a hook named {name!r}: {', '.join(entries)}; use module:Class")
    return next(iter(entries.values()), None)


def _hint(name: str) -> str:
    return "name an importable module, or a module in the project's folder" + (
        "" if ":" in name else ", or an entry point"
    )


def _hook_error(reference: LocatedSource, message: str, hint: str) -> InputError:
    return InputError(reference.file.diagnostic(reference.start, "bad-hook", message, hint=hint))
