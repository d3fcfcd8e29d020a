"""The JSON documents for lint: findings, rules, and diagnostics for files that cannot be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from confiture.errors import Diagnostic
from confiture.models.findings import SEVERITIES, LintReport
from confiture.output.json.document import with_schema_version
from confiture.output.json.objects import diagnostics_list, finding_object

if TYPE_CHECKING:
    from confiture.lint.engine.rule import Rule


def lint_document(report: LintReport) -> dict[str, Any]:
    """Describe the lint findings."""
    return with_schema_version("confiture.lint") | {
        "source": report.source,
        "before": {"source": report.before, "name": report.before_name or None},
        "files": report.files,
        "statements": report.statements,
        "tables": report.tables,
        "rules": report.rules,
        "suppressed": report.suppressed,
        "known": report.known,
        "notes": list(report.notes),
        "counts": {severity: sum(one.severity == severity for one in report.findings) for severity in SEVERITIES},
        "findings": [finding_object(finding) for finding in report.findings],
    }


def rules_document(rules: Mapping[str, Rule]) -> dict[str, Any]:
    """Describe the lint rules."""
    return with_schema_version("confiture.rules") | {
        "rules": [
            {
                "name": rule.name,
                "aliases": list(rule.aliases),
                "group": rule.group.value,
                "severity": rule.severity,
                "optional": rule.off_by_default,
                "summary": rule.summary,
                "effect": rule.impact,
                "hint": rule.fix_hint,
                "options": {
                    name: {
                        "description": option.description,
                        "required": option.required,
                        "default": option.default,
                    }
                    for name, option in rule.options.items()
                },
            }
            for rule in sorted(rules.values(), key=lambda rule: rule.name)
        ]
    }


def diagnostics_document(diagnostics: Sequence[Diagnostic]) -> dict[str, Any]:
    """Describe problems found outside a run: by `migrate validate`, or in files that cannot be read."""
    return with_schema_version("confiture.diagnostics") | {"diagnostics": diagnostics_list(diagnostics)}
