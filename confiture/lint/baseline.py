"""The baseline: findings of an old project that are known, and not shown again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from confiture.errors import Diagnostic, InputError, Span
from confiture.files.reading import read_source
from confiture.models.findings import Finding

DEFAULT_NAME = "confiture-baseline.json"
_FORMAT, _VERSION = "confiture.baseline", 1
_HINT = "`confiture lint --write-baseline` writes a new one"

Baseline = Mapping[str, int]
"""How often each fingerprint is known."""


def baseline_text(findings: Iterable[Finding]) -> str:
    """The file that makes these findings known. Lines do not matter in it, so it outlives edits elsewhere in a file."""
    listed = list(findings)
    counts = Counter(finding.fingerprint for finding in listed)
    entries = [
        {
            "fingerprint": finding.fingerprint,
            "count": counts[finding.fingerprint],
            "rule": finding.rule,
            "file": finding.span.path if finding.span else None,
            "relation": finding.relation,
            "message": finding.message,
        }
        for finding in {finding.fingerprint: finding for finding in listed}.values()
    ]
    document = {"format": _FORMAT, "version": _VERSION, "findings": entries}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def read_baseline(path: Path, root: Path, within: Sequence[Path] | None) -> Baseline:
    """What a baseline file below one of the folders `within` knows. Raises InputError if it is not a baseline."""
    file = read_source(path, root, within)
    try:
        return _entries(json.loads(file.text))
    except json.JSONDecodeError as error:
        span = Span(path=file.path, line=error.lineno, column=error.colno)
        message = f"not valid JSON: {error.msg}"
        raise InputError(file.diagnostic(span, "bad-baseline", message, hint=_HINT)) from error
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        message = f"{file.path} is no baseline of this version"
        span = Span(path=file.path, line=1)
        raise InputError(Diagnostic(code="bad-baseline", message=message, span=span, hint=_HINT)) from error


def _entries(document: Any) -> Baseline:
    if (document["format"], document["version"]) != (_FORMAT, _VERSION):
        raise ValueError
    return {str(entry["fingerprint"]): int(entry["count"]) for entry in document["findings"]}


def unknown(findings: Iterable[Finding], baseline: Baseline) -> tuple[Finding, ...]:
    """The findings that the baseline does not know. Of several alike, as many are known as it counts."""
    left = dict(baseline)
    kept = []
    for finding in findings:
        if left.get(finding.fingerprint, 0) > 0:
            left[finding.fingerprint] -= 1
        else:
            kept.append(finding)
    return tuple(kept)
