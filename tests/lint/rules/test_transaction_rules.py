"""Rules about what shares a transaction, about what cannot be seen, and about who may do what."""

from __future__ import annotations

import pytest

from confiture.lint.engine.configuration import default_active_rule
from confiture.lint.engine.context import LintTarget
from confiture.lint.engine.replay import MigrationReplay, check_schema
from confiture.lint.registry import built_in_rules
from confiture.lint.remedies.commands import LATER
from confiture.lint.rule import Violation
from confiture.sql.parsing import parse_statements
from tests.support.rule_cases import BEFORE, Asked, messages, relations
from tests.support.rule_examples import SETTINGS, planned
from tests.support.servers import Database

LOCK = "ALTER TABLE w_orders ADD COLUMN x int"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"SET lock_timeout = 0; {LOCK}", ["w_orders"]),
        (f"SET LOCAL lock_timeout TO '0'; {LOCK}", ["w_orders"]),
        (f"SET lock_timeout = '2min'; {LOCK}", ["w_orders"]),
        (f"SET lock_timeout = 90000; {LOCK}", ["w_orders"]),
        (f"SET lock_timeout = '1h'; {LOCK}", ["w_orders"]),
        (f"SET lock_timeout = '10 s'; {LOCK}", []),
        (f"SET lock_timeout = '1min'; {LOCK}", []),
        (f"SET lock_timeout = 5000; {LOCK}", []),
        (f"SET lock_timeout TO DEFAULT; {LOCK}", ["w_orders"]),
        (f"RESET lock_timeout; {LOCK}", ["w_orders"]),
        (f"RESET ALL; {LOCK}", ["w_orders"]),
        (f"SELECT set_config('lock_timeout', '0', true); {LOCK}", ["w_orders"]),
        (f"SELECT set_config('lock_timeout', '1s', true); {LOCK}", []),
        (f"SET statement_timeout = 0; {LOCK}", []),
        (f"SET lock_timeout = 0; SET lock_timeout = '1s'; {LOCK}", []),
        (f"{LOCK}; SET lock_timeout = 0", []),
        (f"SET lock_timeout = 0; {LOCK}; ALTER TABLE w_orders DROP COLUMN x", ["w_orders"]),
        ("SET lock_timeout = 0; CREATE TABLE n (id int PRIMARY KEY); CREATE INDEX ON n (id)", []),
        ("SET lock_timeout = 0; INSERT INTO w_orders VALUES (1); SELECT 1", []),
        ("SET lock_timeout = 0; COMMENT ON TABLE w_orders IS 'x'", []),
        ("SET lock_timeout = 0; CREATE INDEX CONCURRENTLY i ON w_orders (amount)", []),
        ("SET lock_timeout = 0; CREATE INDEX i ON w_orders (amount)", ["w_orders"]),
        ("SET lock_timeout = 0; LOCK TABLE w_orders", ["w_orders"]),
    ],
)
def test_no_lock_timeout(text: str, found: list[str]) -> None:
    assert relations("no_lock_timeout", text) == found


def test_reset_goes_back_behind_what_the_session_set(database: Database) -> None:
    with database.connect() as connection:
        connection.execute("SET lock_timeout = '2s'")
        connection.execute("RESET lock_timeout")
        assert connection.execute("SHOW lock_timeout").fetchall() == [("0",)]


