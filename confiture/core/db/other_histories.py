"""Detect a renamed project in a database that contains the histories of other projects."""

from __future__ import annotations

from confiture.core.db.history_store import HistoryStore
from confiture.errors import Diagnostic, InputError
from confiture.plan.history import find_project_mismatch
from confiture.plan.project import PlannedProject


def reject_other_history(project: PlannedProject, store: HistoryStore) -> None:
    """Raise InputError if the history is empty and another project's history may belong to this project."""
    problem = find_other_history(project, store)
    if problem is not None:
        raise InputError(problem)


def find_other_history(project: PlannedProject, store: HistoryStore) -> Diagnostic | None:
    """Return that problem as a diagnostic; None if there is none, or if the project has run in this database before."""
    settings, others = project.settings, store.other_histories()
    if not others or store.has_run():
        return None
    return find_project_mismatch(settings.project, settings.is_named, project.ups, others)
