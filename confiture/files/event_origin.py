"""The origin of a command: the user, the machine, the CI job, and the commit of the project's files."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from confiture import __version__
from confiture.models.history_events import EventOrigin
from confiture.secrets import HIDDEN, hide_values, is_secret_name
from confiture.text import cut, escape_line

_GIT_TIMEOUT_S = 2.0
_LONGEST_TEXT = 1_000
_SHORTEST_SECRET = 8
_ADDRESS = r"(?i)https?://(?:(?!https?://)\S)+"  # a password may contain quotes; addresses may touch
_CI_VARIABLES = (
    ("CI_JOB_URL", "GITLAB_USER_LOGIN"),
    ("BUILDKITE_BUILD_URL", "BUILDKITE_BUILD_CREATOR"),
    ("CIRCLE_BUILD_URL", "CIRCLE_USERNAME"),
    ("BUILD_URL", "BUILD_USER_ID"),
)
"""The variables with the URL of the job and with the user who started it: GitLab, Buildkite, CircleCI, Jenkins."""
_GIT_STATUS = (
    "git", "--no-optional-locks", "-c", "core.fsmonitor=false", "status", "--porcelain=v2", "--branch",
    "--untracked-files=normal", "--", ".", ":(exclude).confiture",
)  # fmt: skip


class GitState:
    """The commit and the state of the work tree that contains a folder. Git runs in parallel until they are needed."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        hidden = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
        self._process: subprocess.Popen[bytes] | None = None
        with suppress(OSError, ValueError):
            self._process = subprocess.Popen(
                _GIT_STATUS,
                cwd=folder,
                env={name: value for name, value in environ.items() if name not in hidden} or None,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )

    def close(self) -> None:
        """End git if its output is not needed."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            self._process.communicate()

    def read(self) -> tuple[str | None, bool | None]:
        """Return the commit, and whether the work tree differs from it. Each is None if git cannot say it in time."""
        if self._process is None:
            return None, None
        try:
            output, _ = self._process.communicate(timeout=_GIT_TIMEOUT_S)
        except (subprocess.TimeoutExpired, OSError):
            self._process.kill()
            self._process.communicate()
            return None, None
        lines = output.decode("utf-8", "replace").splitlines()
        commit = next((line.split()[-1] for line in lines if line.startswith("# branch.oid ")), None)
        if self._process.returncode != 0 or commit in (None, "(initial)"):
            return None, None
        return commit, any(not line.startswith("#") for line in lines)


def read_event_origin(git: GitState, environ: Mapping[str, str]) -> EventOrigin:
    """Return the origin of this process."""
    ci_run, ci_actor = _find_ci_job(environ)
    commit, is_dirty = git.read()
    return EventOrigin(
        os_user=_read_os_user(),
        host=socket.gethostname() or None,
        process=os.getpid(),
        ci_run=_clean_address(ci_run, environ),
        ci_actor=ci_actor and clean_text(ci_actor, environ),
        commit=commit,
        is_dirty=is_dirty,
        tool_version=__version__,
    )


def clean_text(text: str, environ: Mapping[str, str]) -> str:
    """Return free text for the history: one line of at most 1,000 characters, without secrets.

    Known secrets are hidden, and so are the values of environment variables with the name of a secret. Web addresses
    lose user, password, query and fragment.
    """
    secrets = (value for name, value in environ.items() if is_secret_name(name) and len(value) >= _SHORTEST_SECRET)
    # secrets first: a part of one would no longer be recognized
    shortened = re.sub(_ADDRESS, lambda match: _shorten_address(match[0]) or HIDDEN, hide_values(text, secrets))
    return cut(escape_line(shortened), _LONGEST_TEXT, "...")


def _find_ci_job(environ: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Return the URL of the CI job and the user who started it."""
    repository, run = environ.get("GITHUB_REPOSITORY"), environ.get("GITHUB_RUN_ID")
    if repository and run:
        url = f"{environ.get('GITHUB_SERVER_URL', 'https://github.com')}/{repository}/actions/runs/{run}"
        attempt = environ.get("GITHUB_RUN_ATTEMPT", "1")
        return url if attempt == "1" else f"{url}/attempts/{attempt}", environ.get("GITHUB_ACTOR") or None
    for url_name, actor_name in _CI_VARIABLES:
        if environ.get(url_name):
            return environ[url_name], environ.get(actor_name) or None
    return None, None


def _clean_address(url: str | None, environ: Mapping[str, str]) -> str | None:
    address = clean_text(url or "", environ)
    return address if _shorten_address(address) else None


def _shorten_address(url: str) -> str | None:
    """Return a web address without user, password, query and fragment; None if it is not one."""
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")) if is_address else None


def _read_os_user() -> str | None:
    try:
        import pwd

        return pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):
        return os.environ.get("USERNAME") or (str(os.getuid()) if hasattr(os, "getuid") else None)
