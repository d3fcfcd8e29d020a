"""What is wrong with the files of a project."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from confiture.errors import Diagnostic, InputError
from confiture.files.settings import SettingsOverrides, load_settings
from confiture.lint.project import check_rule_settings
from confiture.plan.project import load_project


def mistakes(
    root: Path, files: Mapping[str, str | bytes], environ: Mapping[str, str] | None = None
) -> list[Diagnostic]:
    """What is wrong with a project that holds these files; its migrations and schemas folders are there."""
    for name in ("migrations", "schemas"):
        (root / name).mkdir(exist_ok=True)
    for path, content in {"confiture.yaml": "", **files}.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
    try:
        settings = load_settings(root, SettingsOverrides(), environ or {})
        load_project(settings, {})
        check_rule_settings(settings)
    except InputError as error:
        return list(error.diagnostics)
    return []
