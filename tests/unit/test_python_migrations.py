"""Migrations written in Python: the same plan, the same places, the same mistakes as in YAML."""

from __future__ import annotations

import pytest

from confiture.models.migration import Phase
from confiture.models.plan import TransactionMode
from tests.support.engine import dry_run, history, migrate_down, migrate_up, nothing_remains
from tests.support.projects import Project
from tests.support.python_migrations import loaded, problems

HEAD = "from confiture.models import Migration\n\n\n"

READ_MODEL = """
class AddTotals(Migration):
    version = "002"
    name = "add_totals"
    description = "Totals."
    requires = ["001"]
    vars = {"model": "r_totals"}

    def up(self):
        self.check("SELECT count(*) FROM w_orders WHERE tenant_id IS NULL", phase="before_validation")
        self.load_ddl_files(["totals.sql"])
        self.execute(
            "INSERT INTO {{ model }} SELECT tenant_id, sum(amount) FROM w_orders GROUP BY tenant_id",
            phase="AFTER_DDL", name="fill", timeout="5s",
        )
        self.check("SELECT count(*) FROM {{ model }}", {">": 0}, name="it has rows")

    def down(self):
        self.execute("DROP TABLE {{ model }}")
"""

SAME_IN_YAML = """
    version: "002"
    name: add_totals
    description: Totals.
    requires: ["001"]
    vars: {model: r_totals}
    before_validation:
      - check: SELECT count(*) FROM w_orders WHERE tenant_id IS NULL
        expect: 0
    ddl: [totals.sql]
    after_ddl:
      - name: fill
        sql: INSERT INTO {{ model }} SELECT tenant_id, sum(amount) FROM w_orders GROUP BY tenant_id
        timeout: 5s
    after_validation:
      - name: it has rows
        check: SELECT count(*) FROM {{ model }}
        expect: {">": 0}
    down:
      - sql: DROP TABLE {{ model }}
"""


def python(project, name, body):
    return project.write(f"migrations/{name}.py", HEAD + body)


@pytest.fixture
def orders(project):
    project.migration(
        "001_orders",
        """
        ddl:
          - sql: |
              CREATE TABLE w_orders (id bigint PRIMARY KEY, tenant_id int NOT NULL, amount numeric NOT NULL);
              INSERT INTO w_orders SELECT n, n % 3, n FROM generate_series(1, 90) AS n
        down:
          - sql: DROP TABLE w_orders
        """,
    )
    project.ddl("totals.sql", "CREATE TABLE r_totals (tenant_id int PRIMARY KEY, total numeric NOT NULL);")
    return project


@pytest.fixture
def shop_with_orders(orders, database_18):
    orders.environ["DATABASE_URL"] = database_18.url
    return orders


def test_it_says_what_its_yaml_would_say(orders):
    python(orders, "002_add_totals", READ_MODEL)
    in_python = loaded(orders)
    (orders.root / "migrations/002_add_totals.py").unlink()
    orders.migration("002_add_totals", SAME_IN_YAML)
    in_yaml = loaded(orders)
    for one, other in ((in_python.ups[1], in_yaml.ups[1]), (in_python.downs["002"], in_yaml.downs["002"])):
        assert [(s.phase, s.number, s.name, s.expect, s.timeout_ms) for s in one.steps] == [
            (s.phase, s.number, s.name, s.expect, s.timeout_ms) for s in other.steps
        ]
        assert [x.text for s in one.steps for x in s.statements] == [x.text for s in other.steps for x in s.statements]
    assert in_python.ups[1].checksum == in_yaml.ups[1].checksum


