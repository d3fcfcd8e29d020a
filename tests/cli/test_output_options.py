"""--quiet, --verbose, --log-file, --redact, and `on_run_finished`; settings by environment."""

from __future__ import annotations

import json
import sys

import pytest

from tests.support.projects import Project
from tests.support.servers import Database

STEP = "ddl: [{sql: 'CREATE TABLE w_a (id int PRIMARY KEY, note text)', name: make}]\ndown: [{sql: DROP TABLE w_a}]\n"


def test_quiet_prints_only_errors(shop_18: Project) -> None:
    shop_18.migration("001_a", STEP)
    assert shop_18.run("migrate", "up", "--dry-run", "--quiet").out == ""
    done = shop_18.run("migrate", "up", "--quiet")
    assert (done.out, done.err) == ("", "")
    assert shop_18.run("migrate", "down", "--quiet", "--format", "json").json["outcome"] == "done"
    shop_18.migration("002_b", "ddl: [{sql: SELECT 1/0}]\n")
    failed = shop_18.run("migrate", "up", "--quiet", expect=4)
    assert failed.out == ""
    assert "error[22012]" in failed.err
    assert "mutually exclusive" in shop_18.run("migrate", "up", "--quiet", "--verbose", expect=2).err


def test_verbose_prints_each_step(shop_18: Project) -> None:
    shop_18.migration("001_a", STEP)
    done = shop_18.run("migrate", "up", "--verbose")
    assert "001 ddl: make (migrations/001_a.yaml:1:7) begins" in done.err
    assert "001 ddl: make (migrations/001_a.yaml:1:7) done, " in done.err


def test_a_log_file_collects_runs(shop_18: Project) -> None:
    shop_18.migration("001_a", STEP)
    shop_18.run("migrate", "up", "--log-file", "runs.jsonl")
    shop_18.migration("002_b", "ddl: [{sql: SELECT 1/0}]\n")
    shop_18.run("migrate", "up", "--log-file", "runs.jsonl", expect=4)
    lines = [json.loads(line) for line in (shop_18.root / "runs.jsonl").read_text().splitlines()]
    assert len({line["run"] for line in lines}) == 2
    ends = [(line["level"], line["outcome"]) for line in lines if line["event"] == "run_finished"]
    assert ends == [("info", "done"), ("error", "rolled back")]
    assert "cannot write --log-file" in shop_18.run("migrate", "up", "--log-file", "no/x", expect=2).err


@pytest.mark.parametrize(
    ("ci", "option", "is_hidden"),
    [("", (), False), ("true", (), True), ("true", ("--no-redact",), False), ("", ("--redact",), True)],
)
def test_values_of_rows_are_hidden_in_ci(
    shop_18: Project, database_18: Database, ci: str, option: tuple[str, ...], is_hidden: bool
) -> None:
    shop_18.environ["CI"] = ci
    database_18.execute("CREATE TABLE w_a (id int PRIMARY KEY, note text); INSERT INTO w_a VALUES (71, 'Anna Berg')")
    for statement in (
        "INSERT INTO w_a VALUES (71, 'x')",
        "ALTER TABLE w_a ADD CONSTRAINT c CHECK (note = '')",
        "SELECT note::int FROM w_a",
        "INSERT INTO w_a (note) SELECT note FROM w_a",
    ):
        shop_18.migration("001_a", f"ddl:\n  - sql: {statement}\n")
        failed = shop_18.run("migrate", "up", *option, expect=4)
        document = shop_18.run("migrate", "up", *option, "--format", "json", expect=4).out
        values = ("(71)", "Anna Berg")
        if "CHECK" not in statement:
            assert any(value in failed.err for value in values) != is_hidden, failed.err
            assert any(value in document for value in values) != is_hidden


def test_differing_rows_are_hidden(shop_18: Project, database_18: Database) -> None:
    database_18.execute("CREATE TABLE r_a (id int PRIMARY KEY, note text); INSERT INTO r_a VALUES (71, 'Anna Berg')")
    query = ("reconcile", "r_a", "--sql", "SELECT id, note || ' Maier' AS note FROM r_a")
    for form in ((), ("--format", "json")):
        shown = shop_18.run(*query, *form, expect=1)
        assert "Anna Berg" in shown.out + shown.err
        hidden = shop_18.run(*query, *form, "--redact", expect=1)
        assert not any(text in hidden.out + hidden.err for text in ("Anna", "Maier\n"))
        assert "***" in hidden.out + hidden.err


def test_a_program_gets_the_report(shop_18: Project) -> None:
    shop_18.write("notify.py", "import sys; open('report.json', 'w').write(sys.stdin.read()); print('sent')\n")
    shop_18.write("confiture.yaml", f'on_run_finished: ["{sys.executable}", notify.py]\n')
    shop_18.migration("001_a", STEP)
    assert "sent" in shop_18.run("migrate", "up").err
    report = json.loads((shop_18.root / "report.json").read_text())
    assert (report["format"], report["outcome"]) == ("confiture.run", "done")
    shop_18.migration("002_b", "ddl: [{sql: SELECT 1/0}]\n")
    shop_18.run("migrate", "up", expect=4)
    assert json.loads((shop_18.root / "report.json").read_text())["outcome"] == "rolled back"


def test_a_function_gets_the_report_and_cannot_fail_the_run(shop_18: Project) -> None:
    shop_18.write(
        "shop_notify.py",
        "def notify(report):\n    print('outcome:', report['outcome'])\n    raise OSError('no route')\n",
    )
    shop_18.write("confiture.yaml", "environments: {development: {on_run_finished: shop_notify:notify}}\n")
    shop_18.migration("001_a", STEP)
    done = shop_18.run("migrate", "up")
    assert "outcome: done" in done.err
    assert "on_run_finished failed: OSError: no route" in done.err


def test_linting_and_tenancy_by_environment(shop_18: Project, database_18: Database) -> None:
    shop_18.write(
        "confiture.yaml",
        """
        tenancy: {column: tenant_id, tables: [w_*]}
        linting: {block_migrations: error, rules: [{type: requires_tenant_id, tables: [w_*]}]}
        environments:
          development: {}
          strict:
            linting: {block_migrations: warning}
            tenancy: {tables: []}
        """,
    )
    database_18.execute("CREATE TABLE w_a (id int PRIMARY KEY)")
    shop_18.migration("001_a", "ddl: [{sql: UPDATE w_a SET id = id}]\n")
    shop_18.run("migrate", "up", "--env", "strict", expect=1)
    tables = shop_18.run("tenancy", "map", "--live", "--env", "strict", "--format", "json").json
    assert tables["column"] == "tenant_id", "keys that are not set come from the top level"
    shop_18.run("migrate", "up")
