"""Files are read and written through one door: regular, bounded, inside the project, whatever stands at their paths."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from confiture.files import access
from confiture.files.access import ANYWHERE, FileAccessError, create_file, read_file, write_file, write_named_file
from tests.support.projects import Project

SECRET = "ddl: [hunter2, {"
"""What lies outside of the project. It is neither YAML, SQL nor JSON, so a message would show it."""


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _link_to_pipe(path: Path) -> None:
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to("pipe")


def _socket(path: Path) -> None:
    former = Path.cwd()
    os.chdir(path.parent)  # the name of a socket must be short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(former)


def _link_to(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


def _outside(path: Path) -> Path:
    """A file beside the project that `_project` makes."""
    project = next(folder for folder in path.parents if folder.name == "project")
    outside = project.with_name("outside")
    outside.write_text(SECRET)
    return outside


def _link_out(path: Path) -> None:
    path.symlink_to(_outside(path))


def _relative_link_out(path: Path) -> None:
    path.symlink_to(os.path.relpath(_outside(path), path.parent))


def _chain_of_links_out(path: Path) -> None:
    path.with_name("between").symlink_to(_outside(path))
    path.symlink_to("between")


def _too_large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(access.MAX_BYTES + 1)


WRONG_FILES: dict[str, tuple[Callable[[Path], None], str]] = {
    "pipe": (_pipe, "is a pipe, not a regular file"),
    "link to a pipe": (_link_to_pipe, "is a pipe, not a regular file"),
    "socket": (_socket, "is a socket, not a regular file"),
    "link to /dev/zero": (_link_to("/dev/zero"), "is a device, not a regular file"),
    "link to a folder": (_link_to("/"), "is a folder, not a regular file"),
    "link to itself": (lambda path: path.symlink_to(path.name), "too many levels of symbolic links"),
    "link to nothing": (_link_to("nothing"), "no such file or directory"),
    "link out": (_link_out, "is outside the project"),
    "relative link out": (_relative_link_out, "is outside the project"),
    "link to a link out": (_chain_of_links_out, "is outside the project"),
    "link into /proc": (_link_to("/proc/self/environ"), "is outside the project"),
    "too large": (_too_large, "the limit is 67,108,864 bytes (64 MiB)"),
}

READERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "migration": ("migrations/001_a.yaml", ("migrate", "validate")),
    "migration in Python": ("migrations/001_a.py", ("migrate", "validate")),
    "DDL file": ("schemas/used.sql", ("migrate", "validate")),
    "DDL file that lint reads": ("schemas/new.sql", ("lint",)),
    "baseline": ("baseline.json", ("lint",)),
    "settings": ("confiture.yaml", ("migrate", "validate")),
}


@pytest.mark.parametrize(("make", "message"), WRONG_FILES.values(), ids=WRONG_FILES)
def test_what_is_no_file_of_the_project_is_not_read(tmp_path: Path, make: Callable[[Path], None], message: str) -> None:
    _assert_refused(tmp_path, make, message, *READERS["migration"])


@pytest.mark.parametrize("wrong", ["pipe", "link to /dev/zero", "link out"])
@pytest.mark.parametrize(("path", "command"), READERS.values(), ids=READERS)
def test_every_reader_refuses_it(tmp_path: Path, wrong: str, path: str, command: tuple[str, ...]) -> None:
    _assert_refused(tmp_path, *WRONG_FILES[wrong], path, command)


def _assert_refused(
    tmp_path: Path, make: Callable[[Path], None], message: str, path: str, command: tuple[str, ...]
) -> None:
    project = _project(tmp_path)
    target = project.root / path
    target.unlink(missing_ok=True)
    make(target)
    result = project.limited(*command)
    told = " ".join((result.out + result.err).split())
    assert result.code in (1, 2), told
    assert message in told
    assert path in told
    assert "Traceback" not in told
    assert "hunter2" not in told
    assert "next:" in told


def _project(tmp_path: Path) -> Project:
    """A project in a folder of its own, whose migration runs a DDL file."""
    project = Project(tmp_path / "project")
    project.write("confiture.yaml", "linting: {baseline: baseline.json}\n")
    project.write("baseline.json", '{"format": "confiture.baseline", "version": 1, "findings": []}')
    project.ddl("used.sql", "SELECT 1;")
    project.migration("000_used", "ddl: [used.sql]")
    return project


@pytest.mark.parametrize(
    "target",
    [
        pytest.param("schemas/a.sql", id="in the same folder"),
        pytest.param("other/a.sql", id="elsewhere in the project"),
        pytest.param("schemas/link.sql", id="through another link"),
    ],
)
def test_links_inside_the_project_are_followed(project: Project, target: str) -> None:
    for path in ("schemas/a.sql", "other/a.sql"):
        project.write(path, "SELECT 1;")
    (project.root / "schemas/link.sql").symlink_to("a.sql")
    (project.root / "schemas/b.sql").symlink_to(project.root / target)
    project.migration("001_a", "ddl: [b.sql]")
    project.run("migrate", "validate")


@pytest.mark.parametrize("name", ["migrations", "schemas"])
def test_a_folder_of_the_settings_may_be_a_link(
    project: Project, tmp_path_factory: pytest.TempPathFactory, name
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (project.root / name).rmdir()
    (project.root / name).symlink_to(elsewhere)
    project.ddl("a.sql", "SELECT 1;")
    project.migration("001_a", "ddl: [a.sql]")
    project.run("migrate", "validate")
    # but what lies there may not lead further
    outside = tmp_path_factory.mktemp("outside") / "b.sql"
    outside.write_text("SELECT 1;")
    (elsewhere / "b.sql").symlink_to(outside)
    project.migration("001_a", "ddl: [b.sql]" if name == "schemas" else "ddl: [a.sql]")
    if name == "migrations":
        (elsewhere / "002_b.yaml").symlink_to(outside)
    assert "is outside the project" in project.run("migrate", "validate", expect=2).err


def test_a_folder_below_the_schemas_that_leads_out_is_not_read(project: Project, tmp_path_factory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "a.sql").write_text("SELECT 1;")
    (project.root / "schemas" / "linked").symlink_to(outside)
    project.migration("001_a", "ddl: [linked/a.sql]")
    assert "schemas/linked/a.sql is outside the project" in project.run("migrate", "validate", expect=2).err


OPTIONS = {
    "--config": ("confiture.yaml", "", ("migrate", "validate", "--config")),
    "--baseline": (
        "known.json",
        '{"format": "confiture.baseline", "version": 1, "findings": []}',
        ("lint", "--baseline"),
    ),
}


@pytest.mark.parametrize(("name", "content", "command"), OPTIONS.values(), ids=OPTIONS)
def test_a_file_that_an_option_names_may_lie_anywhere_but_must_be_a_file(
    project: Project, tmp_path_factory: pytest.TempPathFactory, name: str, content: str, command: tuple[str, ...]
) -> None:
    project.migration("001_a", "ddl: [{sql: SELECT 1}]")
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "migrations").mkdir()
    (folder / "migrations" / "001_a.yaml").write_text("ddl: [{sql: SELECT 1}]")
    (folder / "real").write_text(content)
    (folder / name).symlink_to("real")
    project.run(*command, str(folder / name))
    (folder / name).unlink()
    os.mkfifo(folder / name)
    assert "is a pipe, not a regular file" in project.bounded(*command, str(folder / name)).err


def test_a_file_that_is_replaced_between_the_looks_at_it_is_judged_as_it_was_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, outside = tmp_path / "in" / "a.sql", tmp_path / "outside"
    path.parent.mkdir()
    path.write_text("SELECT 1;")
    outside.write_text(SECRET)
    stat = os.stat

    def replaced(of: Path, **named: object) -> os.stat_result:
        found = stat(of, **named)  # type: ignore[arg-type]
        if of == path and not os.path.islink(path):  # noqa: PTH114 - Path.is_symlink() would come by here
            path.unlink()
            path.symlink_to(outside)
        return found

    monkeypatch.setattr("confiture.files.access.os.stat", replaced)
    with pytest.raises(FileAccessError, match="is outside the project"):
        read_file(path, "a.sql", (path.parent,))


def test_a_file_is_read_up_to_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "MAX_BYTES", 10_000)
    path = tmp_path / "a"
    for size in (0, 1, 4096, 9_999, 10_000):
        path.write_bytes(b"x" * size)
        assert read_file(path, "a", ANYWHERE) == b"x" * size
    path.write_bytes(b"x" * 10_001)
    with pytest.raises(FileAccessError, match="a is too large: 10,001 bytes; the limit is 10,000 bytes"):
        read_file(path, "a", ANYWHERE)


def test_a_file_that_says_it_is_empty_is_read_up_to_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path("/proc/self/maps")
    if not path.exists():
        pytest.skip("needs /proc")
    assert b"[stack]" in read_file(path, "maps", ANYWHERE)
    monkeypatch.setattr(access, "MAX_BYTES", 100)
    with pytest.raises(FileAccessError, match="maps is too large: over 100 bytes"):
        read_file(path, "maps", ANYWHERE)


@pytest.mark.parametrize("has_proc", [True, False], ids=["with /proc", "without /proc"])
@pytest.mark.parametrize("root", ["project", "link"])
def test_where_a_file_lies_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_proc: bool, root: str) -> None:
    if not has_proc:
        monkeypatch.setattr(access, "_DESCRIPTORS", "/nowhere")
    project = tmp_path / "project"
    project.mkdir()
    (tmp_path / "link").symlink_to("project")
    (tmp_path / "project_b").write_text(SECRET)
    (project / "a").write_text("a")
    (project / "b").symlink_to("../project_b")
    assert read_file(tmp_path / root / "a", "a", (tmp_path / root,)) == b"a"
    with pytest.raises(FileAccessError, match="b is outside the project"):
        read_file(tmp_path / root / "b", "b", (tmp_path / root,))


def test_who_may_not_read_a_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("a")
    path.chmod(0)
    tmp_path.chmod(0o755)
    with _as_another_user(), pytest.raises(FileAccessError, match="cannot read a: permission denied"):
        read_file(path, "a", ANYWHERE)


@contextmanager
def _as_another_user() -> Iterator[None]:
    """Root may read everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_written_file_keeps_its_permissions_and_links(tmp_path: Path) -> None:
    path, link = tmp_path / "a", tmp_path / "b"
    path.write_text("old")
    path.chmod(0o640)
    link.symlink_to("a")
    write_file(link, "b", b"new", (tmp_path,))
    assert (path.read_text(), path.stat().st_mode & 0o777, link.is_symlink()) == ("new", 0o640, True)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a", "b"]


