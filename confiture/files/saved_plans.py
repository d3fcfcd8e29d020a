"""Plan files, and the hashes of the project files that a saved plan depends on."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from confiture.errors import Diagnostic, Drift, InputError
from confiture.files.access import ANYWHERE, FileAccessError, read_file, write_named_file
from confiture.models.saved_plans import FORMAT, VERSION, SavedPlan

MISSING = "missing"


def write_saved_plan(path: Path, plan: SavedPlan) -> None:
    """Write a plan file. Raise InputError if that fails."""
    try:
        write_named_file(path, plan.to_text().encode())
    except FileAccessError as error:
        message = f"the plan cannot be written to {path}: {error}"
        raise InputError(
            Diagnostic(code="bad-option", message=message, hint="name a file in a writable folder")
        ) from error


def read_saved_plan(path: Path) -> SavedPlan:
    """Read a plan file. Raise InputError if it is not a plan, and Drift if it was changed after it was saved."""
    try:
        content: Any = json.loads(read_file(path, str(path), ANYWHERE))
    except FileAccessError as error:
        hint = "create the file with `confiture migrate plan --out FILE`"
        raise InputError(Diagnostic(code="bad-plan", message=f"the plan cannot be read: {error}", hint=hint)) from error
    except (ValueError, RecursionError) as error:
        raise _not_a_plan(path) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise _not_a_plan(path)
    if content.get("version") != VERSION:
        message = (
            f"{path} has version {content.get('version')!r} of the format; this version of Confiture reads {VERSION}"
        )
        raise InputError(Diagnostic(code="bad-plan", message=message, hint="save the plan again"))
    plan = SavedPlan(content=content)
    if not plan.is_intact:
        message = f"{path} was changed after it was saved: its hash does not match"
        raise Drift(Diagnostic(code="plan-changed", message=message, hint="save the plan again, and review it"))
    return plan


def _not_a_plan(path: Path) -> InputError:
    hint = "create the file with `confiture migrate plan --out FILE`"
    return InputError(Diagnostic(code="bad-plan", message=f"{path} is not a saved plan", hint=hint))


def hash_files(root: Path, paths: Iterable[str]) -> dict[str, str]:
    """Return the SHA-256 of files by path relative to the root; `missing` for a file that cannot be read."""
    return {path: _hash_file(root / path) for path in sorted(set(paths))}


def _hash_file(path: Path) -> str:
    try:
        return sha256(path.read_bytes()).hexdigest()
    except OSError:
        return MISSING


def check_plan_files(root: Path, plan: SavedPlan) -> None:
    """Raise Drift if a file of the plan has changed. The files need not be valid."""
    saved: Mapping[str, str] = {**plan.content["files"], **plan.content["modules"]}
    now = hash_files(root, saved)
    changed = [
        f"{path} {'is missing' if now[path] == MISSING else 'has changed'}"
        for path in saved
        if now[path] != saved[path]
    ]
    if changed:
        raise plan_refused(tuple(changed))


def plan_refused(differences: tuple[str, ...]) -> Drift:
    """Return the error for a saved plan that no longer matches."""
    return Drift(
        Diagnostic(
            code="plan-differs",
            message="the saved plan no longer matches the files, the settings, or the database",
            detail=differences,
            hint="save and review a new plan: `confiture migrate plan --out FILE`",
        )
    )


def project_modules(root: Path, used: Iterable[str]) -> list[str]:
    """Return the paths of imported Python modules in the project, and of the files in `used`, relative to the root."""
    files = [getattr(module, "__file__", None) for module in [*sys.modules.values()]]
    base = os.path.realpath(root)
    inside = [str(file) for file in files if file and os.path.realpath(file).startswith(base + os.sep)]
    return sorted({os.path.relpath(os.path.realpath(file), base) for file in (*inside, *used) if file})
