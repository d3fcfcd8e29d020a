"""Files and lines changed since a git revision."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from confiture.lint.git import GitRepository
from confiture.models.findings import Finding

_HUNK = re.compile(r"@@ -\S+ \+(?P<first>\d+)(?:,(?P<count>\d+))? @@")
_EVERY_LINE = range(1, 2**31)

Changes = Mapping[str, tuple[range, ...]]
"""The changed lines of each changed file, by path relative to the project root."""


def changed_files(revision: str, root: Path) -> Changes:
    """Return the differences between the working tree and the merge base with a revision, including untracked files.

    Without a merge base, the working tree is compared with the revision itself. Raises InputError if the project is not
    in a git work tree, or if git cannot find the revision.
    """
    repository = GitRepository(root, "--changed-since")
    base = repository.merge_base(revision)
    options = ("--unified=0", "--no-color", "--no-ext-diff", "--no-renames", "--relative", "--src-prefix=a/")
    diff = repository.run("-c", "core.quotePath=false", "diff", *options, "--dst-prefix=b/", base, "--", ".")
    changes = dict(_parse_diff(diff))
    for path in repository.run("diff", "--name-only", "-z", "--relative", base, "--", ".").split("\0"):
        # if git shows no lines, for example because it quotes the file name, every line may have changed
        if path:
            changes.setdefault(path, (_EVERY_LINE,))
    for path in repository.run("ls-files", "--others", "--exclude-standard", "-z").split("\0"):
        if path:
            changes[path] = (_EVERY_LINE,)
    return changes


def _parse_diff(diff: str) -> Iterable[tuple[str, tuple[range, ...]]]:
    path, lines = "", list[range]()
    for line in diff.split("\n"):
        hunk = _HUNK.match(line)
        if line.startswith("diff --git "):
            if lines:
                yield path, tuple(lines)
            path, lines = "", []
        elif line.startswith("+++ b/") and not path:
            path = line.removeprefix("+++ b/").rstrip("\t")
        elif hunk and path:
            first, count = int(hunk["first"]), int(hunk["count"] or 1)
            # if lines were removed, the statement around the gap changed
            lines.append(range(first, first + count) if count else range(first, first + 2))
    if path and lines:
        yield path, tuple(lines)


def is_changed(finding: Finding, changes: Changes) -> bool:
    """Whether the statement of a finding, or its line if it has no statement, is among the changes."""
    if finding.span is None:
        return False
    first, last = finding.lines or (finding.span.line, finding.span.line)
    places = [(finding.span.path, first, last)]
    if finding.also_at is not None:
        places.append((finding.also_at.path, finding.also_at.line, finding.also_at.line))
    return any(
        start < lines.stop and lines.start <= end for path, start, end in places for lines in changes.get(path, ())
    )
