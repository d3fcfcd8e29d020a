"""Finding filters: by path, by changed lines, and by baseline."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from confiture.errors import Diagnostic, InputError
from confiture.files.access import display_path
from confiture.lint.baseline import Baseline, drop_known
from confiture.lint.git_changes import Changes, is_changed
from confiture.models.findings import Finding, LintReport

_PROJECT_WIDE = frozenset({"duplicate-version", "missing-requirement", "circular-requirement", "schema_files_differ"})
"""Problems between files: a change in one file can cause them in another."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FindingFilter:
    """The requested filters; None for a filter that is not set.

    `paths` are files and folders relative to the project root.
    """

    paths: tuple[str, ...] | None = None
    changes: Changes | None = None
    baseline: Baseline | None = None

    def apply(self, report: LintReport) -> LintReport:
        """Return the report with only the matching findings."""
        findings = report.findings
        if self.baseline is not None:
            findings = drop_known(findings, self.baseline)
        known = len(report.findings) - len(findings)
        return replace(report, findings=tuple(filter(self.matches, findings)), known=report.known + known)

    def matches(self, finding: Finding) -> bool:
        """Whether a finding is in the requested files and lines."""
        if self.paths is not None and not (finding.span and _is_below(finding.span.path, self.paths)):
            return False
        return self.changes is None or finding.rule in _PROJECT_WIDE or is_changed(finding, self.changes)


def _is_below(path: str, folders: Iterable[str]) -> bool:
    return any(folder in (path, ".") or path.startswith(f"{folder}/") for folder in folders)


def to_finding_paths(paths: Iterable[Path], root: Path) -> tuple[str, ...] | None:
    """Convert paths relative to the working directory to finding paths. Return None if there are no paths.

    Raises InputError if a path does not exist.
    """
    selected = list(paths)
    missing = [path for path in selected if not path.exists()]
    if missing:
        problems = (
            Diagnostic(code="bad-option", message=f"{path} does not exist", hint="name files or folders in the project")
            for path in missing
        )
        raise InputError(*problems)
    return tuple(display_path(path.resolve(), root.resolve()) for path in selected) or None
