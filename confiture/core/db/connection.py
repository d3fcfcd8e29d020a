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

from confiture.core.db.charset import adapt_json_to_encoding
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
"""The time limit for acquiring locks that conflict with writes: other sessions queue behind the waiting session."""
READ_LOCK_TIMEOUT_MS = 5_000
"""The time limit for internal queries and for locks on the history tables."""
_CONNECT_TIMEOUT_S = "10"
_CLIENT_CHECK_MS = 1_000
_POOLER_REFUSAL = "unsupported startup parameter"
_SESSION_PROBES = 2
_PORTS = re.compile(r"[\d,\s]*")


@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectionTarget:
    """A connection target. `label` is its name for users, without the password."""

    conninfo: str = field(repr=False)
    label: str
    origin: str
    password_command: tuple[str, ...] = ()

    def connect(self, purpose: str) -> Connection:
        """Open a connection in autocommit mode; `purpose` becomes part of its application_name.

        Raise DatabaseUnavailable.
        """
        try:
            parameters = conninfo_to_dict(self.conninfo)
            _register_secrets(parameters)
            _hide_as_written(self.conninfo)
            conninfo = make_conninfo(
                self.conninfo,
                **self._read_password(parameters),
                application_name=_application_name(purpose),
                client_encoding="UTF8",
                connect_timeout=parameters.get("connect_timeout")
                or os.environ.get("PGCONNECT_TIMEOUT", _CONNECT_TIMEOUT_S),
            )
            connection = _connect_without_row_security(conninfo, parameters)
        except (psycopg.Error, UnicodeError) as error:
            if isinstance(error, psycopg.Error):
                _hide_secrets_in_use(error.pgconn)
            raise DatabaseUnavailable(
                Diagnostic(
                    code="cannot-connect",
                    message=f"cannot connect to {self.label}",
                    detail=tuple(line.strip() for line in _connect_error_text(error, self.conninfo).splitlines()),
                    hint=f"check that the server is running, and check the address, which comes from {self.origin}",
                )
            ) from error
        _hide_secrets_in_use(connection.pgconn)
        adapt_json_to_encoding(connection)
        return connection

    def _read_password(self, parameters: Mapping[str, Any]) -> dict[str, str]:
        """Return the password from the command, unless the address contains one."""
        if not self.password_command or parameters.get("password"):
            return {}
        from confiture.core.db.password_command import read_password

        return {"password": read_password(self.password_command, self.label)}


@contextmanager
def resolve_database(settings: Settings, notify: Callable[[str], None]) -> Iterator[ConnectionTarget]:
    """Yield the database from the settings. If it is embedded, start the server, and stop it on exit.

    `notify` receives user messages about the server. Raise DatabaseUnavailable.
    """
    database = settings.database
    if database.url != EMBEDDED:
        yield ConnectionTarget(
            conninfo=database.url,
            label=database_label(database),
            origin=database.url_from,
            password_command=database.password_command,
        )
        return
    from confiture.core.embedded.server import EmbeddedServer

    server = EmbeddedServer(settings.root, notify=notify)
    with server.started() as address:
        yield ConnectionTarget(conninfo=address, label=database_label(database), origin=database.url_from)


def has_no_server(settings: Settings) -> bool:
    """Whether the database is an embedded server that does not exist yet, so that nothing can be applied."""
    return settings.database.url == EMBEDDED and not (settings.root / ".confiture" / "postgres" / "data").exists()


def database_label(settings: DatabaseSettings) -> str:
    """Return a database label for users: `user@host:port/name`, never with a password."""
    if settings.url == EMBEDDED:
        return "the embedded server"
    try:
        parts = conninfo_to_dict(settings.url)
    except (psycopg.Error, UnicodeError):
        return "the database at an unreadable URL"
    if _is_misparsed(parts):
        return "the database at an ambiguous URL"
    service = parts.get("service")
    host = str(parts.get("host") or parts.get("hostaddr") or os.environ.get("PGHOST") or "local socket")
    port = parts.get("port") or os.environ.get("PGPORT")
    user = parts.get("user") or os.environ.get("PGUSER")
    name = parts.get("dbname") or os.environ.get("PGDATABASE") or user or ""
    if service and not parts.get("host"):
        return f"service {service}"
    return f"{f'{user}@' if user else ''}{host}{f':{port}' if port else ''}/{name}"


