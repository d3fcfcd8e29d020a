"""Lint reads a project, lets rules judge it, and shows what is asked for."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confiture.core.database_facts import read_database_facts
from confiture.core.db.connection import ConnectionTarget as Target
from confiture.errors import InputError
from confiture.files.settings import SettingsOverrides, load_settings
from confiture.lint.engine.context import DatabaseFacts
from confiture.lint.engine.replay import NOT_FOLLOWED, RULE_FAILED
from confiture.lint.plan import lint_plan
from confiture.lint.project import LintOptions, catalog_from_files, lint_project
from confiture.models.catalog import Catalog, QualifiedName, Table, TableColumn
from confiture.plan.project import load_project
from tests.support.engine import migrate_up, wait_until
from tests.support.linting import INDEX, KEY, lint, settings, told, told_by
from tests.support.paths import REPOSITORY
from tests.support.projects import Project

# what is judged


def test_schema_and_migrations_are_judged_in_their_places(project: Project) -> None:
    project.ddl(
        "a.sql", "-- orders\nCREATE TABLE w_orders (id bigint PRIMARY KEY);\n  CREATE TABLE w_notes (n text);\n"
    )
    project.migration("001_a", "ddl: [a.sql]")
    project.migration("002_b", "ddl:\n  - sql: |\n      SELECT 1;\n      CREATE INDEX i ON w_orders (id)\n")
    report = lint(project, KEY, INDEX)
    assert told(report.findings) == [
        "migrations/002_b.yaml:4:7 create_index_blocking w_orders",
        "schemas/a.sql:3:16 requires_primary_key w_notes",
    ]
    index, key = report.findings
    assert (index.migration, index.statement, index.lines) == ("002", "CREATE INDEX i ON w_orders (id)", (4, 4))
    assert index.excerpt == "      CREATE INDEX i ON w_orders (id)"
    assert (key.migration, key.excerpt) == (None, "  CREATE TABLE w_notes (n text);")
    assert (report.files, report.statements, report.tables, report.rules) == (3, 6, 2, 2)


def test_what_a_migration_makes_is_new_in_it_and_old_in_the_next(project: Project) -> None:
    project.migration("001_a", "ddl: [{sql: CREATE TABLE t (id int PRIMARY KEY)}, {sql: CREATE INDEX i ON t (id)}]")
    project.migration("002_b", "ddl: [{sql: CREATE INDEX j ON t (id)}]")
    assert told_by(project, INDEX) == ["migrations/002_b.yaml:1:13 create_index_blocking t"]


def test_a_table_that_nobody_knows_exists_all_the_same(project: Project) -> None:
    project.migration("001_a", "ddl: [{sql: CREATE INDEX j ON elsewhere.t (id)}]")
    assert told_by(project, INDEX) == ["migrations/001_a.yaml:1:13 create_index_blocking elsewhere.t"]


def test_tables_that_only_migrations_make_are_judged_and_dropped_ones_are_not(project: Project) -> None:
    project.ddl("a.sql", "CREATE TABLE a (id int PRIMARY KEY)")
    project.migration("001_a", "ddl: [{sql: 'CREATE TABLE a (x int); CREATE TABLE b (x int); CREATE TABLE c (x int)'}]")
    project.migration("002_b", "ddl: [{sql: 'DROP TABLE c; CREATE TEMP TABLE d (x int)'}]")
    assert told_by(project, KEY) == ["migrations/001_a.yaml:1:51 requires_primary_key b"]


def test_what_migrations_make_depends_on_what_the_files_make(project: Project) -> None:
    project.ddl("a.sql", "CREATE TABLE a (id int PRIMARY KEY)")
    project.migration("001_a", "ddl:\n  - sql: CREATE TABLE b (a_id int REFERENCES a)")
    catalog = catalog_from_files(load_settings(project.root, SettingsOverrides(), {}), {})
    assert [table.name.name for table in catalog.tables_referencing(QualifiedName("public", "a"))] == ["b"]


def test_a_file_that_two_migrations_run_is_told_once(project: Project) -> None:
    project.ddl("a.sql", "CREATE INDEX IF NOT EXISTS i ON t (id)")
    project.migration("001_a", "ddl: [a.sql]")
    project.migration("002_b", "ddl: [a.sql]")
    assert told_by(project, INDEX) == ["schemas/a.sql:1:1 create_index_blocking t"]


def test_files_are_read_in_the_order_of_their_paths_and_hidden_ones_are_not(project: Project) -> None:
    project.ddl("10/a.sql", "CREATE TABLE a (id int)")
    project.ddl("2/b.sql", "ALTER TABLE a ADD PRIMARY KEY (id)")
    project.ddl("01/c.sql", "CREATE TABLE a (id int)")
    project.ddl(".git/d.sql", "CREATE TABLE d (id int)")
    project.ddl("10/.d.sql", "CREATE TABLE d (id int)")
    project.ddl("10/notes.txt", "no SQL")
    # path order is that of text: 01, 10, 2
    assert told_by(project, KEY) == []


def test_a_project_without_migrations_is_linted_and_one_without_anything_is_refused(project: Project) -> None:
    (project.root / "migrations").rmdir()
    project.ddl("a.sql", "CREATE TABLE a (id int)")
    assert told_by(project, KEY) == ["schemas/a.sql:1:14 requires_primary_key a"]
    (project.root / "schemas/a.sql").unlink()
    with pytest.raises(InputError, match="cannot read the migrations folder"):
        lint(project, KEY)


def test_what_is_not_read_is_noted(project: Project) -> None:
    project.ddl("a.sql.j2", "CREATE TABLE {{ table }} (id int PRIMARY KEY)")
    project.ddl("b.sql.j2", "CREATE TABLE {{ table }} (id int PRIMARY KEY)")
    project.migration("001_a", "vars: {table: w_a}\nddl: [a.sql.j2]")
    note = "schemas/b.sql.j2 was not linted: it needs variables that only a migration can set, and no migration runs it"
    assert note in lint(project).notes
    assert f"note: {note}\n" in project.run("lint", "--rule", KEY).out
    assert project.run("lint", "--rule", KEY, "--format", "json").json["notes"] == [note]
    project.write("confiture.yaml", "migrations: migratons\n")
    assert lint(project, table="w_a").notes == ("folder migratons does not exist: only the schema was linted",)


def test_templates_are_rendered_as_far_as_the_settings_go(project: Project) -> None:
    settings(project, "{}")
    project.ddl("a.sql.j2", "CREATE TABLE {{ side }}_a (id int)")
    project.ddl("b.sql.j2", "CREATE TABLE {{ unknown }} (id int)")
    project.ddl("c.sql.j2", "CREATE TABLE {{ side (id int)")
    found = lint(project).findings
    assert [f"{one.span} {one.rule}" for one in found if one.rule in (KEY, "template-syntax")] == [
        "schemas/a.sql.j2:1:14 requires_primary_key",
        "schemas/c.sql.j2:1:14 template-syntax",
    ]
    assert "w_a" in told_by(project, KEY)[0]
    (by_option,) = [one for one in lint(project, KEY, side="r").findings if one.rule == KEY]
    assert by_option.relation == "r_a"
    project.migration("001_b", "vars: {unknown: t}\nddl: [b.sql.j2]")
    assert "schemas/b.sql.j2:1:14 requires_primary_key t" in told_by(project, KEY)


def test_broken_files_are_findings_and_the_rest_is_linted(project: Project) -> None:
    project.ddl("a.sql", "CREATE TABLE a (id int)")
    project.ddl("b.sql", "CREATE TABLE b (id int);\n\nCREATE TABEL c (id int);\n")
    (project.root / "schemas/c.sql").write_bytes(b"-- caf\xe9\n")
    (project.root / "schemas/d.sql").write_bytes(b"SELECT '\0'")
    project.ddl("e.sql", "-- nothing\n")
    project.migration("001_a", "ddl: [{sql: SELEC 1}, {sql: CREATE INDEX i ON t (id)}]")
    project.migration("002_b", "ddl: [b.sql]")
    project.migration("003_c", "ddl: {")
    project.migration("004_d", "dll: []")
    found = lint(project, KEY, INDEX).findings
    assert [f"{one.span} {one.rule}" for one in found] == [
        "migrations/001_a.yaml:1:13 sql-syntax",
        "migrations/001_a.yaml:1:29 create_index_blocking",
        "migrations/003_c.yaml:1:7 bad-yaml",
        "migrations/004_d.yaml:1:1 unknown-key",
        "schemas/a.sql:1:14 requires_primary_key",
        "schemas/b.sql:3:8 sql-syntax",
        "schemas/c.sql:1:7 not-utf-8",
        "schemas/d.sql:1:9 sql-syntax",
    ]
    assert next(one for one in found if one.rule == "sql-syntax").severity == "error"


def test_nothing_counts_as_missing_while_a_file_cannot_be_read(project: Project) -> None:
    project.ddl("a.sql", "\\set role app\nCREATE TABLE w_a (id int PRIMARY KEY);\n")
    project.ddl("b.sql", "INSERT INTO w_a VALUES (1);\n")
    assert told_by(project, "missing_reference") == ["schemas/a.sql:1:1 sql-syntax None"]
    project.ddl("a.sql", "CREATE TABLE w_b (id int PRIMARY KEY);\n")
    assert told_by(project, "missing_reference") == ["schemas/b.sql:1:13 missing_reference w_a"]


def test_every_finding_of_a_large_file_has_its_line(project: Project) -> None:
    lines = [f"CREATE TABLE w_{number} (id int); -- é\n" for number in range(5_000)]
    project.ddl("a.sql", "".join(lines))
    found = lint(project, KEY).findings
    assert [one.span.line for one in found if one.span] == list(range(1, 5_001))
    assert found[-1].excerpt == lines[-1].rstrip()


# how rules are set


def test_patterns_choose_tables_by_their_bare_name_or_with_the_schema(project: Project) -> None:
    project.ddl(
        "a.sql",
        "CREATE SCHEMA s; CREATE TABLE w_a (); CREATE TABLE r_a (); CREATE TABLE s.w_b (); CREATE TABLE s.r_b ()",
    )
    for tables, expected in {
        "{tables: w_*}": ["w_a", "s.w_b"],
        "{tables: [s.*]}": ["s.w_b", "s.r_b"],
        "{tables: '*', except: [s.*, r_a]}": ["w_a"],
        "{except: r_?}": ["w_a", "s.w_b"],
        "{tables: []}": [],
    }.items():
        settings(project, f"{{rules: [{{type: {KEY}, {tables[1:-1]}}}]}}")
        assert [one.relation for one in lint(project, KEY).findings] == expected, tables


def test_an_entry_changes_the_severity_and_off_is_off(project: Project) -> None:
    project.ddl("a.sql", "CREATE TABLE w_a ()")
    own = lint(project, KEY).findings[0].severity
    for severity in ("error", "warning", "info"):
        settings(project, f"{{rules: [{{type: {KEY}, severity: {severity}}}]}}")
        assert [one.severity for one in lint(project, KEY).findings] == [severity]
    settings(project, f"{{rules: [{{type: {KEY}}}]}}")
    assert [one.severity for one in lint(project, KEY).findings] == [own]
    settings(project, f"{{rules: [{{type: {KEY}, severity: off}}]}}")
    assert KEY not in {one.rule for one in lint(project).findings}


def test_several_entries_of_one_rule_each_judge(project: Project) -> None:
    project.ddl("a.sql", "CREATE TABLE w_a (id int PRIMARY KEY, tenant_id int)")
    first = "{type: requires_column, column: tenant_id, severity: error}"
    second = "{type: requires_column, column: created_at, severity: info, tables: w_*}"
    settings(project, f"{{rules: [{first}, {second}]}}")
    (found,) = [one for one in lint(project).findings if one.rule == "requires_column"]
    assert (found.severity, found.relation) == ("info", "w_a")
    assert "created_at" in found.message


def test_only_rules_that_are_asked_for_judge(project: Project) -> None:
    project.ddl("a.sql", "CREATE TABLE w_a ()")
    assert {one.rule for one in lint(project, KEY).findings} == {KEY}
    with pytest.raises(InputError, match="unknown rule 'requires_primary_kez'"):
        lint(project, "requires_primary_kez")
    with pytest.raises(InputError, match="requires_column needs column"):
        lint(project, "requires_column")


PLUGIN = """
from confiture.lint.rule import Example, Group, Hit, SchemaRule, StatementRule

