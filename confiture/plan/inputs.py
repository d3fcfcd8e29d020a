"""The inputs of a migration besides its texts: variables from outside, hooks, and imported modules.

The history records each of these by hash. If one changes, a replay may give another result. The hashes are a wire
format: SHA-256 of JSON for values, and of the file for code. A value that is in no project file may be guessed from its
hash, so its hash is salted and slow to compute. Values of variables with secret names are not recorded.
"""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from hashlib import pbkdf2_hmac, sha256
from pathlib import Path
from typing import Any

from confiture.files.migration import PYTHON
from confiture.files.python.modules import MIGRATION_MODULE
from confiture.models.migration import UP_PHASES, MigrationFile
from confiture.models.plan import InputKind, MigrationInput, PlannedStep
from confiture.models.settings import Settings
from confiture.models.variables import EnvironmentText, Variables
from confiture.plan.rendering import BUILTINS, find_template_names
from confiture.secrets import is_secret_name

_ROUNDS = 20_000
_ENVIRONMENT = f"{BUILTINS}.environment"


def collect_inputs(
    migration: MigrationFile,
    steps: Iterable[PlannedStep],
    settings: Settings,
    variables: Variables,
    overrides: Mapping[str, Any],
) -> tuple[MigrationInput, ...]:
    """Return the inputs of a migration's up phases, sorted. `overrides` are variables from the command line."""
    steps = list(steps)
    # a hook may read any variable
    used = None if any(step.hook is not None for step in steps) else _used_names(migration)
    outside = {
        name: value
        for name, value in variables.values.items()
        if (used is None or name in used) and _is_from_outside(name, migration, overrides)
    }
    values = {name: _hash_value(name, value, settings, variables) for name, value in outside.items()}
    if used is None or _ENVIRONMENT in used:
        values[_ENVIRONMENT] = _hash_public(settings.environment)
    found = [
        *((InputKind.VARIABLE, name, digest) for name, digest in values.items() if not is_secret_name(name)),
        *((InputKind.HOOK, name, digest) for name, digest in _hook_hashes(steps)),
        *((InputKind.MODULE, name, digest) for name, digest in _module_hashes(migration, settings.root)),
    ]
    return tuple(MigrationInput(kind=kind, name=name, digest=digest) for kind, name, digest in sorted(set(found)))


def _used_names(migration: MigrationFile) -> frozenset[str] | None:
    """Return the variables that the templates of the up phases use; None if all may be used."""
    steps = [step for phase in UP_PHASES for step in migration.steps(phase)]
    conditions = [step.when.text for step in steps if step.when is not None]
    texts = [step.located_source.text for step in steps] + [f"{{{{ {text} }}}}" for text in conditions]
    names = frozenset(name for text in texts for name in find_template_names(text))
    return None if "vars" in names else names


def _is_from_outside(name: str, migration: MigrationFile, overrides: Mapping[str, Any]) -> bool:
    own = migration.variables.get(name)
    return name in overrides or name not in migration.variables or isinstance(own, EnvironmentText)


def _hash_value(name: str, value: object, settings: Settings, variables: Variables) -> str:
    if name in variables.private_names:
        return _hash_private(f"{settings.project}\0{name}", _to_json(value))
    return _hash_public(value)


def _hash_public(value: object) -> str:
    return sha256(_to_json(value).encode()).hexdigest()


@cache  # many migrations use the same variable
def _hash_private(salt: str, text: str) -> str:
    return pbkdf2_hmac("sha256", text.encode(), salt.encode(), _ROUNDS).hex()


def _to_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


def _hook_hashes(steps: Iterable[PlannedStep]) -> Iterator[tuple[str, str]]:
    """Yield the name of each hook that another file defines, and the hash of this file."""
    for step in steps:
        if step.hook is not None and not step.hook.hook.__module__.startswith(MIGRATION_MODULE):
            path = inspect.getsourcefile(step.hook.hook)
            if path is not None:
                yield step.hook.name, _hash_file(Path(path))


def _module_hashes(migration: MigrationFile, root: Path) -> Iterator[tuple[str, str]]:
    """Yield the project's modules that a Python migration imports, also indirectly, and the hashes of their files."""
    if not migration.file.path.endswith(PYTHON):
        return
    pending, visited = [migration.file.text], set[Path]()
    while pending:
        for path in _imported_files(pending.pop(), root):
            if path not in visited:
                visited.add(path)
                yield path.relative_to(root).as_posix(), _hash_file(path)
                pending.append(path.read_text(encoding="utf-8", errors="replace"))


def _imported_files(code: str, root: Path) -> Iterator[Path]:
    try:
        tree = ast.parse(code)
    except SyntaxError:  # a module that is imported only in some cases
        return
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            parts = name.split(".")
            for length in range(1, len(parts) + 1):
                base = root.joinpath(*parts[:length])
                yield from (path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file())


def _hash_file(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()
