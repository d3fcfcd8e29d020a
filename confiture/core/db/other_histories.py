"""Databases that hold the histories of other projects: is this one new, or was it renamed?"""

from __future__ import annotations

from confiture.core.db.history_store import HistoryStore
from confiture.errors import Diagnostic, InputError
from confiture.plan.history import find_project_mismatch
from confiture.plan.project import PlannedProject


def reject_other_history(project: PlannedProject, store: HistoryStore) -> None:
    """For a history without rows: raises InputError if that of another project may be this one's."""
    problem = find_other_history(project, store)
    if problem is not None:
        raise InputError(problem)


def find_other_history(project: PlannedProject, store: HistoryStore) -> Diagnostic | None:
    """The same as a diagnostic, None where nothing is wrong. A project that ran here before is not another's."""
    settings, others = project.settings, store.other_histories()
    if not others or store.has_run():
        return None
    return find_project_mismatch(settings.project, settings.is_named, project.ups, others)
