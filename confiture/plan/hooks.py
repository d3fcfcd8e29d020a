"""Resolving the hooks that steps refer to, and creating steps for hooks that run in every migration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from confiture.errors import DiagnosticCollector, InputError
from confiture.files.python.hooks import find_hooks, is_reference, known_hook_names
from confiture.models.migration import HookRegistration, HookStep, MigrationFile, Phase
from confiture.models.source import LocatedSource
from confiture.text import SuggestionLimit, did_you_mean


@dataclass(frozen=True, kw_only=True, slots=True)
class ProjectHook:
    """A hook named in the settings, with its reference."""

    registration: HookRegistration
    reference: LocatedSource


class HookResolver:
    """The hooks that a project's migrations can use. Errors are added to `problems`.

    In each phase, the migration's steps run first, followed by the hooks registered in its file. The hooks in the
    settings run last, in the order of the settings. A hook named by a step in the migration runs only in that step.
    """

    def __init__(self, named: Sequence[LocatedSource], root: Path, problems: DiagnosticCollector) -> None:
        self._root = root
        self._problems = problems
        self._suggestions = SuggestionLimit()
        self._everywhere: dict[str, ProjectHook] = {}
        for reference in named:
            self._load_hooks(reference)

    def resolve_hook(self, step: HookStep, migration: MigrationFile) -> HookRegistration | None:
        """Return the hook for a step. If the hook is unknown, add an error and return None."""
        name = step.reference.text.strip()
        own, everywhere = step.registration, self._everywhere.get(name)
        if own is not None and everywhere is not None and own is not everywhere.registration:
            self._report_duplicate(step, everywhere)
        if own is not None:
            return own
        if everywhere is not None:
            return everywhere.registration
        if not is_reference(name):
            self._report_unknown(step, migration)
            return None
        try:
            (registration,) = find_hooks(step.reference, self._root)
        except InputError as error:
            self._problems.extend(error.diagnostics)
            return None
        return registration

    def project_hook_steps(self, migration: MigrationFile, phase: Phase) -> Iterator[HookStep]:
        """Yield the steps that the hooks in the settings add to a phase of a migration."""
        if not self._everywhere:
            return
        steps = (step for steps in migration.phases.values() for step in steps)
        step_hooks = {step.reference.text.strip() for step in steps if isinstance(step, HookStep)}
        for name, hook in self._everywhere.items():
            if hook.registration.phase is phase and name not in step_hooks:
                yield HookStep(
                    span=hook.reference.start, name=name, reference=hook.reference, registration=hook.registration
                )

    def _load_hooks(self, reference: LocatedSource) -> None:
        try:
            registrations = find_hooks(reference, self._root)
        except InputError as error:
            self._problems.extend(error.diagnostics)
            return
        for registration in registrations:
            if registration.name in self._everywhere:
                message = f"duplicate hook {registration.name!r}"
                self._report(reference, "duplicate-hook", message, "rename one of the hooks, or remove one reference")
            self._everywhere[registration.name] = ProjectHook(registration=registration, reference=reference)

    def _report_duplicate(self, step: HookStep, project_hook: ProjectHook) -> None:
        location = project_hook.reference.start
        message = f"the hook {step.reference.text!r} is registered here, and for all migrations in {location}"
        self._report(step.reference, "duplicate-hook", message, "rename one of the hooks")

    def _report_unknown(self, step: HookStep, migration: MigrationFile) -> None:
        near = did_you_mean(step.reference.text, self._known_names(migration)) if self._suggestions.use_one() else None
        hint = near or "register the hook, or write module:Class"
        self._report(step.reference, "unknown-hook", f"no hook is registered as {step.reference.text!r}", hint)

    def _known_names(self, migration: MigrationFile) -> list[str]:
        hooks = [hook.registration for hook in self._everywhere.values()]
        steps = (step for steps in migration.phases.values() for step in steps)
        own = [step.registration for step in steps if isinstance(step, HookStep)]
        return known_hook_names([*hooks, *(hook for hook in own if hook is not None)])

    def _report(self, reference: LocatedSource, code: str, message: str, hint: str) -> None:
        self._problems.add(reference.file.diagnostic(reference.start, code, message, hint=hint))


def find_phase_problem(step: HookStep, registration: HookRegistration, phase: Phase) -> str | None:
    """Return the error message for a hook in the wrong phase; None if the phase is valid."""
    if registration.phase is not None and registration.phase is not phase:
        return f"the hook {step.reference.text!r} is for {registration.phase.value}, not for {phase.value}"
    if registration.is_batched and phase in (Phase.ON_ERROR, Phase.DOWN):
        return f"{phase.value} cannot contain a batched hook"
    return None
