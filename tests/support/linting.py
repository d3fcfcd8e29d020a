"""Lints a project in this process."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.files.settings import SettingsOverrides, load_settings
from confiture.lint.project import LintOptions, lint_project
from confiture.models.findings import Finding, LintReport
from tests.support.projects import Project

KEY, INDEX = "requires_primary_key", "create_index_blocking"


def lint(project: Project, *rules: str, **variables: str) -> LintReport:
    settings = load_settings(project.root, SettingsOverrides(), {})
    return lint_project(settings, LintOptions(rules=rules, variables=variables))


def told(findings: Iterable[Finding]) -> list[str]:
    """Each finding on a line: place, rule, what it is about."""
    return [f"{one.span} {one.rule} {one.relation}" for one in findings]


def told_by(project: Project, *rules: str) -> list[str]:
    return told(lint(project, *rules).findings)


def settings(project: Project, linting: str) -> None:
    """Writes the settings with this `linting:` section, in YAML's flow style."""
    project.write(
        "confiture.yaml", f"migrations: migrations\nschemas: schemas\nvars: {{side: w}}\nlinting: {linting}\n"
    )
