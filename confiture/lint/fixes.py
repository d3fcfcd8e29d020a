"""Application of fixes. A fix that does not pass a new lint run is reverted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from confiture.files.access import read_file, write_file
from confiture.lint.fingerprints import fingerprint_v1
from confiture.models.findings import Edit, Finding, LintReport
from confiture.models.settings import Settings

_MOST_PASSES = 10
_UNWRITABLE = "make the file and its folder writable, or omit --fix"


@dataclass(frozen=True, kw_only=True, slots=True)
class FixResult:
    """The fixed findings, the findings whose fixes were rejected, and the report of the remaining findings."""

    fixed: tuple[Finding, ...]
    rejected: tuple[Finding, ...]
    report: LintReport


def apply_fixes(
    settings: Settings, lint: Callable[[], LintReport], is_selected: Callable[[Finding], bool]
) -> FixResult:
    """Apply the selected findings' fixes, file by file, and lint again.

    A fix is kept only if its finding disappears, no new finding appears, and the file's comments are unchanged. Raises
    InputError if a file cannot be written.
    """
    report = lint()
    fixed: list[Finding] = []
    rejected: list[Finding] = []
    for _ in range(_MOST_PASSES):
        by_path = _group_by_path(
            finding for finding in report.findings if is_selected(finding) and finding not in rejected
        )
        if not by_path:
            break
        for path, findings in by_path.items():
            applied, report = _fix_file(_EditableFile(settings, path), findings, report, lint)
            if applied:
                fixed += applied
            else:
                rejected += findings
    return FixResult(fixed=tuple(fixed), rejected=tuple(rejected), report=report)


def _group_by_path(findings: Iterable[Finding]) -> Mapping[str, list[Finding]]:
    """Return the findings with a fix, grouped by the single file that the fix changes."""
    by_path: dict[str, list[Finding]] = {}
    for finding in findings:
        paths = {edit.path for edit in finding.edits}
        if len(paths) == 1:
            by_path.setdefault(paths.pop(), []).append(finding)
    return by_path


class _EditableFile:
    """A file to fix. Its methods raise InputError if the file cannot be read or written."""

    def __init__(self, settings: Settings, display_path: str) -> None:
        self._path = settings.root / display_path
        self._display_path = display_path
        self._folders = settings.folders

    def read(self) -> bytes:
        return read_file(self._path, self._display_path, self._folders)

    def write(self, content: bytes) -> None:
        """Write the file atomically, preserving its permissions."""
        write_file(self._path, self._display_path, content, self._folders)


def _fix_file(
    file: _EditableFile, findings: Sequence[Finding], before: LintReport, lint: Callable[[], LintReport]
) -> tuple[tuple[Finding, ...], LintReport]:
    """Apply as many compatible fixes to a file as possible.

    Return the fixed findings; none if the file is unchanged.
    """
    content = file.read()
    text = content.decode("utf-8-sig").replace("\r\n", "\n")
    if _encode_like(content, text) != content:
        # with mixed line endings, the fix would change every line ending
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
    # perhaps only one of the fixes is to blame
    if len(chosen) > 1:
        for finding in chosen:
            applied, report = _fix_file(file, [finding], before, lint)
            if applied:
                return applied, report
    return (), before


def _select_non_overlapping(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return findings whose edits neither overlap nor touch; earlier findings take precedence."""
    edits: list[Edit] = []
    chosen = []
    for finding in findings:
        if all(edit.end < other.start or other.end < edit.start for edit in finding.edits for other in edits):
            edits += finding.edits
            chosen.append(finding)
    return tuple(chosen)


def _apply_edits(text: str, edits: Iterable[Edit]) -> str:
    for edit in sorted(edits, key=lambda edit: edit.start, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


def _encode_like(content: bytes, text: str) -> bytes:
    """Return the text with the byte order mark and line endings of the original content."""
    mark = b"\xef\xbb\xbf" if content.startswith(b"\xef\xbb\xbf") else b""
    return mark + (text.replace("\n", "\r\n") if b"\r\n" in content else text).encode()


def _find_comments(text: str) -> list[str]:
    """Return the comments in an SQL file, or in the SQL and YAML of a migration as far as an SQL scanner can detect
    them.
    """
    from confiture.sql.parser import pb, postgast, scan_tokens

    encoded = text.encode()
    kinds = (pb.Token.SQL_COMMENT, pb.Token.C_COMMENT)
    try:
        tokens = scan_tokens(text)
    except postgast.PgQueryError:
        return [line.strip() for line in text.split("\n") if line.lstrip().startswith(("#", "--"))]
    return [encoded[token.start : token.end].decode() for token in tokens if token.token in kinds]


def _is_clean_fix(before: LintReport, after: LintReport, fixed: Sequence[Finding]) -> bool:
    """Whether the fixed findings disappeared and no new findings appeared."""
    # use version 1, which hashes messages: a fix changes the statement, and therefore the version 2 fingerprints of its
    # other findings
    old, removed, new = (Counter(map(fingerprint_v1, one)) for one in (before.findings, fixed, after.findings))
    return new <= old - removed
