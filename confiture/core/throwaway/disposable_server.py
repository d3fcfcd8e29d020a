"""The embedded server for throwaway databases. Its data need not be kept.

It is separate from the server that `confiture db` controls, so throwaway databases and the roles that they need are not
visible there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from confiture.core.db.connection import ConnectionTarget
from confiture.core.db.queries import query
from confiture.core.embedded.server import EmbeddedServer
from confiture.errors import DatabaseUnavailable


@contextmanager
def open_disposable_server(root: Path, label: str) -> Iterator[ConnectionTarget]:
    """Start the server below `.confiture/testing/` in the project folder `root`, and stop it on exit.

    The server does not wait for disks. Raise DatabaseUnavailable.
    """
    server = EmbeddedServer(root / ".confiture" / "testing")
    with ExitStack() as stack:
        try:
            address = stack.enter_context(server.started())
        except DatabaseUnavailable:
            # The server was created by another version or is broken. Its data need not be kept.
            if not server.data_directory.exists():
                raise
            server.reset()
            address = stack.enter_context(server.started())
        target = ConnectionTarget(conninfo=address, label=label, origin="the embedded server")
        _disable_fsync(target)
        yield target


def _disable_fsync(server: ConnectionTarget) -> None:
    """Turn off fsync, because DROP DATABASE would spend most of its time waiting for disks."""
    with closing(server.connect("tests")) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute(query("reload_configuration"))
