"""A project's embedded PostgreSQL server. It is created on first use and stopped by its last user.

All files are below `.confiture/postgres/` in the project directory:

    data/                     PostgreSQL's data; created as data.new/ and renamed when complete
    server.log, server.log.1  the server's log since its last start, and the previous one
    transition.lock           held exclusively by a process that starts or stops the server
    users.lock                held, shared, by every process while it uses the server
    server.lock               held by the server's own processes
    keep                      the server keeps running when its last user leaves (`confiture db start`)

The operating system releases the locks held by a process that dies. So a killed process never keeps the server running;
the next user stops it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from confiture.core.embedded import socket_directory
from confiture.core.embedded.file_locks import find_lock_processes, hold_lock, try_lock, unlock
from confiture.core.embedded.postgres_process import PostgresProcess
from confiture.errors import ConfitureError, DatabaseUnavailable, Diagnostic, LockHeld

_TRANSITION_SECONDS = 180


def _discard_note(note: str) -> None:
    pass


class EmbeddedServer:
    """The server for the project at `root`. Several objects, threads and processes can use it at the same time.

    `notify` receives messages for the user, such as changed permissions of directories. Every method raises
    DatabaseUnavailable, with the cause and a hint, if it fails, and LockHeld if another process blocks the operation.
    """

    def __init__(self, root: Path, *, notify: Callable[[str], None] = _discard_note) -> None:
        if os.name == "nt":
            raise DatabaseUnavailable(
                Diagnostic(
                    code="embedded-windows",
                    message="the embedded server is not available on Windows",
                    hint="set database.url to a PostgreSQL server, or run confiture in WSL",
                )
            )
        self.directory = root.resolve() / ".confiture" / "postgres"
        self._process = PostgresProcess(self.directory, notify)
        self._keep_file = self.directory / "keep"
        self._clients_lock = self.directory / "users.lock"
        self._transition_lock = self.directory / "transition.lock"
        self._notify = notify

    @property
    def data_directory(self) -> Path:
        """PostgreSQL's data directory. It need not exist yet."""
        return self._process.data_directory

    @property
    def log_file(self) -> Path:
        """The server's log since its last start."""
        return self._process.log_file

    @property
    def version(self) -> str:
        """The version of PostgreSQL, such as `18.6`."""
        return self._process.version

    def program_path(self, name: str) -> Path:
        """Return the path of one of PostgreSQL's programs, such as `psql`."""
        return self._process.program_directory / name

    def url(self, database: str = "postgres") -> str:
        """Return the server's address as a libpq URI. For a stopped server, assume that this process starts it."""
        with _os_errors_translated():
            place = self._process.find_socket_directory() or socket_directory.choose_socket_directory(
                self.data_directory
            )
        # Specify the port, because PGPORT would override it otherwise.
        return f"postgresql://postgres@/{quote(database, safe='')}?host={quote(os.fsencode(place), safe='')}&port=5432"

    def is_running(self) -> bool:
        """Whether the server accepts connections. Nothing is started or created."""
        with _os_errors_translated():
            return self._process.is_ready()

    def is_persistent(self) -> bool:
        """Whether the server stays up after its last user leaves."""
        return self.is_running() and self._keep_file.exists()

    def client_processes(self) -> tuple[str, ...]:
        """Return descriptions of the processes using the server; empty if the system does not report them."""
        return find_lock_processes(self._clients_lock)

    @contextmanager
    def started(self) -> Iterator[str]:
        """Start the server if it is not running, and yield its URL. The last user to leave stops it."""
        client_lock = self._register_client()
        try:
            yield self.url()
        except BaseException:
            # The error raised inside the context matters more than a failure to stop the server.
            try:
                self._unregister_client(client_lock)
            except ConfitureError as error:
                self._notify(str(error))
            raise
        self._unregister_client(client_lock)

    def start(self) -> bool:
        """Start the server and keep it running until `stop` is called. Return whether it had to be started."""
        with self._transition_lock_held():
            ran = self._process.is_ready()
            self._ensure_running()
            self._keep_file.touch()
            return not ran

    def stop(self, *, force: bool = False) -> bool:
        """Stop the server. Return whether it was running.

        Raise LockHeld while others are using the server; with `force`, end their connections instead.
        """
        if not self.directory.exists():
            return False
        with self._transition_lock_held(), self._exclusive_use("stopped", force=force):
            ran = self._process.is_alive()
            self._keep_file.unlink(missing_ok=True)
            self._process.stop()
            return ran

    def reset(self) -> bool:
        """Stop the server and remove its data and logs. Return whether any existed.

        Raise LockHeld while others are using the server.
        """
        if not self.directory.exists():
            return False
        with self._transition_lock_held(), self._exclusive_use("reset", force=False):
            existed = self.data_directory.exists()
            self._keep_file.unlink(missing_ok=True)
            self._process.stop()
            self._process.remove()
            return existed

    @contextmanager
    def _transition_lock_held(self) -> Iterator[None]:
        with _os_errors_translated():
            self.directory.mkdir(parents=True, exist_ok=True)
            ignore = self.directory.parent / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n", encoding="ascii")
            with hold_lock(self._transition_lock, timeout_s=_TRANSITION_SECONDS):
                yield

    @contextmanager
    def _exclusive_use(self, action: str, *, force: bool) -> Iterator[None]:
        alone = try_lock(self._clients_lock)
        if alone is None and not force:
            raise LockHeld(
                Diagnostic(
                    code="embedded-in-use",
                    message=f"the embedded server is in use and cannot be {action} at the moment",
                    detail=self.client_processes(),
                    hint="wait for these processes to exit, or end their connections with `confiture db stop --force`",
                )
            )
        try:
            yield
        finally:
            if alone is not None:
                unlock(alone)

    def _ensure_running(self) -> None:
        # A request to keep the server running applies only until the server stops.
        self._process.ensure_running(before_launch=lambda: self._keep_file.unlink(missing_ok=True))

    def _register_client(self) -> int:
        with self._transition_lock_held():
            client_lock = try_lock(self._clients_lock, shared=True)
            if client_lock is None:
                raise BlockingIOError(f"{self._clients_lock} is locked by a program other than confiture")
            try:
                self._ensure_running()
            except BaseException:
                self._unregister_in_transition(client_lock)
                raise
            return client_lock

    def _unregister_client(self, client_lock: int) -> None:
        with self._transition_lock_held():
            self._unregister_in_transition(client_lock)

    def _unregister_in_transition(self, client_lock: int) -> None:
        unlock(client_lock)
        alone = None if self._keep_file.exists() else try_lock(self._clients_lock)
        if alone is None:
            return
        try:
            self._process.stop()
        finally:
            unlock(alone)


@contextmanager
def _os_errors_translated() -> Iterator[None]:
    """Translate operating system errors."""
    try:
        yield
    except TimeoutError as error:
        raise LockHeld(
            Diagnostic(
                code="embedded-busy",
                message="another process has been starting or stopping the embedded server for several minutes",
                detail=find_lock_processes(Path(str(error))),
                hint="wait until that process exits, or end it",
            )
        ) from error
    except OSError as error:
        raise DatabaseUnavailable(
            Diagnostic(
                code="embedded-files",
                message="the embedded server's files cannot be used",
                detail=(str(error),),
                hint="make .confiture/postgres in the project directory readable and writable for your user",
            )
        ) from error
