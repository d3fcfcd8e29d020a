"""SARIF 2.1.0, the format of GitHub code scanning and of many editors."""

from __future__ import annotations

import os
import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from confiture import __version__
from confiture.files.access import ANYWHERE, FileAccessError, read_file
from confiture.lint.engine.rule import Rule
from confiture.lint.fingerprints import fingerprint_v1, fingerprint_v2
from confiture.models.findings import Edit, Finding
from confiture.output.writer import LintSummary, Writer
from confiture.text import excerpt_part

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {"error": "error", "warning": "warning", "info": "note"}
_ROOT = "%SRCROOT%"


class SarifWriter(Writer):
    """A writer for SARIF."""

    def findings(self, summary: LintSummary) -> None:
        """Write the findings."""
        from confiture.output.json.document import dump_json

        document = sarif_document(summary.report.findings, summary.rules(), self.context.root, self.context.environ)
        self.context.write_clean(dump_json(document))


def sarif_document(
    findings: Sequence[Finding], rules: Mapping[str, Rule], root: Path, environ: Mapping[str, str]
) -> dict[str, Any]:
    """Return the findings as a SARIF document. Lines and columns start at 1; columns count characters."""
    repository = Path(environ.get("GITHUB_WORKSPACE") or environ.get("CI_PROJECT_DIR") or Path.cwd())
    names = sorted({finding.rule for finding in findings})
    driver = {
        "name": "confiture",
        "version": __version__,
        "rules": [_rule_object(name, rules.get(name)) for name in names],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result_object(finding, names.index(finding.rule), root, repository) for finding in findings],
    }
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule_object(name: str, rule: Rule | None) -> dict[str, Any]:
    """Return a rule as a SARIF object; `rule` is None for errors that reject a file before any rule runs."""
    if rule is None:
        return {"id": name, "defaultConfiguration": {"level": "error"}}
    return {
        "id": name,
        "shortDescription": {"text": rule.summary},
        "fullDescription": {"text": rule.impact},
        "help": {"text": f"Next: {rule.fix_hint}."},
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
        "properties": {"tags": [rule.group.value]},
    }


def _result_object(finding: Finding, index: int, root: Path, repository: Path) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "ruleIndex": index,
        "level": _LEVELS[finding.severity],
        "message": {"text": _message_text(finding)},
        "partialFingerprints": {"confiture/v1": fingerprint_v1(finding), "confiture/v2": fingerprint_v2(finding)},
    }
    if finding.span:
        region: dict[str, Any] = {"startLine": finding.span.line, "startColumn": finding.span.column}
        if finding.excerpt is not None:
            region["snippet"] = {"text": excerpt_part(finding.excerpt, finding.span.column)}
        place = {"artifactLocation": _artifact_location(finding.span.path, root, repository), "region": region}
        result["locations"] = [{"physicalLocation": place}]
    if finding.edits:
        result["fixes"] = [_fix_object(finding, root, repository)]
    return result


def _message_text(finding: Finding) -> str:
    parts = [finding.message, finding.effect, f"Next: {finding.hint}" if finding.hint else "", finding.remedy or ""]
    return "\n".join(part for part in parts if part)


def _artifact_location(path: str, root: Path, repository: Path) -> dict[str, str]:
    relative = os.path.relpath(root / path, repository)
    return {"uri": quote(Path(relative).as_posix()), "uriBaseId": _ROOT}


def _fix_object(finding: Finding, root: Path, repository: Path) -> dict[str, Any]:
    by_file: dict[str, list[Edit]] = {}
    for edit in finding.edits:
        by_file.setdefault(edit.path, []).append(edit)
    changes = [
        {
            "artifactLocation": _artifact_location(path, root, repository),
            "replacements": _replacements(edits, _crlf_offsets(root / path, path)),
        }
        for path, edits in by_file.items()
    ]
    return {"description": {"text": finding.hint or finding.message}, "artifactChanges": changes}


def _replacements(edits: Sequence[Edit], crlf_offsets: Sequence[int]) -> list[dict[str, Any]]:
    replacements = []
    for edit in edits:
        start, end = (at + bisect_left(crlf_offsets, at) for at in (edit.start, edit.end))
        region = {"charOffset": start, "charLength": end - start}
        replacements.append({"deletedRegion": region, "insertedContent": {"text": edit.text}})
    return replacements


def _crlf_offsets(path: Path, display_path: str) -> list[int]:
    """Return the offsets of CRLF line endings in a file; edits count each CRLF as one character."""
    try:
        text = read_file(path, display_path, ANYWHERE).decode("utf-8-sig")  # only offsets are reported, not the text
    except (FileAccessError, UnicodeDecodeError):
        return []
    return [match.start() - number for number, match in enumerate(re.finditer("\r\n", text))]