def test_it_goes_up_down_and_up_among_yaml_files(shop_with_orders, database_18):
    python(shop_with_orders, "002_add_totals", READ_MODEL)
    shop_with_orders.migration("003_comment", "ddl: [{sql: COMMENT ON TABLE r_totals IS 'totals'}]\ndown: []\n")
    migrate_up(shop_with_orders).expect(0)
    assert history(database_18) == [("001", "applied"), ("002", "applied"), ("003", "applied")]
    assert database_18.value("SELECT sum(total) FROM r_totals") == database_18.value("SELECT sum(amount) FROM w_orders")
    (shop_with_orders.root / "migrations/003_comment.yaml").write_text(
        "down: [{sql: SELECT 1}]\nddl: [{sql: SELECT 1}]"
    )
    migrate_up(shop_with_orders).expect(7)


def test_a_dry_run_leaves_nothing(shop_with_orders, database_18):
    python(shop_with_orders, "002_add_totals", READ_MODEL)
    ran = dry_run(shop_with_orders).expect(0)
    assert ("after_ddl", "fill", "done") in ran.steps
    assert nothing_remains(database_18)


def test_down_undoes_it(shop_with_orders, database_18):
    python(shop_with_orders, "002_add_totals", READ_MODEL)
    migrate_up(shop_with_orders).expect(0)
    migrate_down(shop_with_orders).expect(0)
    assert database_18.value("SELECT to_regclass('r_totals')") is None


def test_steps_know_their_place_to_the_character(orders):
    python(
        orders,
        "002_a",
        '''
SQL = """
    SELECT 1;
    SELEC 2;
"""

class A(Migration):
    def up(self):
        self.execute("SELECT 1; SELEC 3")
        self.execute(SQL)
        self.execute(f"SELEC {2 + 2}")
        self.execute("SELECT 1;\\n SELEC 5")
''',
    )
    text = (orders.root / "migrations/002_a.py").read_text()
    lines = text.split("\n")
    found = problems(orders)
    assert [problem.code for problem in found] == ["sql-syntax"] * 4
    # a literal to the character, a constant above where it is written, what code makes at its literal
    places = [(problem.span.line, problem.span.column) for problem in found]
    first = next(n for n, line in enumerate(lines, 1) if "SELEC 2" in line)
    call = next(n for n, line in enumerate(lines, 1) if "SELEC 3" in line)
    assert places[0] == (first, lines[first - 1].index("SELEC") + 1)
    assert places[1] == (call, lines[call - 1].index("SELEC 3") + 1)
    assert places[2][0] == call + 2
    assert places[3][0] == call + 3


def test_lint_judges_it_at_its_place(orders):
    python(
        orders,
        "002_index",
        'class A(Migration):\n    def up(self):\n        self.execute("CREATE INDEX i ON w_orders (amount)")\n',
    )
    found = orders.run("lint", "--format", "json", expect=None).json["findings"]
    finding = next(finding for finding in found if finding["rule"] == "create_index_blocking")
    assert (finding["file"], finding["line"]) == ("migrations/002_index.py", 6)


def test_concurrent_statements_and_backfills_are_segments_of_their_own(orders):
    python(
        orders,
        "002_fill",
        """
class A(Migration):
    def up(self):
        self.load_ddl_files(["totals.sql"])
        self.backfill(
            into="r_totals", source="w_orders", alias="o", batch_rows=100, on_writes="ignore", phase="after_ddl",
            sql="INSERT INTO r_totals SELECT o.id, o.amount FROM w_orders o WHERE {{ batch }}",
        )
        self.execute("CREATE INDEX CONCURRENTLY i ON w_orders (amount)", phase="cleanup")
""",
    )
    isolation = [segment.transaction_mode for segment in loaded(orders).ups[1].segments]
    assert isolation == [TransactionMode.TRANSACTIONAL, TransactionMode.BATCHED, TransactionMode.OUTSIDE]


def test_version_and_name_default_to_the_files_name(project):
    python(project, "014_add_x", "class A(Migration):\n    def up(self):\n        self.execute('SELECT 1')\n")
    assert loaded(project).migrations[0].label == "014 add_x"


