"""The address of another database on the same server."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from psycopg.conninfo import conninfo_to_dict


def database_url(conninfo: str, name: str) -> str:
    """Return the URL of another database on the server at a URL or conninfo string. PG* variables supply the rest.

    Raise psycopg.ProgrammingError if the string is invalid.
    """
    parts = {key: str(value) for key, value in conninfo_to_dict(conninfo).items() if value not in (None, "")}
    parts.pop("dbname", None)
    user, password = parts.pop("user", ""), parts.pop("password", "")
    secret = f":{quote(password, safe='')}" if password else ""
    account = f"{quote(user, safe='')}{secret}@" if user else ""
    if password and not user:
        parts["password"] = password
    # Sockets and multiple hosts cannot be written before the name.
    host = parts.pop("host") if _is_plain_host(parts.get("host", "")) else ""
    port = f":{parts.pop('port')}" if host and "port" in parts else ""
    rest = f"?{urlencode(parts, quote_via=quote)}" if parts else ""
    return f"postgresql://{account}{f'[{host}]' if ':' in host else host}{port}/{quote(name, safe='')}{rest}"


def _is_plain_host(host: str) -> bool:
    return bool(host) and not set(host) & set("/,@%")
