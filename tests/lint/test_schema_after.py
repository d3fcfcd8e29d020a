"""Lint compares the schema files with the schema after the last migration, and judges each object once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from confiture.models.source import LocatedSource, RenderedSql, SourceFile
from confiture.sql.catalog.builder import CatalogBuilder
from confiture.sql.catalog.differences import find_differences
from confiture.sql.parse_tree import parse_rendered
from tests.support.linting import lint, told, told_by
from tests.support.paths import DATA, REPOSITORY
from tests.support.projects import Project
from tests.support.servers import Database

DIFFER = "schema_files_differ"
SCENARIOS = dict(part.split("\n", 1) for part in (DATA / "catalog.sql").read_text().split("-- scenario: ")[1:])


def built(sql: str) -> CatalogBuilder:
    builder = CatalogBuilder()
    source = LocatedSource(text=sql, file=SourceFile(path="a.sql", text=sql))
    for statement in parse_rendered(RenderedSql(text=sql, source=source)):
        builder.apply(statement)
    return builder


def differences(project: Project) -> list[str]:
    return [finding.message.partition(": ")[2] for finding in lint(project, DIFFER).findings]


def notes(project: Project) -> list[str]:
    return [note for note in lint(project, DIFFER).notes if "not compared" in note]


def test_later_migrations_change_what_a_file_of_a_migration_creates(project: Project) -> None:
    project.ddl(
        "010.sql",
        "CREATE TABLE w_customers (id bigint PRIMARY KEY);\n"
        "CREATE TABLE w_orders (id bigint PRIMARY KEY, customer_id bigint REFERENCES w_customers, code text);\n"
        "CREATE TABLE w_log (body text);\n"
        "CREATE TABLE w_old (id bigint PRIMARY KEY, customer_id bigint REFERENCES w_customers);\n"
        "ALTER TABLE w_log ENABLE ROW LEVEL SECURITY;\n",
    )
    project.migration("001_base", "ddl: [010.sql]")
    project.migration(
        "002_later",
        "ddl:\n"
        "  - sql: CREATE INDEX CONCURRENTLY orders_by_customer ON w_orders (customer_id)\n"
        "  - sql: ALTER TABLE w_log ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY\n"
        "  - sql: CREATE POLICY own ON w_log USING (id > 0)\n"
        "  - sql: ALTER TABLE w_orders ADD COLUMN kind char(3)\n"
        "  - sql: DROP TABLE w_old\n",
    )
    rules = ("requires_primary_key", "requires_indexes_on_foreign_keys", "rls_state", "discouraged_type")
    assert told_by(project, *rules) == ["migrations/002_later.yaml:5:42 discouraged_type w_orders"]
    assert differences(project) == [
        "table w_log (column id only in the migrations, constraint w_log_pkey only in the migrations,"
        " policy own only in the migrations); table w_old only in the schema files;"
        " table w_orders (column kind only in the migrations, index orders_by_customer only in the migrations)"
    ]


def test_a_file_that_says_more_than_the_migrations_run_is_judged_itself(project: Project) -> None:
    project.ddl("1.sql", "CREATE TABLE a (x int)")
    project.ddl("2.sql", "ALTER TABLE a ADD PRIMARY KEY (x)")
    project.migration("001_a", "ddl: [1.sql]")
    assert told_by(project, "requires_primary_key") == []
    assert differences(project) == ["table a (NOT NULL of column x, constraint a_pkey only in the schema files)"]


FILES = """
CREATE SCHEMA audit;
CREATE TYPE stage AS ENUM ('new', 'paid');
CREATE DOMAIN money AS numeric CHECK (VALUE >= 0);
CREATE TABLE t (id bigint PRIMARY KEY, a text NOT NULL, b varchar(10) DEFAULT 'x', s stage);
CREATE INDEX t_a ON t (a) WHERE b IS NOT NULL;
CREATE VIEW v AS SELECT id, a FROM t;
CREATE FUNCTION f(n int) RETURNS int LANGUAGE sql AS 'SELECT n';
CREATE SEQUENCE numbers;
"""
CHANGES = {
    "DROP SCHEMA audit": "schema audit only in the schema files",
    "ALTER TYPE stage ADD VALUE 'sent'": "type stage (labels)",
    "ALTER DOMAIN money SET NOT NULL": "type money (NOT NULL)",
    "ALTER TABLE t ALTER COLUMN b TYPE varchar(20)": "table t (type of column b)",
    "ALTER TABLE t ALTER COLUMN a DROP NOT NULL": "table t (NOT NULL of column a)",
    "ALTER TABLE t ALTER COLUMN b DROP DEFAULT": "table t (default of column b)",
    "ALTER TABLE t RENAME COLUMN a TO c": "table t (column a only in the schema files, column c only in the migrations,"
    " columns of index t_a)",
    "ALTER TABLE t ADD UNIQUE (a)": "table t (constraint t_a_key only in the migrations)",
    "DROP INDEX t_a": "table t (index t_a only in the schema files)",
    "DROP INDEX t_a; CREATE INDEX t_a ON t (a)": "table t (predicate of index t_a)",
    "ALTER TABLE t ENABLE ROW LEVEL SECURITY": "table t (row security)",
    "CREATE TABLE u (id int)": "table u only in the migrations",
    "DROP VIEW v": "view v only in the schema files",
    "DROP FUNCTION f(int)": "function f(integer) only in the schema files",
    "DROP SEQUENCE numbers": "sequence numbers only in the schema files",
}


@pytest.mark.parametrize("sql", CHANGES)
def test_each_difference_is_named(sql: str, project: Project) -> None:
    project.ddl("a.sql", FILES)
    project.migration("001_a", f"ddl:\n  - sql: |\n{_indented(FILES)}\n")
    assert differences(project) == []
    project.migration("002_b", f"ddl:\n  - sql: |\n{_indented(sql)}\n")
    assert differences(project) == [CHANGES[sql]]


def _indented(sql: str) -> str:
    return "\n".join(f"      {line}" for line in sql.splitlines() if line)


def test_many_differences_are_one_finding(project: Project) -> None:
    project.ddl("a.sql", "CREATE TABLE a (x int)")
    project.migration(
        "001_a", "ddl: [a.sql, {sql: '" + "; ".join(f"CREATE TABLE b{n:02} (x int)" for n in range(12)) + "'}]"
    )
    (finding,) = lint(project, DIFFER).findings
    assert finding.message.endswith("; table b09 only in the migrations; and 2 more")
    assert finding.subject == ", ".join(f"table b{n:02}" for n in range(12))
    project.write(
        "confiture.yaml",
        "migrations: migrations\nschemas: schemas\nlinting: {rules: [{type: schema_files_differ, except: [b*]}]}\n",
    )
    assert differences(project) == []


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_a_dump_of_the_schema_does_not_differ_from_its_files(name: str, database_18: Database) -> None:
    with database_18.connect() as connection:
        connection.execute(SCENARIOS[name].encode())
    files, dump = built(SCENARIOS[name]), built(database_18.dump())
    labels = ("the files", "the dump")
    partial = files.partial_tables | dump.partial_tables
    assert find_differences(files.catalog, dump.catalog, labels, partial) == ()


UNKNOWN = {
    "dynamic SQL": ("DO $$ BEGIN EXECUTE format('CREATE TABLE %I (x int)', 'b'); END $$", True),
    "static SQL in a block": ("DO $$ BEGIN CREATE TABLE b (x int); END $$", False),
    "a function that is not known": ("SELECT make_partitions()", True),
    "data": ("INSERT INTO a SELECT 1", False),
}


@pytest.mark.parametrize("kind", UNKNOWN)
def test_nothing_is_claimed_after_unknown_effects(kind: str, project: Project) -> None:
    sql, is_unknown = UNKNOWN[kind]
    project.ddl("a.sql", "CREATE TABLE a (x int)")
    project.migration("001_a", "ddl: [{sql: CREATE TABLE c (x int)}, {sql: CREATE TABLE a (x int)}]")
    project.migration("002_b", f"ddl:\n  - sql: |\n      {sql}\n")
    assert bool(differences(project)) is not is_unknown
    assert (
        notes(project)
        == [
            "the schema files were not compared with the migrations, because the effect on the schema is unknown in"
            " migrations/002_b.yaml:3:7"
        ]
        * is_unknown
    )


@pytest.mark.parametrize("sql", ["UPDATE a SET x = 1", "ALTER TABLE a ADD COLUMN y int"])
def test_a_hook_may_change_the_schema(sql: str, project: Project) -> None:
    project.ddl("a.sql", "CREATE TABLE a (x int)")
    project.write(
        "migrations/001_a.py",
        "from confiture.core import Hook, HookPhase, HookResult, register_hook\n"
        "from confiture.models import Migration\n"
        "class Fill(Hook):\n"
        "    '''Create nothing.'''\n"
        "    phase = HookPhase.AFTER_DDL\n"
        "    def execute(self, conn, context):\n"
        f"        conn.execute('{sql}')\n"
        "        return HookResult(phase='AFTER_DDL', hook_name='fill', rows_affected=0, stats={})\n"
        "register_hook('fill', Fill)\n"
        "class A(Migration):\n"
        "    def up(self):\n"
        "        self.execute('CREATE TABLE a (x int); CREATE TABLE b (x int)')\n"
        "    def down(self):\n"
        "        self.execute('DROP TABLE a')\n",
    )
    expected = [] if "ALTER" in sql else ["table b only in the migrations"]
    assert differences(project) == expected
    assert len(notes(project)) == (not expected)


def test_a_step_that_is_skipped_may_have_changed_the_schema(project: Project) -> None:
    project.ddl("a.sql", "CREATE TABLE a (x int)")
    step = "{sql: CREATE TABLE b (x int), when: confiture.environment == 'other'}"
    project.migration("001_a", f"ddl: [a.sql, {step}]")
    assert (differences(project), len(notes(project))) == ([], 1)


def test_temporary_objects_do_not_count(project: Project) -> None:
    project.ddl("a.sql", "CREATE TABLE a (x int)")
    project.migration(
        "001_a",
        "ddl: [a.sql]\nafter_ddl:\n  - sql: CREATE TEMP TABLE b (x int)\n"
        "  - sql: CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'\n",
    )
    assert differences(project) == []


@pytest.mark.parametrize("what", ["files", "migrations"])
def test_files_alone_and_migrations_alone_are_not_compared(what: str, project: Project) -> None:
    if what == "files":
        project.ddl("a.sql", "CREATE TABLE a (x int)")
        (project.root / "migrations").mkdir(exist_ok=True)
    else:
        project.migration("001_a", "ddl: [{sql: CREATE TABLE a (x int)}]")
    assert differences(project) == []


def test_an_error_in_a_file_is_not_a_difference(project: Project) -> None:
    project.ddl("a.sql", "CREATE TABLE a (x int)")
    project.migration("001_a", "ddl: [{sql: CREATE TABLE b (x int)}, {sql: CREATE TABL}]")
    assert {finding.rule for finding in lint(project, DIFFER).findings} == {"sql-syntax"}


def test_a_pin_and_its_schema_file_are_judged_once(project: Project) -> None:
    text = (
        "CREATE TABLE a (x int);\n"
        "-- confiture: ignore requires_primary_key -- rows are only added\n"
        "CREATE TABLE b (x int);\n"
        "-- confiture: ignore create_index_blocking -- 20 rows\n"
        "CREATE INDEX ON old (y);\n"
    )
    project.ddl("0.sql", "CREATE TABLE old (x int PRIMARY KEY, y int)")
    project.migration("000_old", "ddl: [0.sql]")
    for path in ("schemas/a.sql", "migrations/001_a/a.sql"):
        project.write(path, text)
    project.migration("001_a", "ddl: [a.sql]")
    report = lint(project)
    assert [told(report.findings), report.suppressed] == [["schemas/a.sql:1:14 requires_primary_key a"], 2]
    # the schema file moves on: its own text is judged, and no migration leads there
    project.write("schemas/a.sql", text.replace("a (x int)", "a (x int PRIMARY KEY)"))
    assert told(lint(project, "requires_primary_key").findings) == []
    assert differences(project) == ["table a (NOT NULL of column x, constraint a_pkey only in the schema files)"]


def test_the_example_does_not_differ(tmp_path: Path) -> None:
    for name in ("schemas_example", "migrations_example"):
        shutil.copytree(REPOSITORY / name, tmp_path / name)
    shutil.copy(REPOSITORY / "confiture.yaml", tmp_path)
    project = Project(tmp_path)
    assert (differences(project), notes(project)) == ([], [])
    extra = tmp_path / "schemas_example" / "01_write_side" / "200_refunds.sql"
    extra.write_text("CREATE TABLE w_refunds (tenant_id bigint, id bigint, PRIMARY KEY (tenant_id, id));\n")
    assert differences(project) == ["table w_refunds only in the schema files"]
