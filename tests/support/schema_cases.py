"""Lets one schema rule judge a few statements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from confiture.lint.engine.configuration import default_active_rule
from confiture.lint.engine.context import LintTarget
from confiture.lint.engine.findings import to_findings
from confiture.lint.engine.replay import SchemaReader, check_schema
from confiture.lint.registry import built_in_rules
from confiture.models.catalog import QualifiedName
from confiture.models.findings import Finding
from confiture.models.settings import LintSettings, RuleSettings, TenancySettings
from confiture.plan.rendering import render_verbatim
from confiture.sql.parsing import parse_statements
from tests.support.rule_examples import SETTINGS, source


def lint(
    rule: str,
    *texts: str,
    options: Mapping[str, Any] | None = None,
    folder: str = "schemas",
    rows: Mapping[QualifiedName, int] | None = None,
    tenancy: TenancySettings | None = None,
    entries: Sequence[RuleSettings] = (),
) -> tuple[Finding, ...]:
    """What one rule finds in a schema of one or several files."""
    reader = SchemaReader()
    for number, text in enumerate(texts, start=1):
        reader.read(render_verbatim(source(f"{folder}/{number:02}.sql", text)))
    settings = replace(SETTINGS, tenancy=tenancy or TenancySettings(), linting=LintSettings(rules=tuple(entries)))
    surroundings = LintTarget(settings=settings, postgres_version=18, table_rows=rows or {})
    active = default_active_rule(built_in_rules()[rule], options)
    return to_findings(check_schema([active], reader.catalog, reader.catalog_issues, surroundings))


def assert_finds(findings: Sequence[Finding], *fragments: str) -> None:
    """Each finding, in order, has one of the fragments in its message; each remedy parses."""
    messages = [finding.message for finding in findings]
    assert len(messages) == len(fragments), messages
    for message, fragment in zip(messages, fragments, strict=True):
        assert fragment in message, messages
    for finding in findings:
        if finding.remedy:
            statements, problems = parse_statements(finding.remedy)
            assert statements and not problems, finding.remedy


def case(name: str, sql: str, *fragments: str, **options: Any) -> Any:
    return pytest.param(sql, fragments, options, id=name)
