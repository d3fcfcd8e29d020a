"""Files and lines changed since a git revision."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from confiture.errors import Diagnostic, InputError
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
    if revision.startswith("-") or not revision.strip():
        raise _option_error(f"--changed-since {revision!r} is not a revision", "name a branch, tag, or commit")
    base = _run_git(root, "merge-base", revision, "HEAD", may_fail=True).strip() or revision
    _run_git(root, "rev-parse", "--verify", "--quiet", f"{base}^{{commit}}", revision=revision)
    options = ("--unified=0", "--no-color", "--no-ext-diff", "--no-renames", "--relative", "--src-prefix=a/")
    diff = _run_git(root, "-c", "core.quotePath=false", "diff", *options, "--dst-prefix=b/", base, "--", ".")
    changes = dict(_parse_diff(diff))
    for path in _run_git(root, "diff", "--name-only", "-z", "--relative", base, "--", ".").split("\0"):
        # if git shows no lines, for example because it quotes the file name, every line may have changed
        if path:
            changes.setdefault(path, (_EVERY_LINE,))
    for path in _run_git(root, "ls-files", "--others", "--exclude-standard", "-z").split("\0"):
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


def _run_git(root: Path, *arguments: str, revision: str | None = None, may_fail: bool = False) -> str:
    environment = {
        name: value for name, value in os.environ.items() if name not in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
    }
    try:
        result = subprocess.run(["git", *arguments], cwd=root, env=environment, capture_output=True, check=False)
    except OSError as error:
        raise _option_error(
            "--changed-since needs git, which cannot be run", "install git, or omit the option"
        ) from error
    if result.returncode and not may_fail:
        error_line = result.stderr.decode("utf-8", "replace").strip().split("\n")[0]
        if "not a git repository" in error_line:
            raise _option_error("--changed-since: the project is not in a git repository", "omit the option")
        hint = "fetch it first: CI often clones only one commit (actions/checkout: fetch-depth: 0)"
        raise _option_error(
            f"--changed-since: git cannot find {revision!r}" if revision else f"git failed: {error_line}", hint
        )
    return "" if result.returncode else result.stdout.decode("utf-8", "replace")


def _option_error(message: str, hint: str) -> InputError:
    return InputError(Diagnostic(code="bad-option", message=message, hint=hint))
