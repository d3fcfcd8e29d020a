"""What is done in another process comes to the same as what is done here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from types import ModuleType

import pytest

from confiture.errors import InputError
from confiture.lint import migrations as migration_lint
from confiture.lint import project as project_lint
from confiture.models.catalog import QualifiedName, ViewQuery
from confiture.models.findings import LintReport
from confiture.secrets import add_secret, clear_secrets, hide_secrets
from confiture.subprocesses import forked_child, run_in_child
from tests.support.linting import lint
from tests.support.projects import Project


def test_the_result_comes_from_the_other_process() -> None:
    with run_in_child(os.getpid) as result:
        assert result() != os.getpid()


def test_secrets_that_the_other_process_learns_are_known_here() -> None:
    clear_secrets()
    with run_in_child(partial(add_secret, "hunter2secret")) as result:
        result()
    assert hide_secrets("a hunter2secret b") == "a *** b"
    clear_secrets()


def test_both_work_at_the_same_time() -> None:
    ours, theirs = os.pipe(), os.pipe()

    def answer() -> bytes:
        os.write(theirs[1], b"there")
        return os.read(ours[0], 4)

    with run_in_child(answer) as result:
        # neither would go on if it had to wait for the end of the other
        assert os.read(theirs[0], 5) == b"there"
        os.write(ours[1], b"here")
        assert result() == b"here"


def _fail() -> None:
    raise InputError


def _unpicklable() -> Callable[[], None]:
    return lambda: None


def _die() -> str:
    if os.getpid() != HERE:
        os.kill(os.getpid(), signal.SIGKILL)
    return "done here"


HERE = os.getpid()


def test_what_the_other_process_cannot_do_is_done_here(capfd: pytest.CaptureFixture[str]) -> None:
    with run_in_child(_fail) as failing, pytest.raises(InputError):
        failing()
    with run_in_child(_unpicklable) as unpicklable:
        assert unpicklable()() is None
    with run_in_child(_die) as dying:
        assert dying() == "done here"
    assert capfd.readouterr() == ("", "")


def _of_a_class_made_there() -> object:
    module = ModuleType("made_there")
    exec("class Made: pass", vars(module))
    if os.getpid() != HERE:
        sys.modules["made_there"] = module
        return module.Made()
    return "made here"


def test_what_only_the_other_process_can_name_is_made_here() -> None:
    with run_in_child(_of_a_class_made_there) as made:
        assert made() == "made here"


def test_without_room_for_another_process_the_work_is_done_here() -> None:
    script = """
import os
import resource
from confiture.subprocesses import run_in_child
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (os.dup(0), most))
with run_in_child(os.getpid) as result:
    print(result() == os.getpid())
"""
    assert _said(script) == "True\n"


def test_a_program_may_leave_the_ends_of_its_processes_to_the_system() -> None:
    script = """
import os
import signal
from confiture.subprocesses import run_in_child
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
with run_in_child(os.getpid) as result:
    print(result() != os.getpid())
"""
    assert _said(script) == "True\n"


def test_a_program_may_have_closed_its_streams() -> None:
    script = """
import os
import sys
from confiture.subprocesses import run_in_child
said = sys.stdout
sys.stdout, sys.stderr = None, open(os.devnull, "w")
sys.stderr.close()
with run_in_child(os.getpid) as result:
    print(result() != os.getpid(), file=said)
"""
    assert _said(script) == "True\n"


def test_what_was_let_go_here_is_ended_here() -> None:
    script = """
import gc
from confiture.subprocesses import run_in_child

class Connection:
    def __del__(self):
        print("ended", flush=True)

gc.disable()
connection = Connection()
connection.itself = connection
del connection
with run_in_child(gc.collect) as collected:
    collected()
print("now", flush=True)
gc.collect()
"""
    assert _said(script) == "now\nended\n"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_no_process_outlives_one_that_is_killed() -> None:
    script = """
import os
import signal
import threading
from confiture.subprocesses import forked_child

def wait(results):
    results.write(b"there")
    results.flush()
    threading.Event().wait()

with forked_child(wait) as results:
    results.read(5)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    # a copy that lived on would keep the pipe open, and the reader waiting
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60).stdout == b""


def _said(script: str) -> str:
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout


