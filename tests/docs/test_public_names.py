"""The names that users import, and the paths that the documents show: they are kept."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import confiture
from tests.support.heavy_modules import HEAVY
from tests.support.paths import REPOSITORY

PUBLIC = """
CheckFailed Claims ConfitureError DatabaseFactory DatabaseUnavailable Diagnostic DownOptions Drift Example ExitCode
ExpectedEffects Group HazardsFound Hit Hook HookConnection HookContext HookCursor HookPhase HookRefused HookResult
InputError LintingError LockHeld Migration MigrationFailed MigrationStopped Migrator Option Project Rule SchemaRule
ScratchDatabase ScratchServer Span StatementRule UpOptions Violation register_hook scratch_server
test_every_migration_goes_up_down_up up_down_up
"""
DOCUMENTED = {
    "confiture": "MigrationFailed Project",
    "confiture.core": "Hook HookConnection HookContext HookPhase HookResult LintingError Migrator register_hook",
    "confiture.lint.rule": "Example Group SchemaRule Violation",
    "confiture.models": "Migration",
    "confiture.models.events": "StepFinished",
    "confiture.testing": "DatabaseFactory ScratchDatabase ScratchServer scratch_server"
    " test_every_migration_goes_up_down_up up_down_up",
}
"""What the documents import, by module. A name may come; none may go."""
EARLIER = {"confiture.core": "HookCursor HookRefused", "confiture.lint.rule": "Claims Hit"}
"""What could be imported from there without being shown."""


def test_the_public_names_are_these() -> None:
    assert sorted(confiture.__all__) == PUBLIC.split()
    assert set(confiture.__all__) <= set(dir(confiture))


def test_star_import_gives_them_all() -> None:
    names: dict[str, object] = {}
    exec("from confiture import *", names)
    assert set(PUBLIC.split()) <= names.keys()


def shown() -> dict[str, str]:
    """The imports of the documents' examples; extending.md shows the package's own modules."""
    found: dict[str, set[str]] = {}
    # extending.md is for who changes Confiture itself
    for path in {*(REPOSITORY / "docs").rglob("*.md"), REPOSITORY / "README.md"} - {REPOSITORY / "docs/extending.md"}:
        for module, names in re.findall(r"^from (confiture[\w.]*) import ([\w, ]+)", path.read_text(), re.MULTILINE):
            found.setdefault(module, set()).update(re.split(r",\s*", names.strip()))
    return {module: " ".join(sorted(names)) for module, names in sorted(found.items())}


def test_the_documents_show_these_paths() -> None:
    assert shown() == DOCUMENTED


@pytest.mark.parametrize("module", DOCUMENTED)
def test_documented_paths_give_what_the_package_gives(module: str) -> None:
    for name in f"{DOCUMENTED[module]} {EARLIER.get(module, '')}".split():
        one = getattr(import_module(module), name)
        assert name in dir(import_module(module))
        if name in PUBLIC.split():
            assert one is getattr(confiture, name), name


def test_type_checkers_see_what_is_imported() -> None:
    """What `TYPE_CHECKING` imports is what each name gives when it runs."""
    tree = ast.parse(Path(confiture.__file__).read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom) and node.module != "typing"]
    typed = {name.name: node.module for node in imports for name in node.names}
    assert sorted(typed) == PUBLIC.split()
    for name, module in typed.items():
        assert getattr(confiture, name) is getattr(import_module(str(module)), name), name


@pytest.mark.parametrize("name", ["Finding", "hook", "__path"])
def test_other_names_are_not_there(name: str) -> None:
    assert not hasattr(confiture, name)
    with pytest.raises(ImportError):
        exec(f"from confiture import {name}")


LAZY = {
    "": (),
    "Hook, HookPhase, HookRefused, HookResult, LintingError, Migration, register_hook": ("postgast", "google.protobuf"),
    "CheckFailed, ExitCode, InputError": (),
}


@pytest.mark.parametrize("names", LAZY, ids=["the package", "hooks and migrations", "errors"])
def test_importing_loads_no_driver(names: str) -> None:
    program = f"from confiture import {names}" if names else "import confiture; dir(confiture)"
    program += "; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert [name for name in HEAVY if name in loaded and name not in LAZY[names]] == []
    assert names or {name for name in loaded if name.startswith("confiture")} == {"confiture"}
