"""The runner: phases, transactions, segments, resuming, on_error."""

from __future__ import annotations

import pytest

from tests.support.engine import SEGMENTS, dry_run, history, migrate_up, nothing_remains
from tests.support.projects import Project
from tests.support.servers import Database

pytestmark = pytest.mark.versions_alike

# --- phases and transactions


def test_phases_run_in_their_order_whatever_the_file_says(shop: Project, database: Database) -> None:
    shop.migration(
        "001_phases",
        """
        down:
          - sql: DROP TABLE log
        cleanup:
          - sql: INSERT INTO log VALUES ('cleanup')
        after_validation:
          - check: SELECT count(*) FROM log
            expect: 2
        after_ddl:
          - sql: INSERT INTO log VALUES ('after_ddl')
        ddl:
          - sql: INSERT INTO log VALUES ('ddl')
        before_ddl:
          - sql: CREATE TABLE log (phase text, id int GENERATED ALWAYS AS IDENTITY)
        before_validation:
          - check: SELECT to_regclass('log') IS NULL
            expect: true
        on_error:
          - sql: SELECT 1 / 0
        """,
    )
    ran = migrate_up(shop).expect(0)
    phases = [phase for phase, _, _ in ran.steps]
    assert phases == ["before_validation", "before_ddl", "ddl", "after_ddl", "after_validation", "cleanup"]
    assert database.rows("SELECT phase FROM log ORDER BY id") == [("ddl",), ("after_ddl",), ("cleanup",)]


@pytest.mark.parametrize("failing", ["SELECT 1 / 0", "INSERT INTO late VALUES (1)"])
def test_a_failing_migration_leaves_nothing_on_a_fresh_database(
    shop: Project, database: Database, failing: str
) -> None:
    late = "CREATE TABLE late (id int REFERENCES a DEFERRABLE INITIALLY DEFERRED)"
    shop.migration(
        "001_fails", f"ddl: [sql: CREATE TABLE a (id int PRIMARY KEY), sql: '{late}']\nafter_ddl: [sql: '{failing}']"
    )
    result = shop.run("migrate", "up", expect=4)
    assert nothing_remains(database)
    assert "rolled back" in result.out


def test_history_commits_with_the_migration(shop: Project, database: Database) -> None:
    shop.migration(
        "001_a", "ddl: [sql: CREATE TABLE a (x xid8 DEFAULT pg_current_xact_id()), sql: INSERT INTO a DEFAULT VALUES]"
    )
    migrate_up(shop).expect(0)
    assert (
        database.value(
            "SELECT count(DISTINCT x.xmin::text) FROM ("
            " SELECT xmin FROM a UNION ALL SELECT xmin FROM confiture.migrations"
            " UNION ALL SELECT xmin FROM confiture.journal) x"
        )
        == 1
    )


def test_each_migration_commits_by_itself(shop: Project, database: Database) -> None:
    shop.migration("001_good", "ddl: [sql: CREATE TABLE a ()]")
    shop.migration("002_bad", "ddl: [sql: CREATE TABLE b (), sql: SELECT 1/0]")
    migrate_up(shop).expect(4)
    assert history(database) == [("001", "applied")]
    assert database.rows("SELECT to_regclass('a')::text, to_regclass('b')::text") == [("a", None)]


def test_up_stops_at_the_version_given(shop: Project, database: Database) -> None:
    for number in (1, 2, 3):
        shop.migration(f"00{number}_m", f"ddl: [sql: CREATE TABLE t{number} ()]")
    migrate_up(shop, to="2").expect(0)
    assert [version for version, _ in history(database)] == ["001", "002"]
    assert migrate_up(shop, to="002").expect(0).steps == []
    migrate_up(shop).expect(0)
    assert [version for version, _ in history(database)] == ["001", "002", "003"]


def test_a_migration_without_steps_is_applied_once(shop: Project, database: Database) -> None:
    shop.migration("001_empty", "down: [sql: SELECT 1]")
    migrate_up(shop).expect(0)
    assert history(database) == [("001", "applied")]
    assert not [event for event in migrate_up(shop).events if type(event).__name__ == "MigrationStarted"]


def test_a_step_whose_condition_is_false_is_skipped_and_shown(shop: Project, database: Database) -> None:
    shop.migration(
        "001_when",
        """
        ddl:
          - name: always
            sql: CREATE TABLE a (x int)
          - name: elsewhere
            when: environment == 'production'
            sql: DROP TABLE a
          - name: not concurrently
            when: false
            sql: CREATE INDEX CONCURRENTLY i ON a (x)
        """,
    )
    ran = migrate_up(shop).expect(0)
    assert [outcome for _, _, outcome in ran.steps] == ["done", "skipped", "skipped"]
    assert database.value("SELECT to_regclass('a')::text") == "a"


