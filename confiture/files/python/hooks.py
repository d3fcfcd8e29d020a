"""Finds the hooks that settings and steps name."""

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
"""The group of entry points by which packages offer hooks: each a class."""


def find_hooks(reference: LocatedSource, root: Path) -> tuple[HookRegistration, ...]:
    """The hooks that a name stands for: an entry point, `module:Class`, or all that a module registers.

    Modules are also looked for in `root`. Raises InputError, placed at the name, for what cannot be found or loaded.
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
    found = registrations_in(str(loaded.__file__))
    if not found:
        hint = 'call register_hook("name", Class) in it, or name the class: module:Class'
        raise _hook_error(reference, f"the module {name!r} registers no hooks", hint)
    return found


def known_hook_names(hooks: Sequence[HookRegistration]) -> list[str]:
    """Every name that a step can give to a hook that is registered, or offered by a package."""
    return [*(hook.name for hook in hooks), *(entry.name for entry in entry_points(group=ENTRY_POINTS))]


def is_reference(name: str) -> bool:
    """Whether a name that nobody registered can be looked up nonetheless."""
    return ":" in name or bool(entry_points(group=ENTRY_POINTS, name=name))


def _registration_for_class(name: str, hook: type[Any]) -> HookRegistration:
    file = inspect.getsourcefile(hook) if isinstance(hook, type) else None
    return build_registration(name, hook, CallSite(file=file or "", line=1, end_line=1))


def _find_attribute(module: object, path: str) -> Any:
    found: Any = module
    for part in path.split("."):
        found = getattr(found, part)
    return found


def _find_entry_point(name: str) -> EntryPoint | None:
    """Raises ValueError where two packages offer different hooks of that name."""
    found = {entry.value: entry for entry in entry_points(group=ENTRY_POINTS, name=name)}
    if len(found) > 1:
        raise ValueError(f"two packages offer a hook {name!r}: {', '.join(found)}; name one as module:Class")
    return next(iter(found.values()), None)


def _hint(name: str) -> str:
    return "name a module that Python finds, or one in the project's folder" + (
        "" if ":" in name else ", or an entry point"
    )


def _hook_error(reference: LocatedSource, message: str, hint: str) -> InputError:
    return InputError(reference.file.diagnostic(reference.start, "bad-hook", message, hint=hint))
