"""The baseline: the known findings of an existing project, which lint does not report again.

New files use version 2, which identifies findings by their fingerprints. Version 1 files can still be read. Their
fingerprints contain messages, so their findings are identified by rule, file, and relation.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confiture.errors import Diagnostic, InputError, Span
from confiture.files.source_files import read_source_file
from confiture.lint.engine.rule import Rule
from confiture.lint.fingerprints import finding_path, fingerprint_v2, stable_rule
from confiture.models.findings import Finding

DEFAULT_NAME = "confiture-baseline.json"
_FORMAT, _VERSION = "confiture.baseline", 2
_HINT = "write a new one with `confiture lint --write-baseline`"


class Baseline(ABC):
    """The known findings, with their counts."""

    counts: Mapping[Hashable, int]

    @abstractmethod
    def key(self, finding: Finding) -> Hashable:
        """Return the key of a finding in `counts`."""

    def is_known(self, finding: Finding) -> bool:
        """Whether the finding is certain to be known.

        Among findings with the same key, the certain ones are dropped first.
        """
        return True


@dataclass(frozen=True, slots=True)
class BaselineV1(Baseline):
    """A version 1 baseline. Among findings with the same key, those with a known message are dropped first."""

    counts: Mapping[Hashable, int]
    messages: frozenset[tuple[Hashable, str]]

    def key(self, finding: Finding) -> Hashable:
        return stable_rule(finding), finding_path(finding), finding.relation

    def is_known(self, finding: Finding) -> bool:
        return (self.key(finding), finding.message) in self.messages


@dataclass(frozen=True, slots=True)
class BaselineV2(Baseline):
    """A version 2 baseline."""

    counts: Mapping[Hashable, int]

    def key(self, finding: Finding) -> Hashable:
        return fingerprint_v2(finding)


def baseline_text(findings: Iterable[Finding]) -> str:
    """Return the text of a baseline with these findings.

    The text contains no line numbers, so edits elsewhere in a file do not invalidate the baseline.
    """
    by_fingerprint: dict[str, list[Finding]] = {}
    for finding in findings:
        by_fingerprint.setdefault(fingerprint_v2(finding), []).append(finding)
    entries = [
        {
            "fingerprint": fingerprint,
            "count": len(same),
            "rule": same[0].rule,
            "file": finding_path(same[0]),
            "relation": same[0].relation,
            "subject": same[0].subject,
            "message": same[0].message,
        }
        for fingerprint, same in by_fingerprint.items()
    ]
    document = {"format": _FORMAT, "version": _VERSION, "findings": entries}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def read_baseline(path: Path, root: Path, within: Sequence[Path] | None, rules: Mapping[str, Rule]) -> Baseline:
    """Read a baseline file below one of the folders `within`. Raises InputError if the file is not a baseline."""
    file = read_source_file(path, root, within)
    try:
        return _parse_baseline(json.loads(file.text), rules)
    except json.JSONDecodeError as error:
        span = Span(path=file.path, line=error.lineno, column=error.colno)
        message = f"not valid JSON: {error.msg}"
        raise InputError(file.diagnostic(span, "bad-baseline", message, hint=_HINT)) from error
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        message = f"{file.path} is not a version 1 or version 2 baseline"
        span = Span(path=file.path, line=1)
        raise InputError(Diagnostic(code="bad-baseline", message=message, span=span, hint=_HINT)) from error


def _parse_baseline(document: Any, rules: Mapping[str, Rule]) -> Baseline:
    if document["format"] != _FORMAT:
        raise ValueError
    match document["version"]:
        case 1:
            return _parse_v1(document["findings"], rules)
        case 2:
            return BaselineV2(_count_entries((str(entry["fingerprint"]), entry) for entry in document["findings"]))
    raise ValueError


def _parse_v1(entries: Sequence[Mapping[str, Any]], rules: Mapping[str, Rule]) -> BaselineV1:
    keyed = [((_stable_rule_name(entry["rule"], rules), entry["file"], entry["relation"]), entry) for entry in entries]
    return BaselineV1(_count_entries(keyed), frozenset((key, entry["message"]) for key, entry in keyed))


def _stable_rule_name(name: str, rules: Mapping[str, Rule]) -> str:
    rule = rules.get(name)
    return rule.stable_name if rule else name


def _count_entries(entries: Iterable[tuple[Hashable, Mapping[str, Any]]]) -> Counter[Hashable]:
    counts: Counter[Hashable] = Counter()
    for key, entry in entries:
        counts[key] += int(entry["count"])
    return counts


def drop_known(findings: Sequence[Finding], baseline: Baseline) -> tuple[Finding, ...]:
    """Return the findings that are not in the baseline.

    At most as many findings per key are dropped as the baseline counts.
    """
    remaining = dict(baseline.counts)
    new = set()
    for number in sorted(range(len(findings)), key=lambda number: not baseline.is_known(findings[number])):
        key = baseline.key(findings[number])
        if remaining.get(key, 0) > 0:
            remaining[key] -= 1
        else:
            new.add(number)
    return tuple(findings[number] for number in sorted(new))
