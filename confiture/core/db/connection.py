"""Connect to the database, and reject servers that cannot be migrated."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq.abc import PGconn
from psycopg.rows import dict_row

from confiture.core.db.charset import replace_unencodable_parameters
from confiture.core.db.errors import db_error_diagnostic
from confiture.core.db.queries import query
from confiture.core.db.search_path import SCHEMA, path_without_history, schemas_on_path
from confiture.errors import DatabaseUnavailable, Diagnostic
from confiture.models.settings import EMBEDDED, DatabaseSettings, Settings
from confiture.secrets import SECRET_CONNECTION_KEYS, add_secret, hide_values
from confiture.sql.expressions import quote_identifier

Connection = psycopg.Connection[dict[str, Any]]

OLDEST_VERSION = 150_000
QUEUE_LOCK_TIMEOUT_MS = 500
"""The limit for locks that conflict with writes: other sessions queue behind the waiting session."""
READ_LOCK_TIMEOUT_MS = 5_000
"""The limit for internal queries, and for locks on the tables of the history."""
_CONNECT_TIMEOUT_S = "10"
_CLIENT_CHECK_MS = 1_000
_SESSION_PROBES = 2
_PORTS = re.compile(r"[\d,\s]*")


@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectionTarget:
    """The target of connections. `label` names it for users, without its password."""

    conninfo: str = field(repr=False)
    label: str
    origin: str

    def connect(self, purpose: str) -> Connection:
        """Open a connection in autocommit; `purpose` becomes part of its application_name.

        Raise DatabaseUnavailable.
        """
        try:
            parameters = conninfo_to_dict(self.conninfo)
            _register_secrets(parameters)
            _hide_as_written(self.conninfo)
            conninfo = make_conninfo(
                self.conninfo,
                application_name=_application_name(purpose),
                client_encoding="UTF8",
                connect_timeout=parameters.get("connect_timeout")
                or os.environ.get("PGCONNECT_TIMEOUT", _CONNECT_TIMEOUT_S),
            )
            connection = psycopg.connect(conninfo, autocommit=True, prepare_threshold=None, row_factory=dict_row)
        except (psycopg.Error, UnicodeError) as error:
            if isinstance(error, psycopg.Error):
                _hide_secrets_in_use(error.pgconn)
            raise DatabaseUnavailable(
                Diagnostic(
                    code="cannot-connect",
                    message=f"cannot connect to {self.label}",
                    detail=tuple(line.strip() for line in _connect_error_text(error, self.conninfo).splitlines()),
                    hint=f"check that the server is running, and the address; it comes from {self.origin}",
                )
            ) from error
        _hide_secrets_in_use(connection.pgconn)
        replace_unencodable_parameters(connection)
        return connection


@contextmanager
def resolve_database(settings: Settings, notify: Callable[[str], None]) -> Iterator[ConnectionTarget]:
    """Return the database of the settings; start an embedded server, and stop it on exit.

    `notify` receives messages about the server for the user. Raise DatabaseUnavailable.
    """
    database = settings.database
    if database.url != EMBEDDED:
        yield ConnectionTarget(conninfo=database.url, label=database_label(database), origin=database.url_from)
        return
    from confiture.core.embedded.server import EmbeddedServer

    server = EmbeddedServer(settings.root, notify=notify)
    with server.started() as address:
        yield ConnectionTarget(conninfo=address, label=database_label(database), origin=database.url_from)


def database_label(settings: DatabaseSettings) -> str:
    """Return the label of a database for users: `user@host:port/name`, never a password."""
    if settings.url == EMBEDDED:
        return "the embedded server"
    try:
        parts = conninfo_to_dict(settings.url)
    except (psycopg.Error, UnicodeError):
        return "the database of a URL that cannot be read"
    if _is_misparsed(parts):
        return "the database of an ambiguous URL"
    service = parts.get("service")
    host = str(parts.get("host") or parts.get("hostaddr") or os.environ.get("PGHOST") or "local socket")
    port = parts.get("port") or os.environ.get("PGPORT")
    user = parts.get("user") or os.environ.get("PGUSER")
    name = parts.get("dbname") or os.environ.get("PGDATABASE") or user or ""
    if service and not parts.get("host"):
        return f"service {service}"
    return f"{f'{user}@' if user else ''}{host}{f':{port}' if port else ''}/{name}"


def check_server(connection: Connection, label: str) -> None:
    """Raise DatabaseUnavailable for a server that is too old, a standby, or read-only.

    Also raise it if Confiture's schema is on the search path: a migration would create its tables there.
    """
    row = fetch_named_row(connection, "server")
    if row["version_number"] < OLDEST_VERSION:
        raise _unavailable_error(
            "server-too-old",
            f"{label} is PostgreSQL {row['version']}: the oldest supported version is 15",
            "upgrade the server, or connect to another",
        )
    if row["in_recovery"]:
        raise _unavailable_error("standby", f"{label} is a read-only standby", "connect to the primary")
    if row["read_only"]:
        raise _unavailable_error(
            "read-only", f"{label} is read-only by default_transaction_read_only", "connect as a role that can write"
        )
    # Check even if the schema does not exist yet: the first migration creates it, and the second would use it.
    if SCHEMA in schemas_on_path(row["search_path"], row["role"]):
        path = path_without_history(row["search_path"], row["role"])
        # SET ROLE does not apply the settings of that role.
        login = quote_identifier(connection.info.user)
        raise _unavailable_error(
            "search-path",
            f"the search path of the role {row['role']} contains the history schema, {SCHEMA}: {row['search_path']}",
            f"ALTER ROLE {login} IN DATABASE {row['database']} SET search_path = {path}; if the URL sets another, with"
            " `options=-csearch_path=...`, change it there",
        )


def reject_transaction_pooler(first: Connection, second: Connection) -> None:
    """Raise DatabaseUnavailable if two open connections share server sessions: a pooler is in transaction mode.

    Such a pooler loses session locks and settings.
    """
    pids = [{_backend_pid(connection) for _ in range(_SESSION_PROBES)} for connection in (first, second)]
    # A busy pooler may seem to give each connection its own session, but not for several queries.
    if pids[0] & pids[1] or len(pids[0]) > 1 or len(pids[1]) > 1:
        raise _unavailable_error(
            "pooler",
            "the connections share server sessions: they go through a pooler in transaction mode",
            "use the server's own address: session locks and settings do not survive such a pooler",
        )


def _backend_pid(connection: Connection) -> int:
    return int(fetch_named_row(connection, "server")["backend_pid"])


def set_lock_timeout(connection: Connection, milliseconds: int, *, local: bool = False) -> None:
    """Set the lock timeout of statements, 0 for no limit; with `local` until the transaction ends."""
    connection.execute(f"SET {'LOCAL ' if local else ''}lock_timeout = {milliseconds}".encode())


def fetch_named_row(connection: Connection, name: str, **parameters: object) -> dict[str, Any]:
    """Return the single row of a named query. Raise LookupError if there is none."""
    row = connection.execute(query(name), parameters or None).fetchone()
    if row is None:
        raise LookupError(f"the query {name} returned no row")
    return row


def enable_client_check(connection: Connection) -> int:
    """Let the server check, while a statement runs, that the client is still connected.

    If the client is killed, the server soon ends the statement and releases its locks. Return the interval in
    milliseconds; 0 if the server's platform does not support it.
    """
    try:
        connection.execute(f"SET client_connection_check_interval = {_CLIENT_CHECK_MS}".encode())
    except psycopg.errors.InvalidParameterValue:
        return 0
    return _CLIENT_CHECK_MS


def _unavailable_error(code: str, message: str, hint: str) -> DatabaseUnavailable:
    return DatabaseUnavailable(Diagnostic(code=code, message=message, hint=hint))


def _application_name(purpose: str) -> str:
    return f"confiture {purpose} ({socket.gethostname()}, pid {os.getpid()})"[:63]


def _is_misparsed(parts: Mapping[str, object]) -> bool:
    """Whether a password contains a delimiter of URLs, so that host, port or database contain its rest."""
    port = str(parts.get("port") or "")
    return "@" in f"{parts.get('host') or ''}{parts.get('dbname') or ''}".removeprefix("@") or not _PORTS.fullmatch(
        port
    )


def _find_secrets(parts: Mapping[str, object]) -> list[str]:
    """Return the values that must not be shown; a value equal to a user, host or database is not a secret."""
    shown = {str(parts.get(name)) for name in ("user", "host", "dbname")}
    return [secret for name in SECRET_CONNECTION_KEYS if (secret := str(parts.get(name) or "")) and secret not in shown]


def _register_secrets(parts: Mapping[str, object]) -> None:
    for secret in _find_secrets(parts):
        add_secret(secret)


def _hide_as_written(conninfo: str) -> None:
    """Hide the password of a URL in its original encoding, which may differ from any normalized one."""
    match = re.match(r"[a-z]+://[^/?#@:]*:([^/?#@]+)@", conninfo)
    if match:
        add_secret(match[1])


def _hide_secrets_in_use(connection: PGconn | None) -> None:
    """Hide secrets that the driver took from PGPASSWORD, a password file or a service file."""
    if connection is None:
        return
    options = {option.keyword.decode(): os.fsdecode(option.val or b"") for option in connection.info}
    _register_secrets(options)
    # The password of one of several hosts, or from a password file, is only available here.
    _register_secrets(options | {"password": os.fsdecode(connection.password)})


def _connect_error_text(error: Exception, conninfo: str) -> str:
    """Return the reason for a failed connection, without passwords and without any part of an unreadable URL."""
    try:
        parameters = conninfo_to_dict(conninfo)
    except UnicodeError:
        return "a part of the address is not UTF-8 once each %XX is decoded"
    except psycopg.Error:
        return re.sub(r'"[^"]*"', '"..."', str(error)).replace(conninfo, "...")
    if _is_misparsed(parameters):
        return "in a URL, encode @ / : of a password as %40 %2F %3A; a port is a number"
    if isinstance(error, UnicodeError):
        return "the host is not a valid name"
    return hide_values(str(error), _find_secrets(parameters))


@contextmanager
def connect_for_query(database: ConnectionTarget, purpose: str, failure_message: str) -> Iterator[Connection]:
    """Open a connection, and close it on exit; `purpose` becomes part of its application_name.

    Raise DatabaseUnavailable if it cannot be opened, and for every driver error inside; `failure_message` then names
    the failed action: "the history cannot be read".
    """
    with closing(database.connect(purpose)) as connection:
        try:
            yield connection
        except psycopg.Error as error:
            raise DatabaseUnavailable(db_error_diagnostic(error, failure_message)) from error
