"""Fingerprints: what stays the same of a finding from run to run. Baselines, SARIF, GitLab and JSON carry them.

They are a wire form: each version gives the same values forever. A change of the parts, of their order or of the
digest is a new version. Rules stand in them by their stable names, so a rename changes none.
"""

from __future__ import annotations

import hashlib
import json

from confiture.models.findings import Finding
from confiture.sql.parsing import normalize_sql

_DIGITS = 16


def fingerprint_v1(finding: Finding) -> str:
    """Version 1: rule, file, relation and message. Changes when a message is reworded."""
    return _digest(
        "\0".join((stable_rule(finding), finding_path(finding) or "", finding.relation or "", finding.message))
    )


def fingerprint_v2(finding: Finding) -> str:
    """Version 2: rule, file, relation, subject and the statement, blind to its white space and comments."""
    statement = None if finding.statement is None else normalize_sql(finding.statement)
    parts = ["v2", stable_rule(finding), finding_path(finding), finding.relation, finding.subject, statement]
    return _digest(json.dumps(parts))


def stable_rule(finding: Finding) -> str:
    """The name of its rule that does not change when the rule is renamed."""
    return finding.stable_rule or finding.rule


def finding_path(finding: Finding) -> str | None:
    """The path of its file, None for what was found in a database."""
    return finding.span.path if finding.span else None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