def test_a_large_statement(shop: Project, database: Database) -> None:
    shop.migration("001_large", "ddl: [sql: CREATE TABLE a (x text)]\nafter_ddl: [rows.sql]")
    shop.ddl("rows.sql", "INSERT INTO a VALUES\n" + ",\n".join(f"('{'x' * 1000}')" for _ in range(8000)) + ";\n")
    ran = migrate_up(shop).expect(0)
    assert ran.steps[-1][2] == "done"
    assert database.value("SELECT count(*) FROM a") == 8000


def test_percent_signs_backslashes_and_colons_reach_the_server_as_written(shop: Project, database: Database) -> None:
    shop.migration(
        "001_signs",
        r"""
        ddl:
          - sql: |
              CREATE TABLE a (x text);
              INSERT INTO a SELECT 'a_b%s :x %(y)s' WHERE 'a_b' LIKE 'a\_b%' AND 7 % 4 = 3 AND 'axb' NOT LIKE 'a\_b';
        after_validation:
          - check: SELECT x FROM a WHERE x LIKE 'a\_b%'
            expect: 'a_b%s :x %(y)s'
        """,
    )
    migrate_up(shop).expect(0)
    assert database.value("SELECT x FROM a") == "a_b%s :x %(y)s"


def test_rows_written_are_counted(shop: Project) -> None:
    shop.migration(
        "001_rows",
        """
        ddl: [{name: table, sql: "CREATE TABLE a (x int)"}]
        after_ddl:
          - {name: both, sql: "INSERT INTO a SELECT generate_series(1, 5); DELETE FROM a WHERE x > 3"}
          - {name: none, sql: "UPDATE a SET x = 0 WHERE false"}
        """,
    )
    result = shop.run("migrate", "up", "--format", "json")
    assert [result.step(name)["rows_affected"] for name in ("table", "both", "none")] == [None, 7, 0]


# --- segments


def test_a_file_that_mixes_concurrent_and_other_statements_is_cut(shop: Project, database: Database) -> None:
    shop.migration("001_mixed", "ddl: [mixed.sql]")
    shop.ddl(
        "mixed.sql",
        """
        CREATE TABLE a (x int);
        INSERT INTO a VALUES (1);
        CREATE INDEX CONCURRENTLY i ON a (x);
        INSERT INTO a VALUES (2);
        VACUUM a;
        INSERT INTO a VALUES (3);
        """,
    )
    ran = migrate_up(shop).expect(0)
    assert len(ran.steps) == 5
    assert database.rows("SELECT x FROM a ORDER BY x") == [(1,), (2,), (3,)]
    assert database.rows("SELECT segment, state FROM confiture.journal ORDER BY 1") == [
        (number, "done") for number in range(1, 6)
    ]
    assert history(database) == [("001", "applied")]


def test_a_failure_in_a_later_segment_stops_and_the_next_run_resumes(shop: Project, database: Database) -> None:
    shop.migration("001_stops", SEGMENTS + "      - name: fails\n        sql: SELECT 1 / 0\n")
    ran = migrate_up(shop).expect(5)
    assert ran.outcome == "stopped"
    assert history(database) == [("001", "running")]
    assert database.value("SELECT count(*) FROM t") == 3, "the last segment is rolled back"
    shop.migration("001_stops", SEGMENTS + "      - name: works\n        sql: SELECT 1\n")
    again = migrate_up(shop).expect(0)
    assert [name for _, name, _ in again.steps] == ["more rows", "works"]
    assert history(database) == [("001", "applied")]
    assert database.value("SELECT count(*) FROM t") == 4
    shop.run("migrate", "status")  # the checksum is that of the file that ended it


def test_editing_what_is_committed_is_refused(shop: Project, database: Database) -> None:
    shop.migration("001_stops", SEGMENTS.replace("VALUES (4)", "VALUES (1 / 0)"))
    migrate_up(shop).expect(5)
    shop.migration("001_stops", SEGMENTS.replace("(1, 3)", "(1, 5)"))
    ran = migrate_up(shop).expect(7)
    assert ran.diagnostic.code == "drift"
    assert "'table'" in ran.diagnostic.detail[0] and "is committed" in ran.diagnostic.detail[0]
    assert history(database) == [("001", "running")]
    dry_run(shop).expect(7)


def test_comments_and_white_space_in_what_is_committed_may_change(shop: Project) -> None:
    shop.migration("001_stops", SEGMENTS.replace("VALUES (4)", "VALUES (1 / 0)"))
    migrate_up(shop).expect(5)
    shop.migration("001_stops", SEGMENTS.replace("CREATE TABLE t (id int)", "CREATE  TABLE t  (id int) -- why"))
    migrate_up(shop).expect(0)


