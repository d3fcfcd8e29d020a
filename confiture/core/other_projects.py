"""Databases that hold the histories of other projects: is this one new, or was it renamed?"""

from __future__ import annotations

from confiture.core.state import StateStore
from confiture.errors import Diagnostic, InputError
from confiture.plan.history import renamed_project
from confiture.plan.project import PlannedProject


def refuse_other_history(project: PlannedProject, state: StateStore) -> None:
    """For a history without rows: raises InputError if that of another project may be this one's."""
    problem = find_other_history(project, state)
    if problem is not None:
        raise InputError(problem)


def find_other_history(project: PlannedProject, state: StateStore) -> Diagnostic | None:
    """The same as a diagnostic, None where nothing is wrong. A project that ran here before is not another's."""
    settings, others = project.settings, state.others()
    if not others or state.has_run():
        return None
    return renamed_project(settings.project, settings.is_named, project.ups, others)