ADD = "ALTER TABLE w_orders ADD COLUMN x int"
WORK = {
    "a fill": (f"{ADD}; UPDATE w_orders SET x = 1", ["w_orders"]),
    "a fill of another table": (f"{ADD}; UPDATE w_jobs SET label = ''", ["w_orders"]),
    "a fill before": (f"UPDATE w_orders SET status = ''; {ADD}", []),
    "a batch": (f"{ADD}; UPDATE w_orders SET x = 1 WHERE id BETWEEN 1 AND 100", []),
    "two fills": (f"{ADD}; UPDATE w_orders SET x = 1; DELETE FROM w_jobs", ["w_orders"]),
    "a new table filled": (f"{ADD}; CREATE TABLE n (id bigint); INSERT INTO n SELECT id FROM w_orders", ["w_orders"]),
    "a new table only": ("CREATE TABLE n (id int); ALTER TABLE n ADD COLUMN x int; UPDATE n SET x = 1", []),
    "a new table filled by itself": (f"{ADD}; CREATE TABLE n (id int); INSERT INTO n SELECT generate_series(1, 9)", []),
    "values": (f"{ADD}; INSERT INTO w_jobs (id) VALUES (1)", []),
    "a table made from a query": (f"{ADD}; CREATE TABLE n AS SELECT * FROM w_orders", ["w_orders"]),
    "a table made without rows": (f"{ADD}; CREATE TABLE n AS SELECT * FROM w_orders WITH NO DATA", []),
    "an index": (f"{ADD}; CREATE INDEX i ON w_orders (amount)", ["w_orders"]),
    "an index of a new table": (f"{ADD}; CREATE TABLE n (id int); CREATE INDEX i ON n (id)", []),
    "an index built concurrently": (f"{ADD}; CREATE INDEX CONCURRENTLY i ON w_orders (amount)", []),
    "a cut between": (f"{ADD}; CREATE INDEX CONCURRENTLY i ON w_jobs (label); UPDATE w_orders SET x = 1", []),
    "a proof": (f"{ADD}; ALTER TABLE w_orders VALIDATE CONSTRAINT c", ["w_orders"]),
    "a proof of what was just added": (
        "ALTER TABLE w_orders ADD CONSTRAINT d CHECK (amount > 0) NOT VALID;"
        " ALTER TABLE w_orders VALIDATE CONSTRAINT d",
        [],
    ),
    "what locks and scans by itself": (f"{ADD}; ALTER TABLE w_orders ADD CHECK (quantity > 0)", []),
    "the same on another table": (f"{ADD}; ALTER TABLE w_jobs ADD CHECK (id > 0)", ["w_orders"]),
    "cheap DDL": (f"{ADD}; ALTER TABLE w_jobs ADD COLUMN y int; COMMENT ON TABLE w_orders IS 'x'", []),
    "a refresh": (f"{ADD}; REFRESH MATERIALIZED VIEW r_totals", ["w_orders"]),
    "a check": (f"{ADD}; SELECT count(*) FROM w_orders", []),
    "a rename": ("ALTER TABLE w_orders RENAME TO w_sales; DELETE FROM w_jobs", ["w_orders"]),
    "LOCK": ("LOCK TABLE w_orders; UPDATE w_orders SET status = ''", ["w_orders"]),
    "a weaker LOCK": ("LOCK TABLE w_orders IN SHARE MODE; UPDATE w_orders SET status = ''", []),
    "a dropped table": ("DROP TABLE w_jobs; UPDATE w_orders SET status = ''", []),
    "the other end of a dropped key": ("DROP TABLE w_orders CASCADE; UPDATE w_jobs SET label = ''", ["w_customers"]),
    "a trigger": (
        "CREATE TRIGGER t BEFORE INSERT ON w_orders FOR EACH ROW EXECUTE FUNCTION touch(); DELETE FROM w_jobs",
        [],
    ),
    "WITH": (f"{ADD}; WITH g AS (DELETE FROM w_jobs RETURNING id) SELECT count(*) FROM g", ["w_orders"]),
}


@pytest.mark.parametrize(("text", "found"), WORK.values(), ids=WORK)
def test_work_after_access_exclusive(text: str, found: list[str]) -> None:
    before = f"{BEFORE}; ALTER TABLE w_orders ADD CONSTRAINT c CHECK (amount > 0) NOT VALID;"
    assert relations("work_after_access_exclusive", text, before=before) == found


