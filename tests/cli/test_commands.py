"""The command line: help, options, exit codes, what is said without arguments, and projects made from nothing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from confiture import __version__
from confiture.cli.app import app
from tests.support.projects import Project, Result
from tests.support.servers import Database

STEP = "ddl: [{sql: SELECT 1}]\n"


def invoke(project: Project, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Result:
    """Runs a command in this process."""
    monkeypatch.chdir(project.root)
    for name, value in project.environ.items():
        monkeypatch.setenv(name, value)
    for name in ("DATABASE_URL", "CONFITURE_ENV", "CONFITURE_DATABASE_URL", "CONFITURE_CONFIG", "GITHUB_WORKSPACE"):
        if name not in project.environ:
            monkeypatch.delenv(name, raising=False)
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    return Result(result.exit_code, result.stdout, result.stderr)


def commands() -> Iterator[tuple[str, ...]]:
    """Every command, groups included."""

    def below(group: object, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        yield path
        for name, command in getattr(group, "commands", {}).items():
            yield from below(command, (*path, name))

    yield from below(typer.main.get_command(app), ())


@pytest.mark.parametrize("command", list(commands()), ids=" ".join)
def test_every_command_explains_itself(command: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*command, "--help"], catch_exceptions=False)
    assert result.exit_code == 0
    text = result.stdout
    leads_on = "Commands:" in text
    assert leads_on or re.search(rf"Examples?:.*confiture.*{command[-1]}", text, re.DOTALL), text
    listed = re.findall(r"^  (\w[\w-]*)  +(.*)$", text.partition("Commands:")[2], re.MULTILINE)
    assert bool(listed) == leads_on
    assert not [line for line in listed if line[1].endswith("...")], f"cut short\n{text}"


def test_version() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"confiture {__version__}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("frob",),
        ("migrate", "frob"),
        ("migrate", "up", "--frob"),
        ("migrate", "up", "--format", "xml"),
        ("migrate", "show"),
        ("migrate", "down", "--steps", "0"),
        ("migrate", "down", "--steps", "-1"),
        ("migrate", "down", "--steps", "x"),
        ("migrate", "down", "--steps", "1", "--to", "0"),
        ("migrate", "--dry-run", "up"),
        ("migrate", "up", "--wait", "5x"),
        ("migrate", "up", "--config", "nowhere.yaml"),
        ("migrate", "up", "--env", "nowhere"),
        ("schema", "frob"),
        ("new",),
    ],
    ids=" ".join,
)
def test_options_that_are_wrong_end_with_2(
    project: Project, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    project.migration("001_a", STEP)
    result = invoke(project, monkeypatch, *arguments)
    assert result.code == 2
    assert result.out == ""
    assert "rror" in result.err
    assert not (project.root / ".confiture").exists()


@pytest.mark.parametrize("given", ["x", "=1", "1a=2", "a-b=3", "é=1", "name=x", "if=1", "x=\udcff"])
def test_variables_that_are_none_are_told(project: Project, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    project.migration("001_a", STEP)
    result = invoke(project, monkeypatch, "migrate", "up", "--var", given, "--var", "fine=1", "--var", "y")
    assert result.code == 2
    assert result.err.count("error[bad-option]") == 2, "all at once"
    assert "--var 'y' is not NAME=VALUE" in result.err


def test_variables_hold_whatever_follows_the_first_equals_sign(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.migration(
        "001_a", "vars: {x: of the file, y: of the file}\nddl: [{sql: 'SELECT 1 AS {{ x|ident }}, {{ y|literal }}'}]\n"
    )
    shown = invoke(
        project, monkeypatch, "migrate", "show", "001", "--format", "json", "--var", "x=a=b 'c", "--var", "y="
    )
    (segment,) = shown.json["segments"]
    assert segment["steps"][0]["statements"] == ["SELECT 1 AS \"a=b 'c\", ''"]


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("migrate", "up", "--to", "02x"), "did you mean '002'?"),
        (("migrate", "up", "--to", "2_second"), "did you mean '002'?"),
        (("migrate", "up", "--to", "zzz"), "run `confiture migrate status` to list the migrations"),
        (("migrate", "show", "zzz"), "run `confiture migrate status` to list the migrations"),
        (("migrate", "show", ""), "to list the migrations"),
    ],
)
def test_a_version_that_is_not_there_is_told_with_the_nearest(
    project: Project, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], hint: str
) -> None:
    project.migration("001_first", STEP)
    project.migration("002_second", STEP)
    # nothing listens there: the versions are looked at before
    project.environ["DATABASE_URL"] = "postgresql://127.0.0.1:1/x"
    result = invoke(project, monkeypatch, *arguments)
    assert result.code == 2
    assert f"error[unknown-version]: there is no migration {arguments[-1]}" in result.err
    assert hint in result.err


SECRETS = {
    "refused": "postgresql://me:s3cret@127.0.0.1:1/db",
    "refused, percent-encoded": "postgresql://me:%733cret@127.0.0.1:1/db",
    "refused, conninfo": "host=127.0.0.1 port=1 user=me password=s3cret",
    "refused, in the query": "postgresql://127.0.0.1:1/db?user=me&password=s3cret",
    "unknown host": "postgresql://me:s3cret@nowhere.invalid/db",
    "no such socket": "postgresql://me:s3cret@/db?host=/nowhere",
    "unknown service": "service=nowhere password=s3cret",
    "port that is none": "postgresql://me:s3cret@127.0.0.1:x/db",
    "at sign in the password": "postgresql://me:x@s3cret@127.0.0.1:1/db",
    "space in the password": "postgresql://me:s3cret x@127.0.0.1:1/db",
    "percent sign in the password": "postgresql://me:s3cret%@127.0.0.1:1/db",
    "unclosed bracket": "postgresql://me:s3cret@[::1/db",
    "unknown parameter": "postgresql://127.0.0.1:1/db?pasword=s3cret",
    "unknown word": "host=127.0.0.1 pasword=s3cret",
    "unclosed quote": "host=127.0.0.1 password='s3cret",
    "another database": "mysql://me:s3cret@127.0.0.1/db",
    "one slash": "postgresql:/me:s3cret@127.0.0.1/db",
    "URL in a conninfo": "dbname=postgresql://me:s3cret@127.0.0.1:1/db",
    "only a word": "s3cret",
    "not UTF-8": "postgresql://me:s3cret\udcff@127.0.0.1:1/db",
}


@pytest.mark.parametrize("form", ["text", "json", "github", "junit"])
@pytest.mark.parametrize("url", SECRETS.values(), ids=SECRETS)
def test_a_database_that_cannot_be_reached_is_told_without_its_password(
    project: Project, monkeypatch: pytest.MonkeyPatch, url: str, form: str
) -> None:
    project.migration("001_a", STEP)
    result = invoke(project, monkeypatch, "migrate", "up", "--database", url, "--format", form)
    said = result.out + result.err
    assert result.code == (2 if "\udcff" in url else 3), said
    assert "s3cret" not in said
    assert "--database" in said, "where the address comes from"
    if form == "json":
        assert result.json["diagnostics"][0]["hint"]


@pytest.mark.parametrize("command", [("status",), ("baseline", "001"), ("down",), ("--dry-run",)], ids=" ".join)
def test_every_command_that_connects_ends_with_3_where_it_cannot(
    project: Project, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    project.migration("001_a", STEP)
    project.environ["DATABASE_URL"] = "postgresql://me:s3cret@127.0.0.1:1/db"
    result = invoke(project, monkeypatch, "migrate", *command)
    assert result.code == 3
    assert "cannot connect to me@127.0.0.1:1/db" in result.err
    assert "which comes from DATABASE_URL" in result.err
    assert "s3cret" not in result.out + result.err


def test_a_database_that_is_not_there_is_told(project: Project, database_18: Database) -> None:
    project.migration("001_a", STEP)
    project.environ["DATABASE_URL"] = database_18.server.url("nowhere")
    result = project.run("migrate", "up", expect=3)
    assert 'database "nowhere" does not exist' in result.err


def test_without_arguments_it_says_where_the_project_stands(
    project: Project, database_18: Database, tmp_path_factory: pytest.TempPathFactory
) -> None:
    nowhere = Project(tmp_path_factory.mktemp("nowhere"))
    assert nowhere.run().out == (
        "There is no confiture.yaml in this folder or its parent folders.\n"
        "Next: `confiture init` creates a project here; `confiture --help` lists the commands.\n"
    )
    first = f"Project {project.root}, environment development\n"
    assert project.run().out == f"{first}No migrations yet. Next: run `confiture new NAME`.\n"
    project.migration("001_a", "ddl: [{sql: CREATE TABLE a ()}]")
    project.migration("002_b", "ddl: [{sql: CREATE TABLE b ()}]")
    assert project.run().out == (
        f"{first}2 migrations, none applied: the embedded server does not exist yet.\n"
        "Next: `confiture migrate up` creates it and applies the migrations.\n"
    )
    assert not (project.root / ".confiture").exists()
    project.environ["DATABASE_URL"] = "postgresql://127.0.0.1:1/x"
    unreachable = project.run().out
    assert "2 migrations; cannot connect to 127.0.0.1:1/x.\n" in unreachable
    project.environ["DATABASE_URL"] = database_18.url
    project.run("migrate", "up", "--to", "1")
    assert "2 migrations: 1 applied, 1 pending on " in project.run().out
    project.run("migrate", "up")
    assert project.run().out.endswith("Nothing to do. `confiture new NAME` creates the next migration.\n")
    project.migration("001_a", "ddl: [{sql: CREATE TABLE changed ()}]")
    assert "Files of applied migrations have changed. Next: run `confiture migrate status`." in project.run().out
    project.migration("003_c", "dll: 1")
    assert "did you mean 'ddl'?" in project.run(expect=2).err


def test_a_project_made_from_nothing_is_valid_and_runs(tmp_path: Path, database_18: Database) -> None:
    here = Project(tmp_path, {"DATABASE_URL": database_18.url})
    made = here.run("init", "shop")
    assert "Next: run `confiture new NAME`" in made.err
    shop = Project(tmp_path / "shop", here.environ)
    first = shop.run("new", "Add Order-Totals!").out.strip()
    assert first == "migrations/001_add_order_totals.yaml"
    assert shop.run("migrate", "validate", expect=2).err.startswith("error[no-steps]")
    path = shop.root / first
    path.write_text(path.read_text().replace("\nddl: [] ", "\nddl:\n  - sql: CREATE TABLE totals ()\n#"))
    assert shop.run("migrate", "validate").out == "1 migration, 1 step: all valid.\n"
    shop.run("migrate", "up")
    assert database_18.value("SELECT to_regclass('totals') IS NOT NULL") is True
    # everything that editors are told to look for is there
    for file in (shop.root / "confiture.yaml", path):
        schema = re.match(r"# yaml-language-server: \$schema=(\S+)\n", file.read_text())
        assert schema is not None
        assert json.loads((file.parent / schema[1]).read_text())["$schema"].endswith("2020-12/schema")
    assert ".confiture/" in (shop.root / ".gitignore").read_text().splitlines()


def test_init_writes_over_nothing(tmp_path: Path) -> None:
    here = Project(tmp_path)
    (tmp_path / ".gitignore").write_text("*.log")
    here.run("init")
    assert (tmp_path / ".gitignore").read_text() == "*.log\n.confiture/\n"
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert "already exists" in here.run("init", expect=2).err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("there", "written"),
    [([], "001_x"), (["001_a"], "002_x"), (["009_a", "010_b"], "011_x"), (["99_a"], "100_x"), (["2024.1_a"], "001_x")],
)
def test_new_counts_on(project: Project, monkeypatch: pytest.MonkeyPatch, there: list[str], written: str) -> None:
    for name in there:
        project.migration(name, STEP)
    assert invoke(project, monkeypatch, "new", "x").out == f"migrations/{written}.yaml\n"


def test_new_needs_a_name_that_files_can_have(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    result = invoke(project, monkeypatch, "new", "äöü!")
    assert result.code == 2
    assert "contains no letter or digit" in result.err


def test_new_works_below_the_project(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    below = Project(project.root / "schemas", project.environ)
    assert invoke(below, monkeypatch, "new", "x").out == "../migrations/001_x.yaml\n"


def test_schemas_are_printed_and_installed(project: Project) -> None:
    printed = {name: project.run("schema", name).out for name in ("migration", "settings")}
    assert project.run("schema").out == printed["migration"]
    project.run("schema", "--install")
    for name, text in printed.items():
        assert (project.root / f".confiture/schema/{name}.json").read_text() == text


def test_what_goes_to_a_reader_that_has_enough_is_no_error(project: Project) -> None:
    project.migration("001_a", "ddl:\n" + "".join(f"  - sql: SELECT {n}\n" for n in range(3000)))
    command = [*project.command("migrate", "show", "001")]
    with subprocess.Popen(
        command, cwd=project.root, env=project.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert running.stdout.readline() == "001 a  (up)\n"
        running.stdout.close()
        assert running.stderr.read() == ""


def test_a_terminal_without_unicode_gets_question_marks_and_documents_are_utf_8(project: Project) -> None:
    project.migration("001_größe", f"description: é日\nddl: [{{sql: 'SELECT {'1' * 100}, NULL::timestamp'}}]\n")
    project.environ["PYTHONIOENCODING"] = "ascii"
    assert "??" in project.process("migrate", "show", "001").out
    assert project.process("migrate", "show", "001", "--format", "json").json["description"] == "é日"
    project.ddl("a.sql", "CREATE TABLE größe (id int)")
    assert "größe" in project.process("lint", "--format", "gitlab").out


def test_a_file_name_that_is_not_utf_8_can_be_told(project: Project) -> None:
    import os

    path = os.fsencode(project.root) + b"/migrations/001_caf\xe9.yaml"
    with open(path, "w") as file:  # noqa: PTH123 - a name in bytes
        file.write("dll: 1\n")
    for form in ("text", "json", "github", "junit"):
        result = project.run("migrate", "validate", "--format", form, expect=2)
        assert "migrations/001_caf\N{REPLACEMENT CHARACTER}.yaml" in result.out + result.err


def test_the_module_and_the_script_are_the_same(project: Project) -> None:
    script = Path(sys.executable).parent / "confiture"
    if not script.exists():
        pytest.skip("confiture is not installed as a script")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True, env=project.environment)
    assert done.stdout == project.run("--version").out


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("up", "--repeat", "3"), "--repeat is only valid with --dry-run"),
        (("up", "--repeat", "1"), "--repeat is only valid with --dry-run"),
        (("up", "--scale-to", "postgresql://h/x"), "--scale-to is only valid with --dry-run"),
        (("up", "--yes"), "--yes is only valid with --dry-run"),
        (("up", "--repeat", "3", "--yes"), "--repeat, --yes are only valid with --dry-run"),
        (("down", "--repeat", "3"), "--repeat is only valid with --dry-run"),
        (("down", "--yes"), "--yes is only valid with --dry-run"),
    ],
)
def test_options_of_a_dry_run_are_refused_by_a_real_one(
    project: Project, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], told: str
) -> None:
    project.migration("001_a", STEP)
    result = invoke(project, monkeypatch, "migrate", *command)
    assert (result.code, result.out) == (2, "")
    assert told in result.err
    assert not (project.root / ".confiture").exists()


@pytest.mark.parametrize("url", ["embedded", "s3cret", "mysql://me:s3cret@h/x", "s3cret=1", "s3cret\udcff", ""])
def test_a_database_to_scale_to_that_is_none_is_told(
    project: Project, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    project.migration("001_a", STEP)
    result = invoke(project, monkeypatch, "migrate", "--dry-run", "--scale-to", url)
    assert (result.code, result.out) == (2, "")
    assert "is not a database URL" in result.err
    assert "--scale-to" in result.err
    assert "s3cret" not in result.err
    assert not (project.root / ".confiture").exists()


def test_the_page_is_refused_before_the_run_where_it_cannot_be_written(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    project.migration("001_a", STEP)
    for page, told in ((str(tmp_path), "is a folder"), ("nowhere/x.html", "the folder nowhere does not exist")):
        result = invoke(project, monkeypatch, "migrate", "up", "--report", page)
        assert (result.code, result.out) == (2, "")
        assert told in result.err
    assert not (project.root / ".confiture").exists()


def test_a_page_that_cannot_be_written_afterwards_is_only_told(shop_18: Project) -> None:
    shop_18.migration("001_a", STEP)
    result = shop_18.run("migrate", "up", "--report", "/dev/full")
    assert "the report could not be written to /dev/full" in result.err
    assert "1 migration applied" in result.out


def test_a_reader_that_leaves_ends_nothing_and_changes_no_exit_code(shop_18: Project) -> None:
    shop_18.migration("001_a", STEP)
    reader, writer = os.pipe()
    os.close(reader)
    command = shop_18.command("migrate", "up")
    with os.fdopen(writer, "wb") as pipe:
        done = subprocess.run(command, cwd=shop_18.root, env=shop_18.environment, stdout=pipe, stderr=pipe, check=False)
    assert done.returncode == 0
    assert [row["version"] for row in shop_18.run("migrate", "status", "--format", "json").json["applied"]] == ["001"]


def test_a_closed_stdout_is_no_error_and_a_full_one_is_told(project: Project) -> None:
    def version(target: str) -> subprocess.CompletedProcess[str]:
        script = f'exec "$@" >{target}'
        command = ["sh", "-c", script, "sh", *project.command("--version")]
        return subprocess.run(command, env=project.environment, capture_output=True, text=True, check=False)

    closed, full = version("&-"), version("/dev/full")
    assert (closed.returncode, closed.stderr) == (0, "")
    assert (full.returncode, full.stderr) == (1, "cannot write to stdout: No space left on device\n")


def test_file_names_that_are_no_utf_8_are_shown_as_well_as_can_be(shop_18: Project) -> None:
    shop_18.migration("001_gr\udcf6sse", STEP)
    shop_18.run("migrate", "up", "--report", "page.html")
    assert "001 gr\N{REPLACEMENT CHARACTER}sse" in (shop_18.root / "page.html").read_text(encoding="utf-8")


def test_options_of_migrate_alone_are_refused(project: Project) -> None:
    for options in (["--to", "001"], ["--repeat", "3"], ["--env", "production", "status"]):
        assert "put options after the command" in project.run("migrate", *options, expect=2).err


def test_migrations_out_of_order_can_be_rehearsed_by_the_short_form(
    shop_18: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop_18.migration("002_b", STEP)
    shop_18.run("migrate", "up")
    shop_18.migration("001_a", STEP)
    refused = shop_18.run("migrate", "--dry-run", expect=7)
    assert "before anything ran" in refused.out
    assert "Rolled back" not in refused.out
    shop_18.run("migrate", "--dry-run", "--out-of-order")


def test_the_undoing_can_be_rehearsed_repeatedly(shop_18: Project) -> None:
    shop_18.migration("001_a", STEP + "down: [{sql: SELECT 1}]\n")
    shop_18.run("migrate", "up")
    assert "5 dry runs" in shop_18.run("migrate", "down", "--dry-run", "--repeat", "5").out