def check_server(connection: Connection, label: str) -> None:
    """Raise DatabaseUnavailable if the server is too old, a standby or read-only.

    Also raise DatabaseUnavailable if Confiture's schema is on the search path, because migrations would create their
    tables in that schema.
    """
    row = fetch_named_row(connection, "server")
    if row["version_number"] < OLDEST_VERSION:
        raise _unavailable_error(
            "server-too-old",
            f"{label} is PostgreSQL {row['version']}: the oldest supported version is 15",
            "upgrade the server, or connect to another one",
        )
    if row["in_recovery"]:
        raise _unavailable_error("standby", f"{label} is a read-only standby", "connect to the primary")
    if row["read_only"]:
        raise _unavailable_error(
            "read-only", f"{label} is read-only by default_transaction_read_only", "connect as a role that can write"
        )
    # Check even if the schema does not exist yet, because the first migration creates it and the second would use it.
    if SCHEMA in schemas_on_path(row["search_path"], row["role"]):
        path = path_without_history(row["search_path"], row["role"])
        # SET ROLE does not apply the role's settings.
        login = quote_identifier(connection.info.user)
        raise _unavailable_error(
            "search-path",
            f"the search path of the role {row['role']} contains the history schema, {SCHEMA}: {row['search_path']}",
            f"ALTER ROLE {login} IN DATABASE {row['database']} SET search_path = {path}; if the URL sets another, with"
            " `options=-csearch_path=...`, change it there",
        )


def reject_transaction_pooler(first: Connection, second: Connection) -> None:
    """Raise DatabaseUnavailable if two open connections share server sessions because of a pooler in transaction mode.

    A pooler in transaction mode loses session locks and settings.
    """
    pids = [{_backend_pid(connection) for _ in range(_SESSION_PROBES)} for connection in (first, second)]
    # A busy pooler may appear to give each connection its own session for one query, but not for several.
    if pids[0] & pids[1] or len(pids[0]) > 1 or len(pids[1]) > 1:
        raise _unavailable_error(
            "pooler",
            "the connections share server sessions because they go through a pooler in transaction mode",
            "use the server's own address: session locks and settings are lost behind such a pooler",
        )


def _backend_pid(connection: Connection) -> int:
    return int(fetch_named_row(connection, "server")["backend_pid"])


def set_lock_timeout(connection: Connection, milliseconds: int, *, local: bool = False) -> None:
    """Set the lock timeout for statements; 0 means no limit. With `local`, set it until the transaction ends."""
    connection.execute(f"SET {'LOCAL ' if local else ''}lock_timeout = {milliseconds}".encode())


def fetch_named_row(connection: Connection, name: str, **parameters: object) -> dict[str, Any]:
    """Return the single row of a named query. Raise LookupError if the query returns no row."""
    row = connection.execute(query(name), parameters or None).fetchone()
    if row is None:
        raise LookupError(f"the query {name} returned no row")
    return row


def enable_client_check(connection: Connection) -> int:
    """Make the server check, while a statement runs, that the client is still connected.

    If the client is killed, the server soon ends the statement and releases its locks. Return the check interval in
    milliseconds; 0 if the server's platform does not support the check.
    """
    try:
        connection.execute(f"SET client_connection_check_interval = {_CLIENT_CHECK_MS}".encode())
    except psycopg.errors.InvalidParameterValue:
        return 0
    return _CLIENT_CHECK_MS