def versions(subject):
    yield Hit(place=subject.place, message=f"{subject.version} {subject.options['word']}")

def fails(subject):
    raise KeyError("x")

COMMON = dict(group=Group.SCHEMA, severity="info", summary="s", effect="E.", hint="h", bad=Example(sql=()),
              good=Example(sql=()))
"""
VERSIONS = (
    PLUGIN
    + """
from confiture.lint.rule import Option
RULE = StatementRule(name="versions", kinds=frozenset({"index_stmt"}), check=versions,
                     options={"word": Option(description="A word", default="old")}, **COMMON)
"""
)


def test_rules_of_a_module_in_the_project_know_the_version_and_their_options(project: Project) -> None:
    project.write("team_rules_a.py", VERSIONS)
    project.migration("001_a", "ddl: [{sql: CREATE INDEX i ON t (id)}]")
    settings(project, "{plugins: team_rules_a}")
    assert [one.message for one in lint(project, "versions").findings] == ["18 old"]
    settings(project, "{plugins: [team_rules_a], postgres_version: 15, rules: [{type: versions, word: new}]}")
    assert [one.message for one in lint(project, "versions").findings] == ["15 new"]


def test_a_rule_that_fails_is_a_finding_and_the_others_judge(project: Project) -> None:
    rules = """
