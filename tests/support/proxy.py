"""A proxy between a run and its server, that loses the connection at a COMMIT."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from urllib.parse import parse_qs, urlsplit

from tests.support.servers import Database

_COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"


class Cut(Enum):
    """When the connection is lost."""

    BEFORE = "before the server hears of the COMMIT"
    AFTER = "after the server has answered"
    MEANWHILE = "while the server works on the COMMIT, and does not notice"
    NEVER = "never: the answer waits until the client asks for a cancellation"


class Proxy:
    """Listens on the loopback. Cuts at the COMMIT of that number, counted from 1 over all connections."""

    def __init__(self, database: Database, cut: Cut, number: int) -> None:
        address = urlsplit(database.url)
        (folder,) = parse_qs(address.query)["host"]
        (port,) = parse_qs(address.query)["port"]
        self._target = f"{folder}/.s.PGSQL.{port}"
        self._cut, self._left = cut, number
        self._listener = socket.create_server(("127.0.0.1", 0))
        place = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.url = f"postgresql://postgres@{place}/{database.name}?sslmode=disable&gssencmode=disable"
        self._open: list[socket.socket] = []
        self.asked_to_cancel = threading.Event()
        self.on_commit: Callable[[], object] = lambda: None
        threading.Thread(target=self._accept, daemon=True).start()

    def refuse(self) -> None:
        """Takes no new connection."""
        _shut(self._listener)

    def close(self) -> None:
        """Ends all connections, and takes no new one."""
        for connection in (self._listener, *self._open):
            # a thread that waits inside accept or recv is woken by this, not by close
            _shut(connection)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._target)
            self._open += [client, server]
            cut = threading.Event()
            threading.Thread(target=self._upwards, args=(client, server, cut), daemon=True).start()
            threading.Thread(target=self._downwards, args=(client, server, cut), daemon=True).start()

    def _upwards(self, client: socket.socket, server: socket.socket, cut: threading.Event) -> None:
        while data := _receive(client):
            if re.search(rb"^\x00\x00\x00\x10\x04\xd2\x16.", data, re.DOTALL):
                self.asked_to_cancel.set()
                break  # and is not told to the server
            if _COMMIT in data:
                self._left -= 1
                if self._left == 0:
                    if self._cut is Cut.BEFORE:
                        break
                    cut.set()
                    self.on_commit()
                    if self._cut is Cut.MEANWHILE:
                        _shut(client)
            _send(server, data)
            if cut.is_set() and self._cut is Cut.MEANWHILE:
                return  # the server's side stays open
        _shut(client)
        _shut(server)

    def _downwards(self, client: socket.socket, server: socket.socket, cut: threading.Event) -> None:
        while data := _receive(server):
            if cut.is_set() and self._cut is Cut.NEVER:
                self.asked_to_cancel.wait(60)
            elif cut.is_set():
                break
            _send(client, data)
        _shut(client)
        _shut(server)


def _receive(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65536)
    except OSError:
        return b""


def _send(connection: socket.socket, data: bytes) -> None:
    try:
        connection.sendall(data)
    except OSError:
        return


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
    finally:
        connection.close()


@contextmanager
def proxy(database: Database, cut: Cut, number: int) -> Iterator[Proxy]:
    """A proxy in front of a database."""
    made = Proxy(database, cut, number)
    try:
        yield made
    finally:
        made.close()
