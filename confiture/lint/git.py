"""The git repository of a project: files and changes at a revision."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from confiture.errors import Diagnostic, InputError


class GitRepository:
    """The repository that contains a project. `option` is the option that needs it, for messages.

    The methods raise InputError if git cannot be run, if the project is not in a work tree, or if git fails.
    """

    def __init__(self, root: Path, option: str) -> None:
        self._root = root
        self._option = option

    def merge_base(self, revision: str) -> str:
        """Return the merge base of a revision and the current commit, or the revision itself without a merge base."""
        if revision.startswith("-") or not revision.strip():
            raise _option_error(f"{self._option} {revision!r} is not a revision", "name a branch, tag, or commit")
        base = self.run("merge-base", revision, "HEAD", may_fail=True).strip() or revision
        return self.run("rev-parse", "--verify", "--quiet", f"{base}^{{commit}}", revision=revision).strip()

    def read_files(self, commit: str, folder: Path) -> Mapping[str, bytes]:
        """Return the files below a folder of the project at a commit, by path relative to the project's root."""
        path = os.path.relpath(folder, self._root)
        if path.startswith(".."):
            return {}
        listed = self.run("ls-tree", "-r", "-z", commit, "--", f"{path}/" if path != "." else ".")
        blobs: dict[str, str] = {}
        for entry in filter(None, listed.split("\0")):
            facts, _, name = entry.partition("\t")
            mode, kind, blob = facts.split()
            if kind == "blob" and mode != "120000":  # no symbolic links
                blobs[name] = blob
        return dict(zip(blobs, self._read_blobs(blobs.values()), strict=True))

    def _read_blobs(self, blobs: Iterable[str]) -> Iterator[bytes]:
        names = [*blobs]
        output = self._run_bytes(("cat-file", "--batch"), "\n".join(names).encode())
        position = 0
        for _ in names:
            end = output.index(b"\n", position)
            size = int(output[position:end].rsplit(b" ", 1)[1])
            yield output[end + 1 : end + 1 + size]
            position = end + 1 + size + 1

    def run(self, *arguments: str, revision: str | None = None, may_fail: bool = False) -> str:
        """Return the output of a git command, empty if it may fail and fails. `revision` is named in messages."""
        return self._run_bytes(arguments, None, revision=revision, may_fail=may_fail).decode("utf-8", "replace")

    def _run_bytes(
        self,
        arguments: tuple[str, ...],
        content: bytes | None,
        *,
        revision: str | None = None,
        may_fail: bool = False,
    ) -> bytes:
        hidden = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
        environment = {name: value for name, value in os.environ.items() if name not in hidden}
        try:
            result = subprocess.run(
                ["git", *arguments], cwd=self._root, env=environment, input=content, capture_output=True, check=False
            )
        except OSError as error:
            raise _option_error(
                f"{self._option} needs git, which cannot be run", "install git, or omit the option"
            ) from error
        if result.returncode and not may_fail:
            error_line = result.stderr.decode("utf-8", "replace").strip().split("\n")[0]
            if "not a git repository" in error_line:
                raise _option_error(f"{self._option}: the project is not in a git repository", "omit the option")
            hint = "fetch it first: CI often clones only one commit (actions/checkout: fetch-depth: 0)"
            raise _option_error(
                f"{self._option}: git cannot find {revision!r}" if revision else f"git failed: {error_line}", hint
            )
        return b"" if result.returncode else result.stdout


def _option_error(message: str, hint: str) -> InputError:
    return InputError(Diagnostic(code="bad-option", message=message, hint=hint))