@pytest.mark.parametrize(
    ("text", "rows", "found"),
    [
        (f"{ADD}; UPDATE w_orders SET x = 1", {"w_orders": 10}, []),
        (f"{ADD}; SELECT count(*) FROM w_orders", {"w_orders": 99_999}, []),
        (f"{ADD}; SELECT count(*) FROM w_orders", {"w_orders": 100_000}, ["w_orders"]),
        (f"{ADD}; SELECT count(*) FROM w_orders WHERE id = 4", {"w_orders": 100_000}, []),
        (f"{ADD}; CREATE INDEX i ON w_jobs (label)", {"w_jobs": 10}, []),
    ],
)
def test_work_after_access_exclusive_where_the_rows_are_known(
    text: str, rows: dict[str, int], found: list[str]
) -> None:
    assert relations("work_after_access_exclusive", text, rows=rows) == found


def test_both_statements_are_named() -> None:
    (message,) = messages("work_after_access_exclusive", f"{ADD};\nUPDATE w_orders SET x = 1")
    assert message == f"w_orders stays locked by `{ADD}` while this statement changes rows of w_orders"


@pytest.mark.parametrize(
    ("work", "is_moved"),
    [
        ("UPDATE w_orders SET status = 'x'", True),
        ("ALTER TABLE w_jobs VALIDATE CONSTRAINT c", True),
        ("CREATE INDEX ON w_jobs (label)", False),
        ("ALTER TABLE w_jobs ALTER COLUMN label SET NOT NULL", False),
    ],
)
def test_work_that_is_a_hazard_by_itself_is_not_moved_as_it_is(work: str, is_moved: bool) -> None:
    """What to write instead of it is told along with the hazard."""
    before = f"{BEFORE}; ALTER TABLE w_jobs ADD CONSTRAINT c CHECK (id > 0) NOT VALID"
    (hit,) = Asked((f"{ADD}; {work}",), before=before).hits("work_after_access_exclusive")
    assert hit.remedy == (f"{LATER}\n{work};" if is_moved else None)


TWO_TYPES = (
    "ALTER TABLE w_orders ALTER COLUMN quantity TYPE bigint",
    "ALTER TABLE w_orders ALTER COLUMN amount TYPE text",
)
MERGES = {
    "two types": ("; ".join(TWO_TYPES), ["w_orders"]),
    "a type and a check": (f"{TWO_TYPES[0]}; ALTER TABLE w_orders ADD CHECK (id > 0)", ["w_orders"]),
    "three": (f"{'; '.join(TWO_TYPES)}; ALTER TABLE w_orders ADD CHECK (id > 0)", ["w_orders", "w_orders"]),
    "one that reads nothing": (f"{TWO_TYPES[0]}; {ADD}", []),
    "one that reads nothing between": (f"{TWO_TYPES[0]}; {ADD}; {TWO_TYPES[1]}", []),
    "two tables": (f"{TWO_TYPES[0]}; ALTER TABLE w_jobs ADD CHECK (id > 0)", []),
    "foreign keys": (
        "ALTER TABLE w_orders ADD FOREIGN KEY (customer_id) REFERENCES w_customers (id);"
        " ALTER TABLE w_orders ADD FOREIGN KEY (customer_id) REFERENCES w_customers (id)",
        [],
    ),
    "another type of what is new": (
        "ALTER TABLE w_orders ADD n int DEFAULT random(); ALTER TABLE w_orders ALTER n TYPE text",
        [],
    ),
    "another type once more": (f"{TWO_TYPES[0]}; ALTER TABLE w_orders ALTER quantity TYPE text", []),
    "the end of what was checked": (
        "ALTER TABLE w_orders ADD CONSTRAINT c CHECK (id > 0);"
        " ALTER TABLE w_orders DROP CONSTRAINT c, ADD CHECK (id > 1)",
        [],
    ),
    "NOT NULL of what is new": (
        "ALTER TABLE w_orders ADD n int DEFAULT random(); ALTER TABLE w_orders ALTER n SET NOT NULL",
        ["w_orders"],
    ),
    "an index and a check": ("ALTER TABLE w_orders ADD UNIQUE (status); ALTER TABLE w_orders ADD CHECK (id > 0)", []),
    "rows changed between": (f"{TWO_TYPES[0]}; UPDATE w_orders SET amount = 1 WHERE id = 1; {TWO_TYPES[1]}", []),
    "a cut between": (f"{TWO_TYPES[0]}; CREATE INDEX CONCURRENTLY i ON w_jobs (label); {TWO_TYPES[1]}", []),
    "one statement": ("ALTER TABLE w_orders ALTER COLUMN quantity TYPE bigint, ALTER COLUMN amount TYPE text", []),
    "a new table": (
        "CREATE TABLE n (a int, b int); ALTER TABLE n ADD CHECK (a > 0); ALTER TABLE n ADD CHECK (b > 0)",
        [],
    ),
}