def test_taking_out_the_statement_that_fails_apart_lets_the_rest_go_on(shop: Project, database: Database) -> None:
    unique = SEGMENTS.replace("CREATE INDEX", "CREATE UNIQUE INDEX")
    unique = unique.replace("generate_series(1, 3)", "x % 3 FROM generate_series(1, 6) x")
    shop.migration("001_duplicates", unique)
    ran = migrate_up(shop).expect(5)
    assert ran.diagnostic.code == "23505"
    shop.migration("001_duplicates", unique.replace("CREATE UNIQUE INDEX CONCURRENTLY i ON t (id)", "SELECT 1"))
    migrate_up(shop).expect(0)
    assert database.value("SELECT count(*) FROM t") == 7
    assert history(database) == [("001", "applied")]


def test_taking_out_a_statement_in_the_middle_of_a_file_lets_the_rest_go_on(shop: Project, database: Database) -> None:
    shop.migration("001_file", "ddl: [all.sql]")
    start = "CREATE TABLE t (id int);\nINSERT INTO t VALUES (1), (1);\n"
    shop.ddl("all.sql", start + "CREATE UNIQUE INDEX CONCURRENTLY i ON t (id);\nINSERT INTO t VALUES (2);\n")
    migrate_up(shop).expect(5)
    shop.ddl("all.sql", start + "INSERT INTO t VALUES (2);\n")
    migrate_up(shop).expect(0)
    assert database.value("SELECT count(*) FROM t") == 3


def test_taking_out_all_that_was_left_ends_the_migration(shop: Project, database: Database) -> None:
    text = "ddl:\n  - sql: CREATE TABLE t (id int)\n  - sql: VACUUM t\n"
    shop.migration("001_stops", text + "  - sql: SELECT 1 / 0\n")
    migrate_up(shop).expect(5)
    shop.migration("001_stops", text)
    migrate_up(shop).expect(0)
    assert history(database) == [("001", "applied")]


def test_a_dry_run_of_what_stopped_midway_goes_on_from_there(shop: Project, database: Database) -> None:
    shop.migration("001_stops", SEGMENTS.replace("VALUES (4)", "VALUES (1 / 0)"))
    migrate_up(shop).expect(5)
    shop.migration("001_stops", SEGMENTS)
    ran = dry_run(shop).expect(0)
    assert [name for _, name, _ in ran.steps] == ["more rows"]
    assert database.value("SELECT count(*) FROM t") == 3


def test_a_check_that_fails_in_a_later_segment_stops_midway(shop: Project, database: Database) -> None:
    shop.migration("001_check", SEGMENTS + "    after_validation: [{check: SELECT count(*) FROM t, expect: 5}]\n")
    ran = migrate_up(shop).expect(5)
    assert ran.diagnostic.code == "check-failed"
    assert database.value("SELECT count(*) FROM t") == 3


# --- on_error


def on_error(failing: str, handler: str, check: str = "1") -> str:
    return f"""
    ddl:
      - sql: CREATE TABLE a (x int)
      - sql: {failing}
    after_validation:
      - check: SELECT 1
        expect: {check}
    on_error:
      - sql: CREATE TABLE handled (a regclass DEFAULT to_regclass('a'))
      - sql: INSERT INTO handled DEFAULT VALUES
      - sql: {handler}
    """


def test_on_error_runs_after_the_rollback(shop: Project, database: Database) -> None:
    shop.migration("001_fails", on_error("SELECT 1 / 0", "VACUUM handled"))
    ran = migrate_up(shop).expect(4)
    assert database.rows("SELECT a FROM handled") == [(None,)], "the failed migration was gone by then"
    assert ran.steps[-1] == ("on_error", "VACUUM handled", "done")


def test_on_error_runs_after_a_check_and_after_a_failed_commit(shop: Project, database: Database) -> None:
    shop.migration("001_fails", on_error("SELECT 1", "SELECT 1", check="2"))
    migrate_up(shop).expect(1)
    assert database.value("SELECT count(*) FROM handled") == 1
    database.execute("DROP TABLE handled; CREATE TABLE k (id int PRIMARY KEY)")
    late = "CREATE TABLE l (k int REFERENCES k DEFERRABLE INITIALLY DEFERRED); INSERT INTO l VALUES (1)"
    shop.migration("001_fails", on_error(late, "SELECT 1"))
    ran = migrate_up(shop).expect(4)
    assert ran.diagnostic.code == "23503" and "could not be committed" in ran.diagnostic.message
    assert ran.diagnostic.span and ran.diagnostic.span.path == "migrations/001_fails.yaml"
    assert database.value("SELECT count(*) FROM handled") == 1


def test_on_error_that_fails_too_hides_nothing(shop: Project, database: Database) -> None:
    shop.migration("001_fails", on_error("SELECT 1 / 0", "SELECT nonsense"))
    ran = migrate_up(shop).expect(4)
    assert ran.diagnostic.message == "division by zero"
    assert "on_error also failed" in ran.notes and "nonsense" in ran.notes
    assert nothing_remains(database), "on_error is one transaction"


def test_on_error_does_not_run_in_a_dry_run(shop: Project, database: Database) -> None:
    shop.migration("001_fails", on_error("SELECT 1 / 0", "SELECT 1"))
    dry_run(shop).expect(4)
    assert nothing_remains(database)
