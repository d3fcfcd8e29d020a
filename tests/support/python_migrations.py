"""Projects whose migrations are written in Python."""

from __future__ import annotations

import pytest

from confiture import InputError
from confiture.files.settings import SettingsOverrides, load_settings
from confiture.plan.project import load_project


def loaded(project, **variables):
    return load_project(load_settings(project.root, SettingsOverrides(database="postgresql://nowhere"), {}), variables)


def problems(project):
    with pytest.raises(InputError) as caught:
        loaded(project)
    return caught.value.diagnostics


IMPORTS = """
from confiture.core import Hook, HookPhase, HookResult, register_hook
from confiture.models import Migration

"""


def write_hooks(project, name, body):
    return project.write(f"migrations/{name}.py", IMPORTS + body)