WRONG_TARGETS: dict[str, Callable[[Path], None]] = {
    "a link out": lambda path: path.symlink_to(path.parents[1] / "outside"),
    "a link to a file outside that is not there": lambda path: path.symlink_to(path.parents[1] / "nothing"),
    "a pipe": lambda path: os.mkfifo(path),
    "a folder": lambda path: path.mkdir(),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a device": lambda path: path.symlink_to("/dev/null"),
}


@pytest.mark.parametrize("make", WRONG_TARGETS.values(), ids=WRONG_TARGETS)
def test_nothing_else_is_written(tmp_path: Path, make: Callable[[Path], None]) -> None:
    outside, root = tmp_path / "outside", tmp_path / "project"
    outside.write_text("kept")
    root.mkdir()
    make(root / "a")
    with pytest.raises(FileAccessError):
        write_file(root / "a", "a", b"new", (root,))
    assert outside.read_text() == "kept"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["outside", "project"]


def test_our_own_folder_may_not_lead_out(project: Project, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (project.root / ".confiture").symlink_to(outside)
    assert "is outside the project" in project.run("schema", "--install", expect=2).err
    assert list(outside.iterdir()) == []


def test_a_baseline_is_not_written_through_a_link_out(project: Project, tmp_path_factory) -> None:
    outside = tmp_path_factory.mktemp("outside") / "a"
    outside.write_text("kept")
    project.ddl("a.sql", "SELECT 1;")
    (project.root / "confiture-baseline.json").symlink_to(outside)
    assert "is outside the project" in project.run("lint", "--write-baseline", expect=2).err
    assert outside.read_text() == "kept"


NAMES = {
    "not UTF-8": b"001_\xff\xfe.yaml",
    "line end": b"001_a\nb.yaml",
    "escape": b"001_\x1b[31m.yaml",
    "right-to-left": "001_\u202eb.yaml".encode(),
    "quotes": b"001_'\".yaml",
    "long": b"001_" + b"a" * 246 + b".yaml",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("text", ["ddl: [{sql: SELECT 1}]", "nonsense"], ids=["right", "wrong"])
def test_no_name_of_a_file_breaks_a_command(project: Project, name: bytes, text: str) -> None:
    Path(os.fsdecode(os.fsencode(project.root) + b"/migrations/" + name)).write_text(text)
    for command in (("migrate", "validate"), ("lint",), ("lint", "--format", "json"), ("lint", "--format", "sarif")):
        result = project.run(*command, expect=None)
        assert result.code in (0, 1, 2), result.err
        assert "Traceback" not in result.err


def test_a_loop_of_folders_is_walked_once(project: Project) -> None:
    project.ddl("deep/a.sql", "CREATE TABLE public.a (id bigint PRIMARY KEY);")
    (project.root / "schemas" / "deep" / "again").symlink_to("..")
    (project.root / "migrations" / "again").symlink_to(".")
    assert project.run("lint", "--format", "json", expect=None).json["files"] == 1
    project.migration("001_a", "ddl: [missing.sql]")
    assert "there is no file missing.sql" in project.run("migrate", "validate", expect=2).err


@pytest.mark.parametrize("folder", ["/", "/proc"])
def test_files_that_vanish_below_a_large_folder_are_left_out(project: Project, folder: str) -> None:
    project.write("confiture.yaml", f"schemas: {folder}")
    project.migration("001_a", "ddl: [nope.sql]")
    result = project.bounded("migrate", "validate", expect=2)
    assert "there is no file nope.sql" in result.err


def test_deep_folders_are_walked(project: Project) -> None:
    former = Path.cwd()
    os.chdir(project.root / "schemas")
    try:
        for _ in range(1_200):
            Path("d").mkdir()
            os.chdir("d")
        Path("a.sql").write_text("CREATE TABLE public.a (id bigint PRIMARY KEY);")
    finally:
        os.chdir(former)
    try:
        assert project.run("lint", "--format", "json", expect=None).json["files"] == 1
    finally:
        # pytest's own clearing up walks by recursion, and would fail in a later session
        subprocess.run(["rm", "-rf", str(project.root / "schemas" / "d")], check=True)


def test_a_new_file_is_never_written_over_another(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nothing")
    (tmp_path / "a").write_text("kept")
    for name in ("a", "link"):
        with pytest.raises(FileAccessError, match="already exists"):
            create_file(tmp_path / name, name, b"new", (tmp_path,))
    create_file(tmp_path / "b", "b", b"new", (tmp_path,))
    assert {one.name for one in tmp_path.iterdir()} == {"a", "b", "link"}
    assert ((tmp_path / "a").read_text(), (tmp_path / "b").read_text()) == ("kept", "new")


def test_a_file_that_the_user_names_is_replaced_whole(tmp_path: Path) -> None:
    page, link = tmp_path / "page", tmp_path / "link"
    page.write_text("old")
    link.symlink_to("page")
    with page.open() as reader:
        write_named_file(link, b"new")
        assert reader.read() == "old"
    assert (link.is_symlink(), page.read_text()) == (True, "new")


def test_a_pipe_or_a_device_that_the_user_names_is_written_to(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(FileAccessError, match="no such device or address"):  # nobody reads, and nothing waits
        write_named_file(pipe, b"new")
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_named_file(pipe, b"new")
        assert os.read(reader, 10) == b"new"
    finally:
        os.close(reader)
    write_named_file(Path("/dev/null"), b"new")
    with pytest.raises(FileAccessError, match="no space left on device"):
        write_named_file(Path("/dev/full"), b"new")
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize("option", [(), ("--python",)])
def test_a_migration_that_cannot_be_written_is_told(project: Project, option: tuple[str, ...]) -> None:
    (project.root / "migrations").rmdir()
    (project.root / "migrations").write_text("")
    assert "cannot write" in project.run("new", "a", *option, expect=2).err


def test_settings_that_are_a_link_elsewhere(project: Project, tmp_path_factory: pytest.TempPathFactory) -> None:
    target = tmp_path_factory.mktemp("elsewhere") / "shared.yaml"
    target.write_text("{}", encoding="utf-8")
    (project.root / "confiture.yaml").unlink()
    (project.root / "confiture.yaml").symlink_to(target)
    assert f"or pass --config {target}" in project.run("migrate", "validate", expect=2).err


def test_settings_that_are_a_pipe_of_the_shell(project: Project) -> None:
    reader, writer = os.pipe()
    try:
        err = project.run("migrate", "validate", "--config", f"/dev/fd/{reader}", expect=2).err
    finally:
        os.close(reader)
        os.close(writer)
    assert f"/dev/fd/{reader} is a pipe" in err
