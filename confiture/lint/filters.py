"""Which findings are shown: those in some files, in changed lines, those that no baseline knows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from confiture.errors import Diagnostic, InputError
from confiture.files.access import display_path
from confiture.lint.baseline import Baseline, drop_known
from confiture.lint.git_changes import Changes, is_changed
from confiture.models.findings import Finding, LintReport

_PROJECT_WIDE = frozenset({"duplicate-version", "missing-requirement", "circular-requirement"})
"""Mistakes between files: a change of one file can cause them in another."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FindingFilter:
    """What is asked for; None for what is not narrowed. `paths` are files and folders, from the project's root."""

    paths: tuple[str, ...] | None = None
    changes: Changes | None = None
    baseline: Baseline | None = None

    def apply(self, report: LintReport) -> LintReport:
        """The report with what is left of its findings."""
        findings = report.findings
        if self.baseline is not None:
            findings = drop_known(findings, self.baseline)
        known = len(report.findings) - len(findings)
        return replace(report, findings=tuple(filter(self.matches, findings)), known=report.known + known)

    def matches(self, finding: Finding) -> bool:
        """Whether a finding is in the files and lines that are asked for."""
        if self.paths is not None and not (finding.span and _is_below(finding.span.path, self.paths)):
            return False
        return self.changes is None or finding.rule in _PROJECT_WIDE or is_changed(finding, self.changes)


def _is_below(path: str, folders: Iterable[str]) -> bool:
    return any(folder in (path, ".") or path.startswith(f"{folder}/") for folder in folders)


def to_finding_paths(paths: Iterable[Path], root: Path) -> tuple[str, ...] | None:
    """Paths from the working directory as findings have them, None where there are none. Raises InputError."""
    given = list(paths)
    missing = [path for path in given if not path.exists()]
    if missing:
        problems = (
            Diagnostic(
                code="bad-option", message=f"there is no file {path}", hint="name files or folders of the project"
            )
            for path in missing
        )
        raise InputError(*problems)
    return tuple(display_path(path.resolve(), root.resolve()) for path in given) or None