def _connect_without_row_security(conninfo: str, parameters: Mapping[str, Any]) -> Connection:
    """Open a connection in which RESET sets row_security to off, so that no policy hides rows silently.

    Without startup options, which a service file may set and many poolers reject, only a run's settings turn it off.
    """
    if not (parameters.get("service") or os.environ.get("PGSERVICE")):
        options = str(parameters.get("options") or os.environ.get("PGOPTIONS") or "")
        try:
            return _connect(make_conninfo(conninfo, options=f"{options} -c row_security=off".strip()))
        except psycopg.OperationalError as error:
            if _POOLER_REFUSAL not in str(error):
                raise
    return _connect(conninfo)


def _connect(conninfo: str) -> Connection:
    return psycopg.connect(conninfo, autocommit=True, prepare_threshold=None, row_factory=dict_row)


def _unavailable_error(code: str, message: str, hint: str) -> DatabaseUnavailable:
    return DatabaseUnavailable(Diagnostic(code=code, message=message, hint=hint))


def _application_name(purpose: str) -> str:
    return f"confiture {purpose} ({socket.gethostname()}, pid {os.getpid()})"[:63]


def _is_misparsed(parts: Mapping[str, object]) -> bool:
    """Whether a password contains a URL delimiter, so that the host, port or database contains part of it."""
    port = str(parts.get("port") or "")
    return "@" in f"{parts.get('host') or ''}{parts.get('dbname') or ''}".removeprefix("@") or not _PORTS.fullmatch(
        port
    )


def _find_secrets(parts: Mapping[str, object]) -> list[str]:
    """Return the values that must not be shown. A value that equals the user, host or database is not a secret."""
    shown = {str(parts.get(name)) for name in ("user", "host", "dbname")}
    return [secret for name in SECRET_CONNECTION_KEYS if (secret := str(parts.get(name) or "")) and secret not in shown]


def _register_secrets(parts: Mapping[str, object]) -> None:
    for secret in _find_secrets(parts):
        add_secret(secret)


def _hide_as_written(conninfo: str) -> None:
    """Hide a URL's password in the encoding used in the URL, which may differ from any normalized encoding."""
    match = re.match(r"[a-z]+://[^/?#@:]*:([^/?#@]+)@", conninfo)
    if match:
        add_secret(match[1])


def _hide_secrets_in_use(connection: PGconn | None) -> None:
    """Hide secrets that the driver read from PGPASSWORD, a password file or a service file."""
    if connection is None:
        return
    options = {option.keyword.decode(): os.fsdecode(option.val or b"") for option in connection.info}
    _register_secrets(options)
    # A password from a password file, or for one of several hosts, is only available after connecting.
    _register_secrets(options | {"password": os.fsdecode(connection.password)})


def _connect_error_text(error: Exception, conninfo: str) -> str:
    """Return the reason for a failed connection without passwords and without any part of an unreadable URL."""
    try:
        parameters = conninfo_to_dict(conninfo)
    except UnicodeError:
        return "a part of the address is not valid UTF-8 after each %XX is decoded"
    except psycopg.Error:
        return re.sub(r'"[^"]*"', '"..."', str(error)).replace(conninfo, "...")
    if _is_misparsed(parameters):
        return "in a URL, encode @ / : in a password as %40 %2F %3A; a port must be a number"
    if isinstance(error, UnicodeError):
        return "the host is not a valid name"
    return hide_values(str(error), _find_secrets(parameters))


@contextmanager
def connect_for_query(database: ConnectionTarget, purpose: str, failure_message: str) -> Iterator[Connection]:
    """Open a connection and close it on exit; `purpose` becomes part of its application_name.

    Raise DatabaseUnavailable if the connection cannot be opened, and for every driver error inside the context.
    `failure_message` names the failed action, as in "the history cannot be read".
    """
    with closing(database.connect(purpose)) as connection:
        try:
            yield connection
        except psycopg.Error as error:
            raise DatabaseUnavailable(db_error_diagnostic(error, failure_message)) from error
