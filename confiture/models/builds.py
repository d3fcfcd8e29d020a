"""The results of `confiture build`."""

from __future__ import annotations

from enum import StrEnum

from confiture.models.records import record


class BuildAction(StrEnum):
    """The kind of a build. The values are part of the JSON document."""

    BUILD = "build"
    CHECK = "check"
    OUTPUT = "output"
    TEMPLATE = "template"


@record(frozen=True, kw_only=True, slots=True)
class BuildReport:
    """The result of a build.

    `target` is the database that was built or checked, with its server, or the path of the file that was written.
    `content_hash` identifies the texts and their order. `is_unchanged` is whether a template database was already
    up to date. Durations are in milliseconds; `run_ms` is 0 if nothing ran.
    """

    action: BuildAction
    environment: str
    target: str
    files: int
    statements: int
    content_hash: str
    read_ms: float
    run_ms: float = 0.0
    is_unchanged: bool = False
    notes: tuple[str, ...] = ()
