"""Projects that are loaded without a database."""

from __future__ import annotations

from typing import Any

from confiture.files.settings import SettingsOverrides, load_settings
from confiture.plan.project import PlannedProject, load_project
from tests.support.projects import Project


def load(project: Project, **variables: Any) -> PlannedProject:
    return load_project(load_settings(project.root, SettingsOverrides(database="embedded"), {}), variables)
