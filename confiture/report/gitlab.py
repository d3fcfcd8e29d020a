"""GitLab's code quality report: what merge requests show beside the lines."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from confiture.lint.fingerprints import fingerprint_v2
from confiture.models.findings import Finding
from confiture.report.github import told_lines
from confiture.report.writer import LintSummary, Writer
from confiture.text import json_text

_SEVERITIES = {"error": "critical", "warning": "major", "info": "info"}
_NO_FILE = "confiture.yaml"
"""Where findings stand that no file has: GitLab wants one."""


class GitLabWriter(Writer):
    """Writes the report of findings."""

    def findings(self, summary: LintSummary) -> None:
        """The findings."""
        self.context.write(code_quality(summary.report.findings, self.context.root, self.context.environ))


def code_quality(findings: Sequence[Finding], root: Path, environ: Mapping[str, str]) -> str:
    """The report as JSON. GitLab wants paths relative to the repository, and each fingerprint once."""
    repository = Path(environ.get("CI_PROJECT_DIR") or Path.cwd())
    seen: Counter[str] = Counter()
    issues = []
    for finding in findings:
        path = os.path.relpath(root / (finding.span.path if finding.span else _NO_FILE), repository)
        issues.append(
            {
                "type": "issue",
                "check_name": finding.rule,
                "description": finding.message,
                "content": {"body": "\n\n".join(told_lines(finding))},
                "categories": ["Bug Risk"],
                "severity": _SEVERITIES[finding.severity],
                "fingerprint": _once(fingerprint_v2(finding), seen),
                "location": {
                    "path": Path(path).as_posix(),
                    "lines": {"begin": finding.span.line if finding.span else 1},
                },
            }
        )
    return json_text(issues) + "\n"


def _once(fingerprint: str, seen: Counter[str]) -> str:
    """The fingerprint; where it was there before, another that is the same in the next run."""
    seen[fingerprint] += 1
    if seen[fingerprint] == 1:
        return fingerprint
    return hashlib.sha256(f"{fingerprint}/{seen[fingerprint]}".encode()).hexdigest()[:16]