@pytest.mark.parametrize(("text", "found"), MERGES.values(), ids=MERGES)
def test_merge_alters(text: str, found: list[str]) -> None:
    assert relations("combine_alter_table", text) == found


def test_one_statement_goes_through_the_table_once(database: Database) -> None:
    database.execute(BEFORE)
    text = "ALTER TABLE w_orders ADD CHECK (quantity > 0); ALTER TABLE w_orders ALTER COLUMN status SET NOT NULL"
    (hit,) = Asked((text,)).hits("combine_alter_table")
    assert hit.remedy and (scans(database, text), scans(database, hit.remedy)) == (2, 1)


def scans(database: Database, text: str) -> int:
    """How often a text reads all of w_orders; what it does is rolled back."""
    with database.connect() as connection, connection.transaction(force_rollback=True):
        for statement in parse_statements(text)[0]:
            connection.execute(statement.text.encode())
        counted = "SELECT seq_scan FROM pg_stat_xact_user_tables WHERE relname = 'w_orders'"
        return connection.execute(counted).fetchall()[0][0]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("DO $$ BEGIN NULL; END $$", 1),
        ("CALL maintain()", 1),
        ("CALL stock.maintain(1)", 1),
        ("PREPARE p AS SELECT 1; EXECUTE p", 1),
        ("SELECT run_all()", 1),
        ("SELECT public.run_all() FROM w_orders", 1),
        ("SELECT run_one()", 0),
        ("SELECT count(*) FROM w_orders", 0),
        ("CREATE TRIGGER t BEFORE INSERT ON w_orders FOR EACH ROW EXECUTE FUNCTION touch()", 0),
    ],
)
def test_opaque_sql(text: str, found: int) -> None:
    assert len(messages("dynamic_sql", text)) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("GRANT SELECT, INSERT ON w_orders TO PUBLIC", ["w_orders"]),
        ("GRANT SELECT ON w_orders TO clerk", []),
        ("GRANT SELECT ON w_orders TO PUBLIC; REVOKE ALL ON w_orders FROM PUBLIC", []),
        ("GRANT USAGE ON SCHEMA public TO PUBLIC", []),
        ("GRANT CREATE ON SCHEMA public TO PUBLIC", ["public"]),
        ("GRANT USAGE ON SCHEMA stock TO PUBLIC", ["stock"]),
        ("GRANT EXECUTE ON FUNCTION total(bigint) TO PUBLIC", []),
        ("GRANT USAGE ON SEQUENCE order_numbers TO PUBLIC", ["order_numbers"]),
    ],
)
def test_grant_to_public(text: str, found: list[str]) -> None:
    assert [hit.relation for hit in granted(text)] == found


def test_a_grant_is_taken_back_by_its_quoted_names() -> None:
    made = 'CREATE TABLE stock."Odd one" ("Id" bigint)'
    (hit,) = granted(f'{made}; GRANT SELECT ("Id"), INSERT ON stock."Odd one" TO PUBLIC')
    assert hit.remedy == 'REVOKE INSERT, SELECT ("Id") ON stock."Odd one" FROM PUBLIC;'


def granted(text: str) -> list[Violation]:
    surroundings = LintTarget(settings=SETTINGS, postgres_version=18)
    replay = MigrationReplay((), surroundings)
    replay.apply(planned("0", "before.sql", f"{BEFORE}; {text}"))
    rule = default_active_rule(built_in_rules()["grant_to_public"])
    return [one.violation for one in check_schema((rule,), replay.catalog, (), surroundings)]
