"""The identity of a database: the environment that it is, and the schema that unqualified names resolve to."""

from __future__ import annotations

from datetime import datetime

from confiture.models.records import record


@record(frozen=True, kw_only=True, slots=True)
class NameResolution:
    """The resolution of unqualified names: `schema_name` is where a session creates them; None if no schema exists.

    `search_path` contains the schemas of the search path, with the role in place of `$user`.
    """

    schema_name: str | None
    search_path: tuple[str, ...]


@record(frozen=True, kw_only=True, slots=True)
class DatabaseIdentity:
    """The environment that a database is for one project's history.

    `is_declared` is false for the default environment if neither an option nor the settings name it. `since` is when
    the environment or its protection was recorded, `set_by` the role that did so.
    """

    project: str
    target: str
    environment: str
    is_declared: bool
    is_protected: bool
    resolution: NameResolution
    since: datetime
    set_by: str


@record(frozen=True, kw_only=True, slots=True)
class WriteRequest:
    """The statement of the caller of a command that writes: the name of the environment, and the reason.

    `confirm` is required if the environment is protected, and must always be right. `reason` is stored in the history.
    """

    confirm: str | None = None
    reason: str | None = None