RULES = [StatementRule(name="failing", kinds=frozenset({"index_stmt"}), check=fails, **COMMON),
         SchemaRule(name="failing_too", check=fails, **COMMON)]
"""
    project.write("team_rules_b.py", PLUGIN + rules)
    project.migration("001_a", "ddl: [{sql: CREATE INDEX i ON t (id)}]")
    settings(project, "{plugins: team_rules_b}")
    found = lint(project, "failing", "failing_too", INDEX).findings
    assert {one.rule for one in found} == {"failing_too", "failing", INDEX}
    assert {one.severity for one in found if one.rule != INDEX} == {"error"}
    assert found[0].message == f"{RULE_FAILED}: KeyError: 'x'"


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_a_code_of_its_own(project: Project, sign: signal.Signals) -> None:
    # the rule opens a pipe that nobody writes to: it waits until the signal comes
    rule = """
def waits(subject):
    open("begun", "w").close()
    open("waiting").close()

RULE = SchemaRule(name="waiting", check=waits, **COMMON)
"""
    project.write("team_rules_c.py", PLUGIN + rule)
    os.mkfifo(project.root / "waiting")
    settings(project, "{plugins: team_rules_c}")
    process = project.start("lint", "--rule", "waiting")
    wait_until(lambda: (project.root / "begun").exists(), "the rule waits")
    process.send_signal(sign)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "interrupted\n")


def test_two_rules_of_one_name_are_refused(project: Project) -> None:
    project.write("team_rules_c.py", PLUGIN + f"RULE = SchemaRule(name='{KEY}', check=fails, **COMMON)")
    settings(project, "{plugins: team_rules_c}")
    with pytest.raises(InputError, match=f"rule '{KEY}' already exists"):
        lint(project)


def test_installed_packages_offer_rules(project: Project) -> None:
    project.write("site/offered/__init__.py", VERSIONS)
    project.write("site/offered-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: offered\nVersion: 1.0\n")
    project.write("site/offered-1.0.dist-info/entry_points.txt", "[confiture.rules]\nall = offered\n")
    project.environ["PYTHONPATH"] = f"{REPOSITORY}:{project.root / 'site'}"
    assert "versions" in project.process("lint", "--list-rules").out
    assert "A word" in project.process("lint", "--explain", "versions").out
    project.write("site/offered/__init__.py", "import nothing_of_that_name")
    failed = project.process("lint", expect=2)
    assert "error[bad-plugin]: entry point 'all' in group confiture.rules cannot be loaded" in failed.err


def test_a_file_with_a_nul_is_not_taken_for_its_beginning(project: Project) -> None:
    project.ddl("a.sql", "CREATE TABLE x (a int PRIMARY KEY);\n\0\nCREATE TABLE y (a int);")
    result = project.run("lint", "--format", "json", expect=1)
    assert [(one["rule"], one["line"]) for one in result.json["findings"]] == [("sql-syntax", 2)]


# plans and databases


def test_a_plan_is_judged_by_the_schema_of_its_database(project: Project) -> None:
    project.migration("001_a", "ddl: [{sql: CREATE TABLE t (id int)}, {sql: CREATE INDEX i ON u (id)}]")
    project.migration("002_b", f"ddl: [{{sql: '-- confiture: ignore {KEY} -- x\n\n CREATE INDEX j ON t (id)'}}]")
    settings_ = load_settings(project.root, SettingsOverrides(), {})
    _, second = load_project(settings_, {}).ups
    table = Table(name=QualifiedName("public", "t"), columns=(TableColumn(name="id", type="integer"),))
    facts = DatabaseFacts(version=18, catalog=Catalog(tables={table.name: table}))
    report = lint_plan([second], settings_, facts).report
    # what other rules find there, or not, cannot be told from a plan: no comment counts as unused
    assert [f"{one.migration} {one.rule} {one.relation}" for one in report.findings] == [f"002 {INDEX} t"]
    assert (report.files, report.statements) == (1, 1)


def test_a_live_schema_is_judged_with_the_migrations_that_it_has_not(shop: Project) -> None:
    shop.ddl("a.sql", "CREATE TABLE only_in_a_file (x int)")
    shop.migration("001_a", "ddl: [{sql: 'CREATE TABLE w_a (x int); CREATE INDEX i ON w_a (x)'}]")
    migrate_up(shop).expect(0)
    shop.migration("002_b", "ddl: [{sql: CREATE INDEX j ON w_a (x)}]")
    result = shop.run("lint", "--live", "--format", "json", "--rule", KEY, "--rule", INDEX, "--fail-on", "never")
    found = result.json["findings"]
    assert [(one["rule"], one["relation"], one["file"], one["line"]) for one in found] == [
        (KEY, "w_a", None, None),
        (INDEX, "w_a", "migrations/002_b.yaml", 1),
    ]
    assert result.json["source"] != "files"
    shop.run("lint", "--live", "--fix", expect=2)


def test_the_sizes_and_the_version_of_a_database_are_known(shop_18: Project, database_18) -> None:
    database_18.execute("CREATE TABLE w_a (x int); INSERT INTO w_a SELECT generate_series(1, 500)")
    database_18.execute("ANALYZE w_a")
    target = Target(conninfo=database_18.url, label="x", origin="y")
    facts = read_database_facts(target, load_settings(shop_18.root, SettingsOverrides(), {}))
    assert facts.version == 18
    assert {str(name): rows for name, rows in facts.table_rows.items()} == {"w_a": 500}
    assert facts.applied == frozenset()


# whatever comes


PIECES = [
    "CREATE TABLE a (id int PRIMARY KEY, b text UNIQUE CHECK (b <> ''), c int REFERENCES a, UNIQUE (b, c));",
    "ALTER TABLE a ADD COLUMN d int DEFAULT random(), DROP COLUMN b CASCADE, ALTER c TYPE bigint USING c + 1;",
    'ALTER TABLE IF EXISTS ONLY s."Ä b" RENAME TO c; DROP TABLE a, b CASCADE; TRUNCATE a, c;',
    "CREATE VIEW v AS SELECT * FROM a JOIN b USING (id); CREATE MATERIALIZED VIEW m AS TABLE v;",
    "CREATE TABLE p (id int) PARTITION BY RANGE (id); CREATE TABLE q PARTITION OF p FOR VALUES FROM (1) TO (2);",
    "CREATE FUNCTION f(int, OUT x text) LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'; DO $$ BEGIN END $$;",
    "UPDATE a SET b = 1 FROM c; WITH x AS (DELETE FROM a RETURNING *) INSERT INTO b SELECT * FROM x;",
    "CREATE TYPE e AS ENUM ('é', 'b'); ALTER TYPE e ADD VALUE 'c'; CREATE DOMAIN d AS e CHECK (value <> 'b');",
    "SET search_path = s, public; GRANT ALL ON ALL TABLES IN SCHEMA s TO PUBLIC; COMMENT ON TABLE a IS 'x';",
    "-- confiture: ignore x, -- \n",
    "/* confiture: ignore */",
    "(",
    "'",
    "$$",
    "\\d a",
    ";;",
    "{{ x }}",
    "\u2028é\n",
]


@given(st.lists(st.tuples(st.sampled_from(PIECES), st.integers(0, 120)), min_size=1, max_size=5))
def test_no_text_ends_lint(project: Project, pieces: list[tuple[str, int]]) -> None:
    text = " ".join(piece[cut:] if cut % 3 == 0 else piece[:cut] or piece for piece, cut in pieces)
    (project.root / "schemas/a.sql").write_text(text, encoding="utf-8")
    (project.root / "schemas/b.sql.j2").write_text(text, encoding="utf-8")
    (project.root / "migrations/001_a.yaml").write_text("ddl: [a.sql, b.sql.j2, a.sql]")
    for finding in lint(project).findings:
        assert RULE_FAILED not in finding.message, (text, finding)
        assert finding.rule != NOT_FOLLOWED, (text, finding)


def test_nothing_bad_is_found_in_the_example() -> None:
    settings_ = load_settings(REPOSITORY, SettingsOverrides(), {})
    assert told(lint_project(settings_, LintOptions()).findings) == []


def test_the_settings_and_the_rule_that_the_documents_show_work(project: Project) -> None:
    text = (REPOSITORY / "docs/lint.md").read_text()
    shown = next(block for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if block.startswith("linting:"))
    module = next(block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    project.write("confiture.yaml", shown)
    project.write("team_rules.py", module)
    project.ddl("a.sql", "CREATE TABLE w_tmp (id int)")
    found = {one.rule: one for one in lint(project).findings}
    assert {"no_tmp_tables", "requires_column", KEY} <= found.keys()
    assert found[KEY].severity == "warning"


def test_paths_are_told_from_the_root(project: Project, tmp_path: Path) -> None:
    assert tmp_path == project.root
    project.ddl("a.sql", "CREATE TABLE w_a ()")
    assert [one.span.path for one in lint(project, KEY).findings if one.span] == ["schemas/a.sql"]
