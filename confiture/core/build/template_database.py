"""Template databases: built from the schema files, and copied by CREATE DATABASE ... TEMPLATE.

The comment on the database contains the hash of everything that determines its content. So an up-to-date template is
recognized, and a database that is not a template of Confiture's is never replaced.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql

from confiture.core.build.schema_build import built_database
from confiture.core.build.script_runner import OnFile
from confiture.core.db.errors import db_error_diagnostic
from confiture.core.db.queries import query
from confiture.core.throwaway.server import ServerChoice, ThrowawayServer
from confiture.errors import DatabaseUnavailable, Diagnostic, InputError
from confiture.models.records import record
from confiture.plan.schema_script import SchemaScript

_MARK = "confiture template database, content sha256:"
_LOCKS = 1_669_427_323
"""The class of the advisory locks for template databases, by the hash of the name."""
_MAX_BYTES = 63
_LAYOUT = 1
"""The version of the parts of the hash. A template with another version is rebuilt."""


@record(frozen=True, kw_only=True, slots=True)
class TemplateResult:
    """A template database; `is_unchanged` is whether it was already up to date. `notes` are as for its build."""

    is_unchanged: bool
    notes: tuple[str, ...] = ()


def build_template(
    server: ThrowawayServer, script: SchemaScript, name: str, on_file: OnFile | None = None
) -> TemplateResult:
    """Build a template database on the target's server, unless one with the same content exists.

    A template with other content is replaced when the new one is complete. A template accepts no connections, so it can
    always be copied. Raise InputError if a database with the name exists that is not a template of Confiture's, or
    if the role cannot create databases on the target's server; BuildFailed if a statement fails; DatabaseUnavailable.
    """
    _check_name(name)
    _require_own_server(server)
    digest = content_digest(server, script)
    with _template_locked(server, name):
        existing = server.databases.connection.execute(query("template_database"), {"name": name}).fetchone()
        if existing is not None:
            if not str(existing["comment"] or "").startswith(_MARK):
                raise _foreign_database(server, name)
            if existing["comment"] == _MARK + digest:
                server.databases.execute(_closing_statement(name), f"the template database {name} cannot be closed")
                return TemplateResult(is_unchanged=True)
        return _replace_template(server, script, name, digest, on_file, exists=existing is not None)


def content_digest(server: ThrowawayServer, script: SchemaScript) -> str:
    """Return the hash of everything that determines the content of a template, in hexadecimal."""
    profile = server.profile
    parts = (
        _LAYOUT,
        script.content_hash,
        server.version_number,
        profile.encoding,
        profile.collate,
        profile.ctype,
        profile.provider,
        profile.locale,
        profile.icu_rules,
        [(one.name, one.version, one.schema) for one in profile.extensions],
        profile.settings,
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _replace_template(
    server: ThrowawayServer, script: SchemaScript, name: str, digest: str, on_file: OnFile | None, *, exists: bool
) -> TemplateResult:
    databases = server.databases
    with built_database(server, script, purpose="template", on_file=on_file) as database:
        databases.wait_for_disconnect(database.name)
        new, old = sql.Identifier(database.name), sql.Identifier(name)
        statements = [sql.SQL("COMMENT ON DATABASE {} IS {}").format(new, _MARK + digest)]
        if exists:
            statements += [
                sql.SQL("ALTER DATABASE {} IS_TEMPLATE false").format(old),
                sql.SQL("DROP DATABASE {} WITH (FORCE)").format(old),
            ]
        # a template cannot be dropped, so the new one becomes a template last, in case this process is killed
        statements += [sql.SQL("ALTER DATABASE {} RENAME TO {}").format(new, old), _closing_statement(name)]
        for statement in statements:
            databases.execute(statement, f"the template database {name} cannot be replaced")
        databases.release(database.name)
        return TemplateResult(is_unchanged=False, notes=database.notes)


def _closing_statement(name: str) -> sql.Composed:
    """Return the statement that lets any role copy a database, and no session change it."""
    return sql.SQL("ALTER DATABASE {} IS_TEMPLATE true ALLOW_CONNECTIONS false").format(sql.Identifier(name))


@contextmanager
def _template_locked(server: ThrowawayServer, name: str) -> Iterator[None]:
    """Let other sessions wait that build the same template."""
    connection = server.databases.connection
    parameters = {"locks": _LOCKS, "name": name}
    try:
        connection.execute(query("lock_template"), parameters)
        yield
        connection.execute(query("unlock_template"), parameters)
    except psycopg.Error as error:
        raise DatabaseUnavailable(db_error_diagnostic(error, f"the template {name} cannot be locked")) from error


def _check_name(name: str) -> None:
    if name and len(name.encode()) <= _MAX_BYTES:
        return
    message = f"--as-template {name!r} is not a database name"
    hint = f"use a name of 1 to {_MAX_BYTES} bytes"
    raise InputError(Diagnostic(code="bad-option", message=message, hint=hint))


def _require_own_server(server: ThrowawayServer) -> None:
    if server.choice is ServerChoice.TARGET:
        return
    profile = server.profile
    raise InputError(
        Diagnostic(
            code="no-right-to-create",
            message=f"the role {profile.role} cannot create a template database on {profile.label}",
            hint="name another server with --database, or connect as a role with CREATEDB",
        )
    )


def _foreign_database(server: ThrowawayServer, name: str) -> InputError:
    return InputError(
        Diagnostic(
            code="not-a-template",
            message=f"the database {name} exists on {server.label}, and is not a template of `confiture build`",
            hint="choose another name, or drop the database yourself",
        )
    )
