"""The way to the database: which one it is, connecting, and refusing those that cannot be migrated."""

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

from confiture.core.db.encoding import replace_unencodable_parameters
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
"""For locks that conflict with the writes of others: those queue behind the session that waits."""
READ_LOCK_TIMEOUT_MS = 5_000
"""For our own questions, and for the tables of the history."""
_CONNECT_TIMEOUT_S = "10"
_CLIENT_CHECK_MS = 1_000
_SESSION_PROBES = 2
_PORTS = re.compile(r"[\d,\s]*")


@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectionTarget:
    """A database that can be connected to. `label` names it to people, without its password."""

    conninfo: str = field(repr=False)
    label: str
    origin: str

    def connect(self, purpose: str) -> Connection:
        """A new connection in autocommit; `purpose` is what other sessions see in pg_stat_activity.

        Raises DatabaseUnavailable.
        """
        try:
            given = conninfo_to_dict(self.conninfo)
            _register_secrets(given)
            _hide_as_written(self.conninfo)
            conninfo = make_conninfo(
                self.conninfo,
                application_name=_application_name(purpose),
                client_encoding="UTF8",
                connect_timeout=given.get("connect_timeout") or os.environ.get("PGCONNECT_TIMEOUT", _CONNECT_TIMEOUT_S),
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
                    hint=f"is the server running, and is the address right? It comes from {self.origin}",
                )
            ) from error
        _hide_secrets_in_use(connection.pgconn)
        replace_unencodable_parameters(connection)
        return connection


@contextmanager
def resolve_database(settings: Settings, notify: Callable[[str], None]) -> Iterator[ConnectionTarget]:
    """The database of the settings; an embedded server runs as long as the context lasts.

    `notify` receives what people should know about the server. Raises DatabaseUnavailable.
    """
    wanted = settings.database
    if wanted.url != EMBEDDED:
        yield ConnectionTarget(conninfo=wanted.url, label=database_label(wanted), origin=wanted.url_from)
        return
    from confiture.core.embedded.server import EmbeddedServer

    server = EmbeddedServer(settings.root, notify=notify)
    with server.started() as address:
        yield ConnectionTarget(conninfo=address, label=database_label(wanted), origin=wanted.url_from)


def database_label(settings: DatabaseSettings) -> str:
    """How people are shown a database: `user@host:port/name`, never a password."""
    if settings.url == EMBEDDED:
        return "the embedded server"
    try:
        parts = conninfo_to_dict(settings.url)
    except (psycopg.Error, UnicodeError):
        return "the database of a URL that cannot be read"
    if _is_misparsed(parts):
        return "the database of a URL that cannot be read as it was meant"
    service = parts.get("service")
    host = str(parts.get("host") or parts.get("hostaddr") or os.environ.get("PGHOST") or "local socket")
    port = parts.get("port") or os.environ.get("PGPORT")
    user = parts.get("user") or os.environ.get("PGUSER")
    name = parts.get("dbname") or os.environ.get("PGDATABASE") or user or ""
    if service and not parts.get("host"):
        return f"service {service}"
    return f"{f'{user}@' if user else ''}{host}{f':{port}' if port else ''}/{name}"


def check_server(connection: Connection, label: str) -> None:
    """Raises DatabaseUnavailable for a server that is too old, a standby, or read-only.

    Also if the schema of our tables is on the search path: a migration would make its tables there.
    """
    row = fetch_named_row(connection, "server")
    if row["version_number"] < OLDEST_VERSION:
        raise _unavailable_error(
            "server-too-old",
            f"{label} is PostgreSQL {row['version']}: 15 is the oldest that works",
            "upgrade the server, or connect to another",
        )
    if row["in_recovery"]:
        raise _unavailable_error("standby", f"{label} is a read-only standby", "connect to the primary")
    if row["read_only"]:
        raise _unavailable_error(
            "read-only", f"{label} is read-only by default_transaction_read_only", "connect as a role that may write"
        )
    # also where the schema is not there yet: the first migration makes it, and the second would find it
    if SCHEMA in schemas_on_path(row["search_path"], row["role"]):
        path = path_without_history(row["search_path"], row["role"])
        # SET ROLE does not bring the settings of that role
        login = quote_identifier(connection.info.user)
        raise _unavailable_error(
            "search-path",
            f"the search path of the role {row['role']} has the schema of the history, {SCHEMA}: {row['search_path']}",
            f"ALTER ROLE {login} IN DATABASE {row['database']} SET search_path = {path}; if the URL sets another, with"
            " `options=-csearch_path=...`, change it there",
        )


