"""GitLab's code quality report, shown in merge requests."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from confiture.lint.fingerprints import fingerprint_v2
from confiture.models.findings import Finding
from confiture.output.ci.github import finding_lines
from confiture.output.writer import LintSummary, Writer
from confiture.text import format_json

_SEVERITIES = {"error": "critical", "warning": "major", "info": "info"}
_NO_FILE = "confiture.yaml"
"""The path reported for findings without a file, because GitLab requires a path."""


class GitLabWriter(Writer):
    """A writer for the code quality report."""

    def findings(self, summary: LintSummary) -> None:
        """Write the findings."""
        self.context.write_clean(code_quality(summary.report.findings, self.context.root, self.context.environ))


def code_quality(findings: Sequence[Finding], root: Path, environ: Mapping[str, str]) -> str:
    """Return the report as JSON. GitLab requires paths relative to the repository, and unique fingerprints."""
    repository = Path(environ.get("CI_PROJECT_DIR") or Path.cwd())
    fingerprints: Counter[str] = Counter()
    issues = []
    for finding in findings:
        path = os.path.relpath(root / (finding.span.path if finding.span else _NO_FILE), repository)
        issues.append(
            {
                "type": "issue",
                "check_name": finding.rule,
                "description": finding.message,
                "content": {"body": "\n\n".join(finding_lines(finding))},
                "categories": ["Bug Risk"],
                "severity": _SEVERITIES[finding.severity],
                "fingerprint": _unique_fingerprint(fingerprint_v2(finding), fingerprints),
                "location": {
                    "path": Path(path).as_posix(),
                    "lines": {"begin": finding.span.line if finding.span else 1},
                },
            }
        )
    return format_json(issues) + "\n"


def _unique_fingerprint(fingerprint: str, used: Counter[str]) -> str:
    """Return the fingerprint; if it is already used, derive another fingerprint that is stable between runs."""
    used[fingerprint] += 1
    if used[fingerprint] == 1:
        return fingerprint
    return hashlib.sha256(f"{fingerprint}/{used[fingerprint]}".encode()).hexdigest()[:16]
