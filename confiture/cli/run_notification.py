"""Call what the settings name in `on_run_finished` with the report of a run. It cannot change the result of the run."""

from __future__ import annotations

import re
import subprocess
from importlib import import_module
from typing import TYPE_CHECKING, Any

from confiture.cli.streams import echo_stderr
from confiture.text import ascii_json, error_text

if TYPE_CHECKING:
    from confiture.models.reports import RunReport
    from confiture.models.settings import Settings

_LIMIT_S = 60
_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def call_run_finished(settings: Settings, report: RunReport) -> None:
    """Pass the JSON document of a run to the function or to the program's stdin. Print a failure on stderr."""
    if not settings.on_run_finished:
        return
    from confiture.output.json.run import run_document

    document = run_document(report)
    try:
        if len(settings.on_run_finished) == 1 and _FUNCTION.fullmatch(settings.on_run_finished[0]):
            _call_function(settings, document)
        else:
            _run_program(settings, ascii_json(document))
    except Exception as error:
        echo_stderr(f"on_run_finished failed: {error_text(error)}")


def _call_function(settings: Settings, document: dict[str, Any]) -> None:
    from confiture.files.python.modules import extended_sys_path, stdout_to_stderr
    from confiture.secrets import hide_secrets_in_json

    module, _, name = settings.on_run_finished[0].partition(":")
    with extended_sys_path(settings.root), stdout_to_stderr():
        getattr(import_module(module), name)(hide_secrets_in_json(document))


def _run_program(settings: Settings, document: str) -> None:
    """Run the program in the project's folder; its output goes to stderr. Raise an error if it fails."""
    done = subprocess.run(
        list(settings.on_run_finished),
        input=document,
        cwd=settings.root,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=_LIMIT_S,
    )
    for line in (done.stdout + done.stderr).splitlines():
        echo_stderr(line)
    if done.returncode:
        raise RuntimeError(f"{settings.on_run_finished[0]} exited with {done.returncode}")
