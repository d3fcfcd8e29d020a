"""The baseline: findings of an old project that are known, and not shown again.

A file of version 2 is written: it knows findings by their fingerprints. One of version 1 is read as well: its
fingerprints contain messages, so it knows findings by rule, file and relation.
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
_HINT = "`confiture lint --write-baseline` writes a new one"


class Baseline(ABC):
    """How often each finding is known."""

    counts: Mapping[Hashable, int]

    @abstractmethod
    def key(self, finding: Finding) -> Hashable:
        """What `counts` knows the finding by."""

    def is_known(self, finding: Finding) -> bool:
        """Whether the finding, of several with one key, is surely one of those that are known."""
        return True


@dataclass(frozen=True, slots=True)
class BaselineV1(Baseline):
    """A file of version 1. Of several findings with one key, those whose messages it has are known first."""

    counts: Mapping[Hashable, int]
    messages: frozenset[tuple[Hashable, str]]

    def key(self, finding: Finding) -> Hashable:
        return stable_rule(finding), finding_path(finding), finding.relation

    def is_known(self, finding: Finding) -> bool:
        return (self.key(finding), finding.message) in self.messages


@dataclass(frozen=True, slots=True)
class BaselineV2(Baseline):
    """A file of version 2."""

    counts: Mapping[Hashable, int]

    def key(self, finding: Finding) -> Hashable:
        return fingerprint_v2(finding)


def baseline_text(findings: Iterable[Finding]) -> str:
    """The file that makes these findings known. Lines do not matter in it, so it outlives edits elsewhere in a file."""
    alike: dict[str, list[Finding]] = {}
    for finding in findings:
        alike.setdefault(fingerprint_v2(finding), []).append(finding)
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
        for fingerprint, same in alike.items()
    ]
    document = {"format": _FORMAT, "version": _VERSION, "findings": entries}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def read_baseline(path: Path, root: Path, within: Sequence[Path] | None, rules: Mapping[str, Rule]) -> Baseline:
    """What a baseline file below one of the folders `within` knows. Raises InputError if it is not a baseline."""
    file = read_source_file(path, root, within)
    try:
        return _parse_baseline(json.loads(file.text), rules)
    except json.JSONDecodeError as error:
        span = Span(path=file.path, line=error.lineno, column=error.colno)
        message = f"not valid JSON: {error.msg}"
        raise InputError(file.diagnostic(span, "bad-baseline", message, hint=_HINT)) from error
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        message = f"{file.path} is not a baseline of version 1 or 2"
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
    """The findings that the baseline does not know. Of several alike, as many are known as it counts."""
    left = dict(baseline.counts)
    shown = set()
    for number in sorted(range(len(findings)), key=lambda number: not baseline.is_known(findings[number])):
        key = baseline.key(findings[number])
        if left.get(key, 0) > 0:
            left[key] -= 1
        else:
            shown.add(number)
    return tuple(findings[number] for number in sorted(shown))