def reject_transaction_pooler(first: Connection, second: Connection) -> None:
    """Raises DatabaseUnavailable where two open connections do not have a server session each: a transaction-mode
    pooler stands between. Such a pooler strands session locks and settings.
    """
    seen = [{_backend_pid(connection) for _ in range(_SESSION_PROBES)} for connection in (first, second)]
    # busy with others, a pooler may give each of us what looks like its own session, but not for long
    if seen[0] & seen[1] or len(seen[0]) > 1 or len(seen[1]) > 1:
        raise _unavailable_error(
            "pooler",
            "connections share sessions of the server: a pooler in transaction mode stands between",
            "give the server's own address: locks and settings of a session do not survive such a pooler",
        )


def _backend_pid(connection: Connection) -> int:
    return int(fetch_named_row(connection, "server")["backend_pid"])


def set_lock_timeout(connection: Connection, milliseconds: int, *, local: bool = False) -> None:
    """Limits how long statements wait for a lock, 0 for no limit; with `local` until the transaction ends."""
    connection.execute(f"SET {'LOCAL ' if local else ''}lock_timeout = {milliseconds}".encode())


def fetch_named_row(connection: Connection, name: str, **parameters: object) -> dict[str, Any]:
    """The one row of a named query. Raises LookupError where there is none."""
    row = connection.execute(query(name), parameters or None).fetchone()
    if row is None:
        raise LookupError(f"the query {name} gave no row")
    return row


def enable_client_check(connection: Connection) -> int:
    """Has the server look, while a statement runs, whether we are still there: where we are killed, it soon lets go of
    what the statement holds. Returns how often, in milliseconds; 0 on a platform that cannot.
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
    """Whether a password holds a character that means something in a URL: host, port or database get its rest."""
    port = str(parts.get("port") or "")
    return "@" in f"{parts.get('host') or ''}{parts.get('dbname') or ''}".removeprefix("@") or not _PORTS.fullmatch(
        port
    )


def _find_secrets(parts: Mapping[str, object]) -> list[str]:
    """What must not be shown; what equals a user or a database is no secret."""
    shown = {str(parts.get(name)) for name in ("user", "host", "dbname")}
    return [secret for name in SECRET_CONNECTION_KEYS if (secret := str(parts.get(name) or "")) and secret not in shown]


def _register_secrets(parts: Mapping[str, object]) -> None:
    for secret in _find_secrets(parts):
        add_secret(secret)


def _hide_as_written(conninfo: str) -> None:
    """Hides the password of a URL in its own encoding, which may be none that anything else would write."""
    written = re.match(r"[a-z]+://[^/?#@:]*:([^/?#@]+)@", conninfo)
    if written:
        add_secret(written[1])


def _hide_secrets_in_use(connection: PGconn | None) -> None:
    """Hides what the driver took from elsewhere: PGPASSWORD, a password file, a service file."""
    if connection is None:
        return
    used = {option.keyword.decode(): os.fsdecode(option.val or b"") for option in connection.info}
    _register_secrets(used)
    # one of several hosts, or of a file, has it for itself
    _register_secrets(used | {"password": os.fsdecode(connection.password)})


def _connect_error_text(error: Exception, conninfo: str) -> str:
    """Why there is no connection: without the passwords, nor any part of a URL that could not be read."""
    try:
        given = conninfo_to_dict(conninfo)
    except UnicodeError:
        return "a part of the address is not UTF-8 once each %XX is decoded"
    except psycopg.Error:
        return re.sub(r'"[^"]*"', '"..."', str(error)).replace(conninfo, "...")
    if _is_misparsed(given):
        return "in a URL, write @ / : of a password as %40 %2F %3A; a port is a number"
    if isinstance(error, UnicodeError):
        return "the host is no name that can be looked up"
    return hide_values(str(error), _find_secrets(given))


@contextmanager
def connect_for_query(database: ConnectionTarget, purpose: str, failure_message: str) -> Iterator[Connection]:
    """A connection for as long as the context lasts; `purpose` is what other sessions see.

    Raises DatabaseUnavailable where there is none, and for whatever the database refuses inside; `failure_message` then
    says what cannot be done: "the history cannot be read".
    """
    with closing(database.connect(purpose)) as connection:
        try:
            yield connection
        except psycopg.Error as error:
            raise DatabaseUnavailable(db_error_diagnostic(error, failure_message)) from error
