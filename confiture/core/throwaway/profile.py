"""The properties of the target database that a throwaway database copies."""

from __future__ import annotations

from dataclasses import field

import psycopg
from psycopg import sql

from confiture.core.db.connection import ConnectionTarget, connect_for_query, fetch_named_row
from confiture.core.db.queries import query
from confiture.models.records import record

_ICU, _BUILT_IN = "i", "b"
_VERSION_WITH_ICU_RULES, _VERSION_WITH_BUILT_IN = 160_000, 170_000


@record(frozen=True, kw_only=True, slots=True)
class InstalledExtension:
    """An extension of the target database, with the schema of its objects."""

    name: str
    version: str
    schema: str


@record(frozen=True, kw_only=True, slots=True)
class TargetProfile:
    """The target database: encoding, locale, extensions, roles, and the settings that apply only in this database.

    `provider` is PostgreSQL's letter for the collation provider (c: libc, i: ICU, b: builtin); `locale` is its locale
    if it is not libc. `roles` own objects or have privileges on them. `search_path` is the one of a new session.
    """

    label: str
    version_number: int
    role: str
    can_create_databases: bool
    encoding: str
    collate: str
    ctype: str
    provider: str
    locale: str | None = None
    icu_rules: str | None = None
    extensions: tuple[InstalledExtension, ...] = ()
    roles: tuple[str, ...] = ()
    settings: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    search_path: str = ""

    def creation_options(self, version_number: int) -> sql.Composed:
        """Return the options of CREATE DATABASE on a server of that version, beginning with the empty template."""
        options: list[sql.Composable] = [
            sql.SQL("TEMPLATE template0 ENCODING {}").format(self.encoding),
            sql.SQL("LC_COLLATE {} LC_CTYPE {}").format(self.collate, self.ctype),
        ]
        if self.provider == _ICU:
            options.append(sql.SQL("LOCALE_PROVIDER icu ICU_LOCALE {}").format(self.locale or ""))
            if self.icu_rules and version_number >= _VERSION_WITH_ICU_RULES:
                options.append(sql.SQL("ICU_RULES {}").format(self.icu_rules))
        elif self.provider == _BUILT_IN and version_number >= _VERSION_WITH_BUILT_IN:
            options.append(sql.SQL("LOCALE_PROVIDER builtin BUILTIN_LOCALE {}").format(self.locale or ""))
        else:
            options.append(sql.SQL("LOCALE_PROVIDER libc"))
        return sql.SQL(" ").join(options)

    def fallback_options(self) -> sql.Composed:
        """Return the options of CREATE DATABASE for a server that does not support the target's locale."""
        return sql.SQL("TEMPLATE template0 ENCODING {} LOCALE_PROVIDER libc LOCALE 'C'").format(self.encoding)


def read_profile(target: ConnectionTarget) -> TargetProfile:
    """Read the profile of a database. Raise DatabaseUnavailable."""
    with connect_for_query(target, "profile", "the database's properties cannot be read") as connection:
        values = fetch_named_row(connection, "target_profile")
        return TargetProfile(
            label=target.label,
            **values,
            extensions=tuple(
                InstalledExtension(**row) for row in connection.execute(query("installed_extensions")).fetchall()
            ),
            roles=_names(connection, "roles_of_database"),
            settings=tuple(
                (row["name"], row["value"]) for row in connection.execute(query("database_settings")).fetchall()
            ),
            search_path=fetch_named_row(connection, "search_path_setting")["value"],
        )


def _names(connection: psycopg.Connection[dict[str, object]], name: str) -> tuple[str, ...]:
    return tuple(str(row["name"]) for row in connection.execute(query(name)).fetchall())
