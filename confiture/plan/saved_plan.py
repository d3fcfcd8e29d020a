"""The part of a saved plan that follows from the files and the settings: migrations, files, modules, and settings."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from confiture.errors import Diagnostic, InputError
from confiture.files.saved_plans import hash_files, plan_refused, project_modules
from confiture.models.plan import PlannedMigration, PlannedStep, Segment
from confiture.models.saved_plans import SavedPlan
from confiture.models.settings import Settings
from confiture.models.source import LocatedSource, SourceFile
from confiture.models.variables import EnvironmentText
from confiture.plan.checksums import digest, segment_fingerprint
from confiture.plan.project import PlannedProject
from confiture.secrets import hide_secrets, is_secret_name

_NOT_SETTINGS = frozenset(
    {
        "root",
        "environ",
        "url",
        "url_from",
        "throwaway_url",
        "password_command",
        "on_run_finished",
        "span",
        "spans",
        "file",
    }
)
"""Fields that do not change what runs. The database is identified by what it reports, not by how it is reached."""


def describe_project(project: PlannedProject, plans: Sequence[PlannedMigration]) -> dict[str, Any]:
    """Return the sections that follow from the project."""
    downs = [project.downs[plan.version] for plan in plans if plan.version in project.downs]
    paths = {path for plan in (*plans, *downs) for path in _plan_files(plan)}
    baseline = project.settings.linting.baseline
    if baseline is not None:
        paths.add(_relative(baseline, project.settings.root))
    modules = project_modules(project.settings.root, _hook_files((*plans, *downs)))
    return {
        "project": project.settings.project,
        "environment": project.settings.environment,
        "migrations": [_migration_object(plan, project.downs.get(plan.version)) for plan in plans],
        "files": hash_files(project.settings.root, paths),
        "modules": hash_files(project.settings.root, set(modules) - paths),
        "settings": describe_settings(project.settings),
    }


def reject_secrets(plans: Iterable[PlannedMigration]) -> None:
    """Raise InputError for each statement that contains a secret, because the plan is a file that people review."""
    problems = []
    for plan in plans:
        for segment in (*plan.segments, *plan.on_error):
            texts = [*segment.settings, *(one.text for step in segment.steps for one in step.statements)]
            if any(hide_secrets(text) != text for text in texts):
                step = segment.steps[0]
                problems.append(
                    Diagnostic(
                        code="secret-in-plan",
                        message=f"{plan.migration.label}: the SQL contains a secret value, which a plan would show",
                        span=step.span,
                        hint="run `confiture migrate up` without a saved plan, or pass the value in another way",
                    )
                )
    if problems:
        raise InputError(*dict.fromkeys(problems))


def describe_settings(settings: Settings) -> Any:
    """Return all settings that change how migrations run, as JSON. Environment values are references."""
    return _setting_value(settings, settings.root)


def check_plan_settings(settings: Settings, plan: SavedPlan) -> None:
    """Raise Drift if the settings differ from those of a saved plan."""
    current = SavedPlan(content={"settings": describe_settings(settings)})
    differences = SavedPlan(content={"settings": plan.content["settings"]}).differences(current)
    if differences:
        raise plan_refused(differences)


def _setting_value(value: Any, root: Path, name: str = "") -> Any:
    match value:
        case None | bool() | int() | float() | str():
            return digest(value) if isinstance(value, str) and name and is_secret_name(name) else value
        case Enum():
            return value.value
        case Path():
            return _relative(value, root)
        case EnvironmentText():
            return str(value)
        case LocatedSource():
            return value.text
        case SourceFile():
            return value.path
        case Mapping():
            return {str(key): _setting_value(one, root, str(key)) for key, one in value.items()}
        case tuple() | list() | set() | frozenset():
            return [_setting_value(one, root, name) for one in value]
    if is_dataclass(value):
        return {
            one.name: _setting_value(getattr(value, one.name), root, one.name)
            for one in fields(value)
            if one.name not in _NOT_SETTINGS
        }
    return str(value)


def _relative(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _plan_files(plan: PlannedMigration) -> Iterator[str]:
    yield plan.migration.file.path
    for segment in (*plan.segments, *plan.on_error):
        for step in segment.steps:
            yield step.rendered.source.file.path


def _hook_files(plans: Iterable[PlannedMigration]) -> Iterator[str]:
    for plan in plans:
        for segment in (*plan.segments, *plan.on_error):
            for step in segment.steps:
                if step.hook is not None:
                    yield inspect.getsourcefile(step.hook.hook) or ""


def _migration_object(plan: PlannedMigration, down: PlannedMigration | None) -> dict[str, Any]:
    return {
        "version": plan.version,
        "name": plan.migration.name,
        "description": plan.migration.description,
        "requires": [one.version for one in plan.migration.requires],
        "checksum": plan.checksum,
        "segments": [_segment_object(segment) for segment in plan.segments],
        "on_error": [_segment_object(segment) for segment in plan.on_error],
        "down": None if down is None else [_segment_object(segment) for segment in down.segments],
    }


def _segment_object(segment: Segment) -> dict[str, Any]:
    return {
        "number": segment.number,
        "transaction": segment.transaction_mode.value,
        "fingerprint": segment_fingerprint(segment.steps),
        "settings": list(segment.settings),
        "steps": [_step_object(step) for step in segment.steps],
    }


def _step_object(step: PlannedStep) -> dict[str, Any]:
    return {
        "phase": step.phase.value,
        "number": step.number,
        "part": step.part,
        "name": step.name,
        "kind": step.kind,
        "file": step.rendered.source.file.path,
        "once": step.once,
        "skipped": step.skip_reason,
        "timeout_ms": step.timeout_ms,
        "lock_timeout_ms": step.lock_timeout_ms,
        "content": _content_text(step),
        "statements": [statement.text for statement in step.statements],
    }


def _content_text(step: PlannedStep) -> str | None:
    """Return what a step contains besides its statements, as text."""
    if step.hook is not None:
        return f"hook {step.hook.name}{' in batches' if step.hook.is_batched else ''}"
    return None if step.content is None else hide_secrets(repr(step.content))
