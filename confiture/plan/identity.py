"""Comparison of the settings with the identity of a database."""

from __future__ import annotations

from collections.abc import Sequence

from confiture.errors import Diagnostic, InputError
from confiture.models.history import HistoryKey
from confiture.models.identity import DatabaseIdentity, NameResolution, WriteRequest
from confiture.models.settings import Settings


def find_identity(identities: Sequence[DatabaseIdentity], history: HistoryKey) -> DatabaseIdentity | None:
    """Return the identity recorded for a history; None if there is none."""
    key = (history.project, history.target)
    return next((one for one in identities if (one.project, one.target) == key), None)


def find_identity_mismatch(
    settings: Settings, identities: Sequence[DatabaseIdentity], resolution: NameResolution, *, only_reads: bool
) -> Diagnostic | None:
    """Return the reason why the settings do not belong to the database; None if they may be used for it.

    A declared environment replaces one that is not declared, but not the other way round. A role that may not use the
    schema of the history can still read the history.
    """
    own = find_identity(identities, settings.history)
    if own is None:
        return None
    is_other = settings.is_environment_known and own.environment != settings.environment
    if is_other and (own.is_declared or not settings.is_declared):
        return _environment_mismatch(settings, own)
    if own.resolution.schema_name not in (None, resolution.schema_name):
        return None if only_reads and resolution.schema_name is None else _schema_mismatch(own, resolution)
    return None


def _environment_mismatch(settings: Settings, own: DatabaseIdentity) -> Diagnostic:
    chosen = "" if settings.is_declared else " by default"
    return Diagnostic(
        code="wrong-identity",
        message=f"the database is the environment {own.environment!r} of the project {own.project!r}, but the settings"
        f" use the environment {settings.environment!r}{chosen}",
        detail=(f"recorded at {own.since:%Y-%m-%d %H:%M %Z} by {own.set_by}",),
        hint=f"use `--env {own.environment}` or another database; if this is a copy, such as a restored dump, run"
        f" `confiture identity set {settings.environment} --confirm {own.environment}`",
    )


def _schema_mismatch(own: DatabaseIdentity, resolution: NameResolution) -> Diagnostic:
    before, now = own.resolution.schema_name, resolution.schema_name
    return Diagnostic(
        code="wrong-search-path",
        message=f"this session creates unqualified names in {_schema(now)}, but the history of the project"
        f" {own.project!r} belongs to {_schema(before)}",
        detail=(
            f"search path of the history: {', '.join(own.resolution.search_path) or 'empty'}",
            f"search path of this session: {', '.join(resolution.search_path) or 'empty'}",
        ),
        hint="use the search path of the history, or another `project:` for another schema; if the schema was renamed,"
        f" run `confiture identity set {own.environment} --confirm {own.environment}`",
    )


def _schema(name: str | None) -> str:
    return "no schema" if name is None else f"the schema {name}"


def protected_name(settings: Settings, identities: Sequence[DatabaseIdentity]) -> str | None:
    """Return the name that commands that write must confirm; None if the database is not protected.

    The database is protected if the settings or any of its identities are. The name is that of the settings'
    environment, or that of another project's environment if only that one is protected.
    """
    own = find_identity(identities, settings.history)
    if own is not None and own.is_protected:
        return own.environment
    if settings.protected:
        return settings.environment
    return next((one.environment for one in identities if one.is_protected), None)


def find_missing_confirmation(
    settings: Settings, identities: Sequence[DatabaseIdentity], request: WriteRequest
) -> Diagnostic | None:
    """Return what is missing for a command that writes: the environment's name, or a reason; None if nothing is."""
    return find_missing_name(settings, identities, request) or find_missing_reason(settings, request)


def find_missing_name(
    settings: Settings, identities: Sequence[DatabaseIdentity], request: WriteRequest
) -> Diagnostic | None:
    """Return that the name of the environment is missing or wrong; None if it is right, or not needed."""
    name = protected_name(settings, identities)
    expected = name or (settings.environment if settings.is_environment_known else request.confirm)
    if request.confirm is not None and request.confirm != expected:
        return Diagnostic(
            code="wrong-confirmation",
            message=f"the confirmation names {request.confirm!r}, but the environment is {expected!r}",
            hint="choose the environment with `--env`, and confirm its name with `--confirm`",
        )
    if name is not None and request.confirm is None:
        by_database = " by the database" if not settings.protected else ""
        return Diagnostic(
            code="protected",
            message=f"the environment {name!r} is protected{by_database}: its name must be confirmed",
            hint=f"check that this is intended, then add `--confirm {name}`",
        )
    return None


def find_missing_reason(settings: Settings, request: WriteRequest) -> Diagnostic | None:
    """Return that a reason is missing; None if there is one, or if the environment requires none."""
    if not settings.requires_reason or (request.reason or "").strip():
        return None
    return Diagnostic(
        code="reason-required",
        message=f"the environment {settings.environment!r} requires a reason",
        hint="add `--reason TEXT`; it is stored in the history",
    )


def require_dry_run_confirmation(
    settings: Settings, identities: Sequence[DatabaseIdentity], *, confirmed: bool
) -> None:
    """Raise InputError if the database is protected and the dry run was not confirmed."""
    name = protected_name(settings, identities)
    if name is not None and not confirmed:
        raise InputError(
            Diagnostic(
                code="protected",
                message=f"the environment {name!r} is protected",
                detail=("a dry run acquires the real locks while it runs, and leaves dead rows behind",),
                hint="confirm with `--yes`",
            )
        )


def is_identity_recorded(settings: Settings, identities: Sequence[DatabaseIdentity]) -> bool:
    """Whether the database already has the identity that these settings record."""
    own = find_identity(identities, settings.history)
    return own is not None and own.is_declared >= settings.is_declared and own.is_protected >= settings.protected
