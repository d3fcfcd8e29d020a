"""Runs a project for a program, which gets the report that the command line prints."""

from __future__ import annotations

from confiture.core.database import open_database
from confiture.core.events import Emit, Emitter
from confiture.core.migrate import DownOptions, UpOptions, down, up
from confiture.core.project import Project
from confiture.models.events import Noted
from confiture.models.folding import Folding
from confiture.models.reports import RunReport


def carry_out(project: Project, options: UpOptions | DownOptions, on_event: Emit | None) -> RunReport:
    """Runs or rehearses the project on the database of its settings; an embedded server runs meanwhile.

    Raises as `up` and `down` do.
    """
    folding = Folding()
    emit = Emitter(folding, *([on_event] if on_event else []))
    with open_database(project.settings, lambda text: emit(Noted(text=text))) as database:
        if isinstance(options, UpOptions):
            up(project, database, options, emit)
        else:
            down(project, database, options, emit)
    return folding.report