def test_nobody_waits_for_a_process_whose_result_is_of_no_use() -> None:
    never = threading.Event()
    with forked_child(lambda results: results.write(bytes(1 << 20)) and never.wait()) as results:
        assert results.read(1) == b"\0"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells its threads")
def test_nobody_is_copied_while_a_thread_may_hold_a_lock() -> None:
    script = """
import os
import threading
from confiture.subprocesses import can_fork
os.sched_getaffinity = lambda pid: {0, 1}
end = threading.Event()
thread = threading.Thread(target=end.wait)
said = [can_fork()]
thread.start()
said.append(can_fork())
end.set()
thread.join()
os.sched_getaffinity = lambda pid: {0}
print(*said, can_fork())
"""
    assert _said(script) == "True False False\n"


def test_what_was_printed_is_printed_once() -> None:
    script = """
from confiture.subprocesses import run_in_child
print("before")
with run_in_child(lambda: print("there")) as result:
    result()
print("after")
"""
    assert _said(script).splitlines() == ["before", "there", "after"]


@pytest.fixture
def large(project: Project) -> Project:
    """A project with findings in its schema, its migrations and between both."""
    project.write("confiture.yaml", "migrations: migrations\nschemas: schemas\ntenancy: {column: tenant_id}\n")
    project.write(
        "schemas/1.sql",
        "-- confiture: ignore requires_primary_key -- on purpose\n"
        "CREATE TABLE w_orders (id int8, tenant_id int8 NOT NULL, amount numeric, CHECK (amount > 0));\n"
        "CREATE TABLE w_notes (id int8, tenant_id int8, PRIMARY KEY (id, id_of_nobody));\n"
        "CREATE VIEW r_totals AS SELECT sum(amount) AS total FROM w_orders;\n",
    )
    project.write("schemas/2.sql", "SELEC 1;\n")
    project.write("schemas/3.sql.j2", "CREATE TABLE {{ of_a_migration }} (id int8);\n")
    project.migration(
        "001_a",
        "ddl: [1.sql]\nafter_ddl:\n  - sql: CREATE INDEX ON w_orders (amount)\n  - sql: CREATE TABLE t (id json)\n",
    )
    project.migration(
        "002_b",
        "ddl:\n  - sql: CREATE INDEX ON w_orders (id)\n  - sql: ALTER TABLE t ADD UNIQUE (id)\n"
        "  - sql: CREATE VIEW r_all AS SELECT w_orders.id FROM w_orders, w_notes\n  - sql: DROP TABLE nobody\n",
    )
    return project


def _report(project: Project, monkeypatch: pytest.MonkeyPatch, *, several: bool) -> LintReport:
    monkeypatch.setattr(project_lint, "can_fork", lambda: several)
    monkeypatch.setattr(project_lint, "_LARGE", 0)
    return lint(project)


def test_several_processes_find_what_one_finds(large: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = _report(large, monkeypatch, several=False)
    judged_here: list[int] = []
    monkeypatch.setattr(migration_lint, "lint_migrations", _noted(migration_lint.lint_migrations, judged_here))
    apart = _report(large, monkeypatch, several=True)
    assert apart == alone
    assert not judged_here, "the other process did not come to an end"
    assert {finding.migration for finding in alone.findings} == {None, "002"}
    assert alone.suppressed == 1
    assert alone.notes
    rules = {finding.rule for finding in alone.findings}
    assert {"sql-syntax", "create_index_blocking", "tenant_view", "discouraged_type"} <= rules


def _noted(work: Callable[..., object], processes: list[int]) -> Callable[..., object]:
    def noted(*args: object, **options: object) -> object:
        processes.append(os.getpid())
        return work(*args, **options)

    return noted


def test_a_project_without_anything_is_refused_as_by_one_process(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write("confiture.yaml", "migrations: none\nschemas: none\n")
    with pytest.raises(InputError, match="none"):
        _report(project, monkeypatch, several=True)


def test_a_query_keeps_its_text_in_another_process() -> None:
    query = ViewQuery(lambda: "SELECT 1", tree=object())
    with run_in_child(lambda: {QualifiedName("public", "v"): query}) as result:
        assert result() == {QualifiedName("public", "v"): ViewQuery("SELECT 1")}