def test_a_base_class_in_the_same_file_is_not_the_migration(project):
    python(
        project,
        "001_a",
        """
class Base(Migration):
    def up(self):
        self.execute(f"CREATE TABLE {self.table} (id int PRIMARY KEY)")

class A(Base):
    table = "w_a"
""",
    )
    assert loaded(project).ups[0].steps[0].statements[0].text == "CREATE TABLE w_a (id int PRIMARY KEY)"


def test_modules_of_the_project_can_be_imported(project):
    project.write("shop_sql_for_tests.py", "QUERY = 'SELECT 41 + 1'\n")
    python(
        project,
        "001_a",
        "from shop_sql_for_tests import QUERY\n\nclass A(Migration):\n    def up(self):\n        self.execute(QUERY)\n",
    )
    assert loaded(project).ups[0].steps[0].statements[0].text == "SELECT 41 + 1"


def test_files_that_begin_with_an_underscore_are_no_migrations(project):
    project.write("migrations/_helpers.py", "raise RuntimeError('not to be run')\n")
    project.write("migrations/__init__.py", "")
    assert loaded(project).migrations == ()


def test_reading_leaves_no_compiled_files(project):
    python(project, "001_a", "class A(Migration):\n    def up(self):\n        self.execute('SELECT 1')\n")
    loaded(project)
    assert [path.name for path in (project.root / "migrations").iterdir()] == ["001_a.py"]


@pytest.mark.parametrize(
    ("body", "code", "message", "line"),
    [
        ("class A(Migration:\n    pass\n", "bad-python", "not valid Python", 4),
        ("import no_such_module_at_all\n", "python-failed", "No module named 'no_such_module_at_all'", 4),
        ("x = 1\n", "no-migration", "the file contains no migration", 1),
        ("class A(Migration):\n    pass\n", "no-steps", "the migration has no steps", 4),
        (
            "class A(Migration):\n    def up(self):\n        pass\n\nclass B(A):\n    pass\n\nclass C(A):\n    pass\n",
            "several-migrations",
            "found 2: B, C",
            11,
        ),
        ("class A(Migration):\n    def up(self):\n        1 / 0\n", "python-failed", "ZeroDivisionError", 6),
        ("class A(Migration):\n    def up(self):\n        pass\n", "no-steps", "the migration has no steps", 4),
        (
            "class A(Migration):\n    def up(self):\n        self.execute('SELECT 1', tiemout='5s')\n",
            "unknown-key",
            "unknown step key 'tiemout'",
            6,
        ),
        (
            "class A(Migration):\n    def up(self):\n        self.execute('SELECT 1', timeout='soon')\n",
            "wrong-type",
            "expected a duration",
            6,
        ),
        ("class A(Migration):\n    def up(self):\n        self.execute('')\n", "empty-value", "expected text", 6),
        ("class A(Migration):\n    def up(self):\n        self.execute(7)\n", "wrong-type", "expected text", 6),
        ("class A(Migration):\n    def up(self):\n        self.hook(A)\n", "wrong-type", "a Python object of type", 6),
        (
            "class A(Migration):\n    def up(self):\n        self.execute('SELECT 1', phase='later')\n",
            "python-failed",
            "'later' is not a phase of a migration",
            6,
        ),
        (
            "class A(Migration):\n    def up(self):\n        self.load_ddl_files('a.sql')\n",
            "python-failed",
            "load_ddl_files() takes a list of paths",
            6,
        ),
        (
            "class A(Migration):\n    def up(self):\n        self.load_ddl_files(['missing.sql'])\n",
            "missing-file",
            "there is no file missing.sql below schemas/",
            6,
        ),
        (
            "class A(Migration):\n    def up(self):\n        self.execute('SELECT {{ unknown }}')\n",
            "undefined-name",
            "'unknown' is not defined",
            6,
        ),
        (
            "class A(Migration):\n    version = 'a b'\n    def up(self):\n        self.execute('SELECT 1')\n",
            "bad-version",
            "",
            5,
        ),
        ("import sys\nsys.exit(3)\n", "python-failed", "SystemExit", 5),
        (
            "class A(Migration):\n    def __init__(self, conn):\n        pass\n    def up(self):\n        pass\n",
            "python-failed",
            "missing 1 required positional argument",
            1,
        ),
        (
            "class A(Migration):\n    def up(self):\n        self.hook('nobody')\n",
            "unknown-hook",
            "no hook is registered as 'nobody'",
            6,
        ),
    ],
)
def test_mistakes_are_told_at_their_line(project, body, code, message, line):
    python(project, "001_a", body)
    (problem,) = problems(project)
    assert (problem.code, problem.span.path) == (code, "migrations/001_a.py")
    assert message in problem.message
    assert problem.span.line == line
    assert problem.hint


