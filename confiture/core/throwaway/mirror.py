"""The roles, settings and extensions of the target database that a throwaway database needs."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import psycopg
from psycopg import sql

from confiture.core.db.connection import Connection
from confiture.core.db.errors import db_error_diagnostic, first_line
from confiture.core.db.queries import query
from confiture.core.throwaway.databases import ThrowawayDatabases
from confiture.core.throwaway.profile import InstalledExtension, TargetProfile
from confiture.errors import DatabaseUnavailable
from confiture.models.records import record
from confiture.secrets import hide_secrets


@record(frozen=True, kw_only=True, slots=True)
class MissingExtension:
    """An extension of the target database that a throwaway database does not have, and the reason."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"the extension {self.name} is missing: {self.reason}"


def create_roles(databases: ThrowawayDatabases, names: Iterable[str]) -> None:
    """Create the missing roles without any rights.

    They are not dropped afterwards, because other sessions may use them. Raise DatabaseUnavailable.
    """
    connection = databases.connection
    existing = {row["name"] for row in connection.execute(query("existing_roles")).fetchall()}
    for name in sorted({*names} - existing):
        try:
            connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(name)))
        except psycopg.errors.DuplicateObject:
            continue  # another session has created it
        except psycopg.Error as error:
            action = f"the role {name} cannot be created on {databases.server.label}"
            raise DatabaseUnavailable(db_error_diagnostic(error, action)) from error


def copy_settings(connection: Connection, name: str, profile: TargetProfile, *, with_search_path: bool) -> None:
    """Give the connected database, `name`, the settings that only apply in the target database.

    Settings that require rights are not copied. Raise psycopg.Error.
    """
    settings = dict(profile.settings)
    if with_search_path:
        settings["search_path"] = profile.search_path
    for setting, value in settings.items():
        # FROM CURRENT also works for lists, such as a search path with several schemas
        connection.execute(query("set_setting"), {"name": setting, "value": value})
        statement = sql.SQL("ALTER DATABASE {} SET {} FROM CURRENT")
        connection.execute(statement.format(sql.Identifier(name), sql.Identifier(setting)))


def install_extensions(
    connection: Connection, extensions: Iterable[InstalledExtension], created_schemas: Collection[str]
) -> tuple[MissingExtension, ...]:
    """Create extensions in the connected database, each in its schema. Return those that cannot be created.

    `created_schemas` are schemas that will be created later, so an extension in one of them is missing.
    """
    available = {row["name"] for row in connection.execute(query("available_extensions")).fetchall()}
    missing = []
    for extension in extensions:
        if extension.name not in available:
            reason = "the server does not provide it"
        elif extension.schema in created_schemas:
            reason = f"the schema files create its schema {extension.schema}, but not the extension"
        else:
            reason = _install(connection, extension)
        if reason:
            missing.append(MissingExtension(name=extension.name, reason=reason))
    return tuple(missing)


def _install(connection: Connection, extension: InstalledExtension) -> str:
    """Create an extension. Return the reason if that fails; otherwise, an empty string."""
    name, schema = sql.Identifier(extension.name), sql.Identifier(extension.schema)
    statements = [sql.SQL("CREATE EXTENSION IF NOT EXISTS {} SCHEMA {} CASCADE").format(name, schema)]
    if not extension.schema.startswith("pg_"):
        statements.insert(0, sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(schema))
    try:
        with connection.transaction():
            for statement in statements:
                connection.execute(statement)
    except psycopg.Error as error:
        return hide_secrets(error.diag.message_primary or first_line(error))
    return ""
