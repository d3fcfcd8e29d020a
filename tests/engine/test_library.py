"""Confiture as a library: projects, single migrations, hooks of packages, and what importing costs."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import psycopg
import pytest

from confiture import DownOptions, InputError, MigrationFailed, Project, UpOptions
from confiture.core import Hook, HookPhase, HookResult, Migrator, register_hook
from confiture.models import Migration
from confiture.models.events import Event, RunFinished, StepFinished
from confiture.models.plan import Direction
from tests.support.engine import history, migrate_up, nothing_remains

ORDERS = """
    ddl:
      - sql: CREATE TABLE w_orders (id bigint PRIMARY KEY, tenant_id int NOT NULL)
    after_ddl:
      - sql: INSERT INTO w_orders SELECT n, n % 3 FROM generate_series(1, 500) AS n
    down:
      - sql: DROP TABLE w_orders
"""


class CountHook(Hook):
    phase = HookPhase.AFTER_VALIDATION

    def execute(self, conn, context):
        rows = conn.execute("SELECT count(*) FROM w_notes").scalar()
        return HookResult(phase="AFTER_VALIDATION", hook_name="count", stats={"rows": rows})


register_hook("count", CountHook)


class AddNotes(Migration):
    version = "900"
    name = "add_notes"

    def up(self):
        self.load_ddl_files(["schemas/notes.sql"])
        self.execute("INSERT INTO w_notes SELECT n, 'x' FROM generate_series(1, 40) AS n", phase="after_ddl")
        self.execute("ALTER TABLE w_orders ADD COLUMN note_id int")

    def down(self):
        self.execute("ALTER TABLE w_orders DROP COLUMN note_id; DROP TABLE w_notes")


@pytest.fixture
def orders(shop_18, monkeypatch):
    shop_18.migration("001_orders", ORDERS)
    shop_18.ddl("notes.sql", "CREATE TABLE w_notes (id int PRIMARY KEY, text text NOT NULL);")
    monkeypatch.chdir(shop_18.root)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    return shop_18


@pytest.fixture
def shop(orders, database_18):
    return Project.load(orders.root, database=database_18.url)


def test_a_project_runs_and_reports(shop, database_18):
    seen: list[Event] = []
    report = shop.run(on_event=seen.append)
    assert (report.rows_affected, report.outcome) == (500, "done")
    assert [step.step.name for step in report.steps] == [e.step.name for e in seen if isinstance(e, StepFinished)]
    assert isinstance(seen[-1], RunFinished)
    assert history(database_18) == [("001", "applied")]
    assert shop.run(DownOptions(steps=1)).steps[0].step.phase == "down"
    assert history(database_18) == []


def test_a_dry_run_has_every_number(shop, database_18):
    report = shop.dry_run(repeat=3)
    assert report.execution_time_ms > 0
    assert report.estimated_range_low_ms <= report.estimated_production_time_ms <= report.estimated_range_high_ms
    assert 0 <= report.confidence_percent <= 100
    assert report.rows_affected == 500
    assert report.locked_tables == ()
    assert isinstance(report.warnings, tuple)
    assert len(report.statements) == 2
    assert nothing_remains(database_18)
    once = shop.dry_run()
    assert once.estimated_production_time_ms is not None
    assert once.confidence_percent is None


def test_a_plan_and_lint_need_no_database(orders):
    project = Project.load(orders.root / "confiture.yaml", database="postgresql://nowhere.invalid/x")
    assert [migration.version for migration in project.plan().migrations] == ["001"]
    assert [migration.direction for migration in project.plan(Direction.DOWN).migrations] == [Direction.DOWN]
    assert project.lint().findings is not None


def test_what_a_listener_raises_stops_nothing(shop, database_18):
    def broken(event):
        raise RuntimeError(event)

    assert shop.run(on_event=broken).outcome == "done"
    assert history(database_18) == [("001", "applied")]


def test_errors_are_those_of_the_command_line(orders, shop):
    with pytest.raises(InputError, match="there is no migration 77"):
        shop.run(UpOptions(to="77"))
    orders.migration("002_bad", "ddl: [{sql: SELECT 1 / 0}]\n")
    with pytest.raises(MigrationFailed) as caught:
        Project.load(orders.root, database=shop.settings.database.url).run()
    assert caught.value.diagnostics[0].code == "22012"
    orders.migration("003_worse", "dll: []\n")
    with pytest.raises(InputError, match="unknown key 'dll'"):
        Project.load(orders.root)
    with pytest.raises(InputError, match=r"there is no confiture\.yaml"):
        Project.load("/")


def test_a_migration_that_is_an_object(orders, database_18):
    migrate_up(orders).expect(0)
    with psycopg.connect(database_18.url) as conn:
        result = Migrator(conn).dry_run(AddNotes(conn), repeat=2)
        assert result.rows_affected == 40
        assert "w_orders" in result.locked_tables
        assert result.estimated_production_time_ms and result.estimated_production_time_ms > 0
        assert [step.step.name for step in result.steps][-1] == "count"
        assert result.steps[-1].stats == {"rows": 40}
        assert database_18.value("SELECT to_regclass('w_notes')") is None
        with pytest.raises(InputError, match="900 add_notes is not in any project file"):
            Migrator(conn).up(AddNotes(conn))
        (orders.root / "confiture.yaml").unlink()
        assert Migrator(conn).up(AddNotes(conn)).rows_affected == 40
        assert history(database_18) == [("001", "applied"), ("900", "applied")]
        assert Migrator(conn).up(AddNotes(conn)).steps == ()
        Migrator(conn).down(AddNotes(conn))
    assert history(database_18) == [("001", "applied")]


def test_a_protected_environment_wants_a_confirmation(orders, database_18, monkeypatch):
    orders.write(
        "confiture.yaml",
        "migrations: migrations\nschemas: schemas\nenvironments: {production: {protected: true}}\n",
    )
    monkeypatch.setenv("CONFITURE_ENV", "production")
    migrate_up(orders).expect(0)
    with psycopg.connect(database_18.url) as conn:
        with pytest.raises(InputError, match="the environment 'production' is protected"):
            Migrator(conn).dry_run(AddNotes(conn))
        assert Migrator(conn).dry_run(AddNotes(conn), confirmed=True).rows_affected == 40


class OnlyHooks(Migration):
    version = "901"


def test_a_migration_whose_work_is_done_by_hooks_needs_no_up(orders, database_18):
    migrate_up(orders).expect(0)
    database_18.execute("CREATE TABLE w_notes (id int)")
    with psycopg.connect(database_18.url) as conn:
        assert [step.step.name for step in Migrator(conn).dry_run(OnlyHooks(conn)).steps] == ["count"]


def test_what_is_no_migration_is_refused(orders, database_18):
    made: dict[str, type[Migration]] = {}
    exec("class Nowhere(Migration):\n    version = '902'\n", {"Migration": Migration}, made)
    with psycopg.connect(database_18.url) as conn:
        wrong: Any
        for wrong in (None, AddNotes):
            with pytest.raises(TypeError, match="expected an instance of a subclass of Migration"):
                Migrator(conn).dry_run(wrong)
        with pytest.raises(InputError, match="is not defined in a file"):
            Migrator(conn).dry_run(made["Nowhere"](conn))
    with pytest.raises(InputError, match="the connection is closed"):
        Migrator(conn).dry_run(AddNotes(conn))


def test_a_connection_inside_a_transaction_is_refused(orders, database_18):
    with psycopg.connect(database_18.url) as conn:
        conn.execute("SELECT 1")
        with pytest.raises(InputError, match="in a transaction"):
            Migrator(conn).dry_run(AddNotes(conn))


def test_a_migration_made_with_another_connection_is_refused(orders, database_18):
    migrate_up(orders).expect(0)
    with psycopg.connect(database_18.url) as conn, psycopg.connect(database_18.url) as other:
        with pytest.raises(InputError, match="different connection"):
            Migrator(conn).dry_run(AddNotes(other))
        assert Migrator(conn).dry_run(AddNotes()).rows_affected == 40


def test_mistakes_of_an_object_are_told_in_its_file(orders, database_18):
    class Bad(AddNotes):
        def up(self):
            self.execute("SELEC 1")
            self.load_ddl_files(["nothing.sql"])

    with psycopg.connect(database_18.url) as conn, pytest.raises(InputError) as caught:
        Migrator(conn).up(Bad(conn))
    assert {problem.code for problem in caught.value.diagnostics} == {"sql-syntax", "missing-file"}
    assert all(problem.span and problem.span.path.endswith("test_library.py") for problem in caught.value.diagnostics)


def test_without_a_project_files_are_found_below_the_working_directory(orders, database_18):
    migrate_up(orders).expect(0)
    (orders.root / "confiture.yaml").unlink()
    with psycopg.connect(database_18.url) as conn:
        assert Migrator(conn).dry_run(AddNotes(conn)).rows_affected == 40
    assert not (orders.root / ".confiture").exists()


def test_packages_offer_hooks_that_run_only_where_named(orders, database_18, tmp_path):
    package = tmp_path / "site"
    (package / "offered-1.dist-info").mkdir(parents=True)
    (package / "offered-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: offered\nVersion: 1\n")
    (package / "offered-1.dist-info" / "entry_points.txt").write_text("[confiture.hooks]\naudit = offered:Audit\n")
    (package / "offered.py").write_text(
        "from confiture.core import Hook, HookPhase\n\n\nclass Audit(Hook):\n    phase = HookPhase.CLEANUP\n\n"
        "    def execute(self, conn, context):\n        context.logger.info('audited')\n"
    )
    orders.environ["PYTHONPATH"] = f"{orders.environment['PYTHONPATH']}:{package}"
    plain = orders.process("migrate", "--dry-run", "--format", "json").json
    assert "audit: audited" not in plain["notes"]
    orders.write("confiture.yaml", "migrations: migrations\nschemas: schemas\nhooks: audit\n")
    assert "audit: audited" in orders.process("migrate", "up", "--format", "json").json["notes"]


def test_every_public_name_is_there_and_documented():
    import confiture.core
    import confiture.models

    for module in (confiture, confiture.core, confiture.models):
        assert set(module.__all__) <= set(dir(module))
        for name in module.__all__:
            public = getattr(module, name)
            assert public.__doc__, name
            is_kind_of_error = issubclass(public, confiture.ConfitureError) if isinstance(public, type) else False
            assert "Example::" in public.__doc__ or is_kind_of_error, name
    with pytest.raises(AttributeError):
        confiture.nothing  # noqa: B018
    with pytest.raises(AttributeError):
        confiture.core.nothing  # noqa: B018


def test_hooks_are_imported_without_a_driver():
    code = "import sys; import confiture.core, confiture.models; confiture.models.Migration; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"psycopg", "postgast", "google.protobuf", "ruamel.yaml", "jinja2", "rich", "typer"}
