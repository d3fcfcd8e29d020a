"""Fingerprints, which identify a finding from run to run in baselines, SARIF, GitLab reports, and JSON.

Fingerprints are a wire format: each version produces the same values forever. Changing the parts, their order, or the
digest requires a new version. Fingerprints contain stable rule names, so renaming a rule does not change them.
"""

from __future__ import annotations

import hashlib
import json

from confiture.models.findings import Finding
from confiture.sql.parsing import normalize_sql

_DIGITS = 16


def fingerprint_v1(finding: Finding) -> str:
    """Return the version 1 fingerprint, computed from the rule, file, relation, and message.

    It changes if a message is reworded.
    """
    return _digest(
        "\0".join((stable_rule(finding), finding_path(finding) or "", finding.relation or "", finding.message))
    )


def fingerprint_v2(finding: Finding) -> str:
    """Return the version 2 fingerprint, computed from the rule, file, relation, subject, and statement.

    White space and comments in the statement do not matter.
    """
    statement = None if finding.statement is None else normalize_sql(finding.statement)
    parts = ["v2", stable_rule(finding), finding_path(finding), finding.relation, finding.subject, statement]
    return _digest(json.dumps(parts))


def stable_rule(finding: Finding) -> str:
    """Return the stable name of a finding's rule, which does not change when the rule is renamed."""
    return finding.stable_rule or finding.rule


def finding_path(finding: Finding) -> str | None:
    """Return a finding's file path; None for a finding in a database."""
    return finding.span.path if finding.span else None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
