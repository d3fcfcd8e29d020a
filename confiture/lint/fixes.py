"""Applies the fixes that findings carry, and takes back those that do not stand the test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from confiture.files.access import read_file, write_file
from confiture.lint.fingerprints import fingerprint_v1
from confiture.models.findings import Edit, Finding, LintReport
from confiture.models.settings import Settings

_MOST_PASSES = 10
_UNWRITABLE = "make the file and its folder writable, or leave --fix out"


@dataclass(frozen=True, kw_only=True, slots=True)
class FixResult:
    """What was fixed, what was not although it could have been, and the report of what is left."""

    fixed: tuple[Finding, ...]
    rejected: tuple[Finding, ...]
    report: LintReport


def apply_fixes(
    settings: Settings, lint: Callable[[], LintReport], is_selected: Callable[[Finding], bool]
) -> FixResult:
    """Applies the fixes of the wanted findings, file by file, and lints again.

    A file keeps a fix only if its finding is gone then, nothing new is found, and its comments are as before. Raises
    InputError where a file cannot be written.
    """
    report = lint()
    fixed: list[Finding] = []
    refused: list[Finding] = []
    for _ in range(_MOST_PASSES):
        by_path = _group_by_path(
            finding for finding in report.findings if is_selected(finding) and finding not in refused
        )
        if not by_path:
            break
        for path, findings in by_path.items():
            tried, report = _fix_file(_EditableFile(settings, path), findings, report, lint)
            if tried:
                fixed += tried
            else:
                refused += findings
    return FixResult(fixed=tuple(fixed), rejected=tuple(refused), report=report)


def _group_by_path(findings: Iterable[Finding]) -> Mapping[str, list[Finding]]:
    """The findings with a fix, by the one file that the fix changes."""
    by_path: dict[str, list[Finding]] = {}
    for finding in findings:
        paths = {edit.path for edit in finding.edits}
        if len(paths) == 1:
            by_path.setdefault(paths.pop(), []).append(finding)
    return by_path


class _EditableFile:
    """A file that is fixed. Raises InputError if it cannot be read or written."""

    def __init__(self, settings: Settings, display_path: str) -> None:
        self._path = settings.root / display_path
        self._display_path = display_path
        self._folders = settings.folders

    def read(self) -> bytes:
        return read_file(self._path, self._display_path, self._folders)

    def write(self, content: bytes) -> None:
        """Writes the file whole or not at all, with its permissions."""
        write_file(self._path, self._display_path, content, self._folders)


def _fix_file(
    file: _EditableFile, findings: Sequence[Finding], before: LintReport, lint: Callable[[], LintReport]
) -> tuple[tuple[Finding, ...], LintReport]:
    """Fixes as much of a file as fits together. Gives the findings that are gone, none where the file is as it was."""
    content = file.read()
    text = content.decode("utf-8-sig").replace("\r\n", "\n")
    if _encode_like(content, text) != content:
        # of mixed line ends: the fix would change them all
        return (), before
    chosen = _select_non_overlapping(findings)
    changed = _apply_edits(text, [edit for finding in chosen for edit in finding.edits])
    if changed == text or _find_comments(changed) != _find_comments(text):
        return (), before
    file.write(_encode_like(content, changed))
    try:
        after = lint()
    except BaseException:
        file.write(content)
        raise
    if _is_clean_fix(before, after, chosen):
        return chosen, after
    file.write(content)
    # perhaps one of them is at fault
    if len(chosen) > 1:
        for finding in chosen:
            gone, report = _fix_file(file, [finding], before, lint)
            if gone:
                return gone, report
    return (), before


def _select_non_overlapping(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Findings whose edits do not touch each other, the first ones first."""
    taken: list[Edit] = []
    chosen = []
    for finding in findings:
        if all(edit.end < other.start or other.end < edit.start for edit in finding.edits for other in taken):
            taken += finding.edits
            chosen.append(finding)
    return tuple(chosen)


def _apply_edits(text: str, edits: Iterable[Edit]) -> str:
    for edit in sorted(edits, key=lambda edit: edit.start, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


def _encode_like(content: bytes, text: str) -> bytes:
    """The text with the byte order mark and the line ends that the file had."""
    mark = b"\xef\xbb\xbf" if content.startswith(b"\xef\xbb\xbf") else b""
    return mark + (text.replace("\n", "\r\n") if b"\r\n" in content else text).encode()


def _find_comments(text: str) -> list[str]:
    """The comments of an SQL file, or of the SQL and the YAML of a migration as far as a scanner of SQL sees them."""
    from confiture.sql.parser import pb, postgast, scan_tokens

    encoded = text.encode()
    kinds = (pb.Token.SQL_COMMENT, pb.Token.C_COMMENT)
    try:
        tokens = scan_tokens(text)
    except postgast.PgQueryError:
        return [line.strip() for line in text.split("\n") if line.lstrip().startswith(("#", "--"))]
    return [encoded[token.start : token.end].decode() for token in tokens if token.token in kinds]


def _is_clean_fix(before: LintReport, after: LintReport, fixed: Sequence[Finding]) -> bool:
    """Whether what was to be fixed is gone, and nothing else has come."""
    # by messages: a fix changes the statement, and with it the newer fingerprints of what else is wrong there
    old, gone, new = (Counter(map(fingerprint_v1, one)) for one in (before.findings, fixed, after.findings))
    return new <= old - gone
