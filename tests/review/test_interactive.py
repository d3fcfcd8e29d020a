"""`migrate up --interactive`: scripted sessions in a pseudo terminal, and the questions without one."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from confiture.core.commands import UpOptions
from confiture.core.db.connection import ConnectionTarget
from confiture.core.review.review import PlanReview
from confiture.models.review import Decision, Question, ReviewAction
from confiture.project import Project as LoadedProject
from tests.support.projects import Project
from tests.support.servers import Database
from tests.support.terminal import Session

PROMPT = r"\(no default\): "
MIGRATIONS = {
    "001_orders": "ddl: [{sql: ALTER TABLE w_orders ADD COLUMN size int}]\ndown: [{sql: SELECT 1}]\n",
    "002_fill": "after_ddl: [{sql: UPDATE w_orders SET size = 1}]\n",
    "003_other": "ddl: [{sql: 'CREATE TABLE w_other (id int)'}]\n",
    "004_after": "requires: ['003']\nddl: [{sql: 'CREATE TABLE w_after (id int)'}]\n",
}


@pytest.fixture
def shop(shop_18: Project, database_18: Database) -> Project:
    database_18.execute("CREATE TABLE w_orders (id int PRIMARY KEY); INSERT INTO w_orders VALUES (1), (2)")
    for name, text in MIGRATIONS.items():
        shop_18.migration(name, text)
    return shop_18


def applied(database: Database) -> list[str]:
    if database.value("SELECT to_regclass('confiture.migrations')") is None:
        return []
    return [row[0] for row in database.rows("SELECT version FROM confiture.migrations ORDER BY position")]


def no_session_is_open(database: Database) -> bool:
    """Whether no session of the command exists, so that there are neither locks nor transactions."""
    count = database.value(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND backend_type = 'client backend'"
    )
    return count == 0


def touch_file(project: Project, database: Database) -> None:
    project.migration("003_other", MIGRATIONS["003_other"] + "# edited\n")


def touch_database(project: Project, database: Database) -> None:
    database.execute("ALTER TABLE w_orders ADD COLUMN note text")


def touch_history(project: Project, database: Database) -> None:
    project.process("migrate", "up", "--to", "001")


Script = list[tuple[str | Callable[[Project, Database], None], str]]
ALL = ["001", "002", "003", "004"]
SCRIPTS: dict[str, tuple[Script, int, list[str]]] = {
    # keys or a change by somebody else, then what is expected; the exit code; what is applied
    "apply": ([("a\n", "4 migrations applied")], 0, ALL),
    "stop": ([("q\n", "nothing more was applied")], 0, []),
    "enter repeats the question": ([("\n", PROMPT), ("\n", PROMPT), ("q\n", "continue with")], 0, []),
    "unknown keys repeat the question": ([("y\n", PROMPT), ("yes\n", PROMPT), ("q\n", "")], 0, []),
    "end of input": ([("\x04", "nothing more was applied")], 0, []),
    "Ctrl-C": ([("\x03", "nothing more was applied")], 130, []),
    "SQL": ([("s\n", "UPDATE w_orders SET size = 1.*" + PROMPT), ("q\n", "")], 0, []),
    "details": ([("i\n", r"unknown\s+duration: no dry run.*" + PROMPT), ("q\n", "")], 0, []),
    "dry run, then apply": ([("d\n", r"estimate: [\d.]+ ms.*" + PROMPT), ("a\n", "4 migrations applied")], 0, ALL),
    "skip what touches the same table": (
        [
            ("k 001\n", "Skipped: 001 orders. .*Skipped: 002 fill: touches w_orders,.*" + PROMPT),
            ("a\n", "2 migrations"),
        ],
        0,
        ["003", "004"],
    ),
    "skip what requires it": (
        [("k 003\n", "Skipped: 004 after: requires 003. It will.*" + PROMPT), ("a\n", "2 migrations applied")],
        0,
        ["001", "002"],
    ),
    "skip without a version": ([("k\n", "name one of 001, 002, 003,.*" + PROMPT), ("q\n", "")], 0, []),
    "skip everything": (
        [("k 001\n", PROMPT), ("k 003\n", "No migration is left.*" + PROMPT), ("a\n", "nothing")],
        0,
        [],
    ),
    "a file changes": (
        [(touch_file, ""), ("a\n", "Changed since.*003_other.yaml.*" + PROMPT), ("a\n", "4 migr")],
        0,
        ALL,
    ),
    "the database changes": (
        [(touch_database, ""), ("a\n", "Changed since.*w_orders.note is new.*" + PROMPT), ("q\n", "")],
        0,
        [],
    ),
    "the history changes": (
        [(touch_history, ""), ("a\n", "Changed since.*history.*" + PROMPT), ("a\n", "3 migrations applied")],
        0,
        ALL,
    ),
}


@pytest.mark.parametrize("columns", [60, pytest.param(200, marks=pytest.mark.matrix)])
@pytest.mark.parametrize("name", SCRIPTS)
def test_sessions(shop: Project, database_18: Database, name: str, columns: int) -> None:
    script, code, versions = SCRIPTS[name]
    session = Session(shop, "migrate", "up", "--interactive", columns=columns)
    first = session.expect(PROMPT)
    assert no_session_is_open(database_18), "nothing is open during a prompt"
    unwrapped = [line for line in first.splitlines() if "/" not in line]
    assert max(map(len, unwrapped)) <= columns
    assert "\x1b" not in first, "no colors and no redraws in a dumb terminal"
    for action, expected in script:
        if isinstance(action, str):
            session.send(action)
            flexible = re.sub(r" ", r"\\s+", expected.replace(PROMPT, "\0")).replace("\0", PROMPT)
            session.expect(flexible)
            if expected.endswith(PROMPT):
                assert no_session_is_open(database_18)
        else:
            action(shop, database_18)
    assert session.exit_code() == code, session.text
    assert applied(database_18) == versions


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "stdin and stderr are not a terminal"),
        (("--format", "json"), "--format json is for programs"),
        (("--dry-run",), "--interactive cannot be combined with --dry-run"),
        (("--plan", "plan.json"), "--interactive cannot be combined with --plan"),
    ],
    ids=str,
)
def test_without_a_terminal_nothing_is_asked(shop: Project, arguments: tuple[str, ...], reason: str) -> None:
    refused = shop.run("migrate", "up", "--interactive", *arguments, expect=2)
    assert reason in refused.err + refused.out
    assert "no default" not in refused.err


def test_in_ci_nothing_is_asked(shop: Project, database_18: Database) -> None:
    shop.environ["CI"] = "true"
    session = Session(shop, "migrate", "up", "--interactive", columns=80)
    session.expect("the variable CI is set")
    assert session.exit_code() == 2
    assert "no default" not in session.text
    assert applied(database_18) == []


def test_decisions_are_data(shop: Project, database_18: Database) -> None:
    """The core asks without a terminal: a list of decisions is enough."""
    database = ConnectionTarget(conninfo=database_18.url, label="shop", origin="test")
    measured: list[UpOptions] = []
    review = PlanReview(
        lambda: LoadedProject.load(shop.root, database=database_18.url),
        database,
        UpOptions(to="003"),
        lambda project, options: measured.append(options),
    )
    questions = review.questions()
    decisions = (
        Decision(action=ReviewAction.SHOW_SQL),
        Decision(action=ReviewAction.DRY_RUN),
        Decision(action=ReviewAction.SKIP, version="003"),
    )
    asked: list[Question] = [next(questions), *map(questions.send, decisions)]
    assert [one.view.value for one in asked] == ["overview", "SQL", "overview", "overview"]
    assert [plan.version for plan in asked[-1].plans] == ["001", "002"]
    assert measured[0].dry_run
    with pytest.raises(StopIteration) as end:
        questions.send(Decision(action=ReviewAction.APPLY))
    assert end.value.value.options.skip == {"003"}
    assert end.value.value.options.guard is not None