def test_a_version_taken_by_a_yaml_file_is_told(orders):
    python(orders, "001_again", "class A(Migration):\n    def up(self):\n        self.execute('SELECT 1')\n")
    assert [problem.code for problem in problems(orders)] == ["duplicate-version"]


def test_what_is_applied_and_changed_is_drift_but_not_for_white_space(shop_with_orders):
    path = python(shop_with_orders, "002_add_totals", READ_MODEL)
    migrate_up(shop_with_orders).expect(0)
    path.write_text(path.read_text().replace("def up(self):", "def up(self):  # a comment\n"))
    migrate_up(shop_with_orders).expect(0)
    path.write_text(path.read_text().replace("sum(amount)", "max(amount)"))
    migrate_up(shop_with_orders).expect(7)


def test_line_ends_of_old_are_lines_of_python(project):
    path = python(project, "002_x", "class A(Migration):\n    def up(self):\n        self.execute('SELECT 1')\n")
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r"))
    (migration,) = loaded(project).migrations
    assert [step.sql.text for step in migration.steps(Phase.DDL)] == ["SELECT 1"]


def test_paths_name_ddl_files(project):
    project.ddl("a.sql", "SELECT 7")
    python(
        project,
        "002_x",
        "from pathlib import Path\n\nclass A(Migration):\n    def up(self):\n"
        "        self.load_ddl_files([Path('a.sql')])\n",
    )
    (migration,) = loaded(project).migrations
    assert [step.sql.text.strip() for step in migration.steps(Phase.DDL)] == ["SELECT 7"]


def test_a_module_of_hooks_may_be_imported_by_a_migration_too(project):
    project.write(
        "shop_hooks_e.py",
        "from confiture.core import Hook, register_hook\nCOUNT = 'SELECT count(*) FROM pg_class'\n\n"
        "class X(Hook):\n    def execute(self, conn, context):\n        pass\n\nregister_hook('everywhere', X)\n",
    )
    project.write("confiture.yaml", "migrations: migrations\nschemas: schemas\nhooks: shop_hooks_e\n")
    python(
        project,
        "001_a",
        "from shop_hooks_e import COUNT\n\nclass A(Migration):\n    def up(self):\n        self.execute(COUNT)\n",
    )
    assert len(loaded(project).ups[0].steps) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import asyncio\nraise asyncio.CancelledError\n", "CancelledError"),
        ("class X(Exception):\n    def __str__(self): raise ValueError\nraise X\n", "error[python-failed]: X"),
        (
            "from confiture.models import Migration\nx = []; x.append(x)\nclass A(Migration):\n    vars = {'a': x}\n"
            "    def up(self): self.execute('SELECT 1')\n",
            "a value has more than 50 levels or contains itself",
        ),
    ],
)
def test_what_python_may_raise_is_told_at_its_file(project: Project, text: str, message: str) -> None:
    (project.root / "migrations" / "001_a.py").write_text(text, encoding="utf-8")
    result = project.run("migrate", "validate", expect=2)
    assert message in result.err and "--> migrations/001_a.py" in result.err
