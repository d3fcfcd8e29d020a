"""Rules about constraints and indexes: the subtle cases, each held against what a real server does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from confiture.core.db.introspection import read_catalog
from confiture.lint.engine.configuration import default_active_rule
from confiture.lint.engine.context import LintTarget
from confiture.lint.engine.findings import to_findings
from confiture.lint.engine.replay import MigrationReplay, check_schema
from confiture.lint.registry import built_in_rules
from confiture.lint.remedies.commands import LATER
from confiture.lint.rule import Example, ExpectedEffects
from confiture.lint.rules.required_column_without_default import FILL
from confiture.models.catalog import QualifiedName
from confiture.models.findings import Edit, Finding
from confiture.models.trace import LockMode
from tests.support.constraint_cases import (
    CASES,
    CHECK,
    DOMAIN,
    DROP_INDEX,
    DROPPED,
    FAILING,
    INDEX,
    INDEXED,
    KEY,
    NOT_NULL,
    ORDERS,
    PARTS,
    PROOF,
    READING,
    REQUIRED,
    RULES,
    SET,
    UNIQUE,
    Case,
)
from tests.support.rule_examples import SETTINGS, Seen, planned, run_example
from tests.support.servers import Database, new_database

pytestmark = pytest.mark.versions_alike

ON_VERSIONS: list[Any] = [
    pytest.param(case, version, id=f"{case}-{version}") for case in CASES for version in case.versions
]


def lint(case: Case, version: int, rows: dict[QualifiedName, int] | None = None) -> list[Finding]:
    """What our rules find in the case's migrations."""
    actives = [default_active_rule(built_in_rules()[name]) for name in RULES]
    replay = MigrationReplay(actives, LintTarget(settings=SETTINGS, postgres_version=version, table_rows=rows or {}))
    replay.apply(planned("0", "before.sql", case.schema))
    judged = [one for n, text in enumerate(case.texts, 1) for one in replay.check(planned(str(n), f"{n}.sql", text))]
    return list(to_findings(judged))


@pytest.mark.parametrize(("case", "version"), ON_VERSIONS)
def test_rules_find(case: Case, version: int) -> None:
    findings = lint(case, version)
    assert sorted(finding.rule for finding in findings) == sorted(case.rules), [one.message for one in findings]


@pytest.fixture
def fresh(request: pytest.FixtureRequest, version: int, uses_server: None) -> Iterator[Database]:
    """An empty database on the server of that version."""
    yield from new_database(request.getfixturevalue(f"server_{version}"))


@pytest.mark.parametrize(("case", "version"), ON_VERSIONS)
def test_a_server_agrees(case: Case, version: int, fresh: Database) -> None:
    """It reads a table while others wait where a rule says so and nowhere else; it refuses what a rule says so of."""
    seen = run_example(fresh.url, Example(before=case.schema, sql=case.texts), ExpectedEffects())
    failed = [one.message for one in seen if one.error]
    if FAILING & set(case.rules):
        assert failed
        return
    assert failed == []
    if case.reads_before or "REINDEX" in case.texts[0]:
        return
    assert any(map(_reads_while_others_wait, seen)) == bool(READING & set(case.rules)), seen


def _reads_while_others_wait(seen: Seen) -> bool:
    return any(seen.locks[name].strength >= LockMode.SHARE.strength for name in seen.scans if name in seen.locks)


REMEDIED = [param for param in ON_VERSIONS if param.values[0].rules and len(param.values[0].texts) == 1]


@pytest.mark.parametrize(("case", "version"), REMEDIED)
def test_remedies_run_and_lint_clean(
    case: Case, version: int, request: pytest.FixtureRequest, uses_server: None
) -> None:
    """What is offered instead does the work on a server, and no rule of ours finds anything in it."""
    server = request.getfixturevalue(f"server_{version}")
    remedies = [finding.remedy for finding in lint(case, version) if finding.remedy]
    for remedy in dict.fromkeys(remedies):
        if DROPPED in case.rules:
            continue
        filled = remedy.replace(FILL, "UPDATE w_orders SET paid = 1;")
        texts = tuple(part for part in filled.split(LATER) if part.strip())
        mended = Case(texts, (), case.before, f"{case.more};{_own_tables(case)}", case.versions)
        assert [finding.message for finding in lint(mended, version)] == [], remedy
        with contextmanager(new_database)(server) as database:
            seen = run_example(database.url, Example(before=mended.schema, sql=texts), ExpectedEffects())
        assert [one.message for one in seen if one.error] == [], remedy


def test_what_a_remedy_leaves_to_another_finding_is_named() -> None:
    case = Case("ALTER TABLE w_orders ADD COLUMN paid int NOT NULL CHECK (paid > 0), ADD note text, DROP COLUMN number")
    remedies = {finding.rule: finding.remedy for finding in lint(case, 18)}
    apart = "-- in addition, see the separate finding for: ALTER TABLE w_orders"
    assert remedies == {
        CHECK: f"{apart} ADD COLUMN paid int NOT NULL\n"
        "ALTER TABLE w_orders ADD CONSTRAINT w_orders_paid_check CHECK (paid > 0) NOT VALID, ADD COLUMN note text,"
        " DROP number;\n"
        f"{LATER}\nALTER TABLE w_orders VALIDATE CONSTRAINT w_orders_paid_check;",
        REQUIRED: f"{apart} ADD COLUMN paid int CHECK (paid > 0)\n"
        "ALTER TABLE w_orders ADD COLUMN paid int, ADD COLUMN note text, DROP number;\n"
        f"{FILL}\nALTER TABLE w_orders ADD CONSTRAINT w_orders_paid_not_null NOT NULL paid NOT VALID;\n"
        f"{LATER}\nALTER TABLE w_orders VALIDATE CONSTRAINT w_orders_paid_not_null;",
    }


def _own_tables(case: Case) -> str:
    """What the statement at fault needs of the migration before it."""
    before, _, last = case.texts[0].rpartition(";")
    return before if (last.strip() and "VALIDATE" in last) or "w_regions" in before else ""


@pytest.mark.parametrize("version", [18, 15])
def test_not_valid_keys_of_partitioned_tables(version: int, fresh: Database) -> None:
    """Before 18 PostgreSQL refuses them; each partition can have its own."""
    case = Case("ALTER TABLE w_orders ADD FOREIGN KEY (customer_id) REFERENCES w_customers NOT VALID", (), PARTS)
    findings = lint(case, version)
    seen = run_example(fresh.url, Example(before=case.schema, sql=case.texts), ExpectedEffects())
    assert [one.error for one in seen] == ([None] if version == 18 else ["42809"])
    assert [finding.rule for finding in findings] == ([] if version == 18 else [KEY])
    assert all("42809" in finding.effect for finding in findings)


def test_places_are_those_of_the_commands() -> None:
    case = Case(
        "ALTER TABLE /* a, b */ public.w_orders\n"
        "  ADD COLUMN paid numeric(10, 2)\n    CONSTRAINT paid_check CHECK (paid IN (1, 2)),\n"
        "  -- then\n"
        "  ALTER COLUMN amount\n    SET NOT NULL,\n"
        "  DROP CONSTRAINT c",
        more=f"{PROOF} (id > 0)",
    )
    places = {(finding.rule, finding.span.line, finding.span.column) for finding in lint(case, 18) if finding.span}
    assert places == {(CHECK, 3, 5), (NOT_NULL, 5, 3), (DROPPED, 7, 3)}


def test_small_tables_are_let_be() -> None:
    names = {"public": ("w_orders", "w_customers")}
    rows = {QualifiedName(schema, name): 900 for schema, known in names.items() for name in known}
    case = Case(f"{SET}; CREATE INDEX ON w_orders (id); ALTER TABLE w_orders ADD CHECK (id > 0), ADD UNIQUE (id)")
    assert lint(case, 18, rows) == []
    assert len(lint(case, 18, {**rows, QualifiedName("public", "w_orders"): 1000})) == 4
    assert len(lint(case, 18)) == 4


def test_partitioned_tables_are_as_large_as_their_partitions() -> None:
    case = Case("CREATE INDEX ON w_orders (id)", (), PARTS)
    small = {QualifiedName("public", "w_orders_24"): 500, QualifiedName("public", "w_Orders 25"): 499}
    assert lint(case, 18, small) == []
    assert len(lint(case, 18, {**small, QualifiedName("public", "w_Orders 25"): 500})) == 1
    assert len(lint(case, 18, {QualifiedName("public", "w_orders"): 0, QualifiedName("public", "w_orders_24"): 0})) == 1


def test_tables_that_the_catalog_does_not_know_exist() -> None:
    """A project may have begun with a baseline."""
    sql = (
        "ALTER TABLE old.orders ADD CHECK (id > 0), ALTER id SET NOT NULL, ADD COLUMN x int NOT NULL, ADD UNIQUE (id);"
        "ALTER TABLE old.orders ADD FOREIGN KEY (c) REFERENCES old.customers;"
        "CREATE INDEX ON old.orders (c); DROP INDEX old.i; ALTER DOMAIN old.price ADD CHECK (VALUE > 0);"
        "ALTER TABLE old.orders DROP CONSTRAINT c"
    )
    found_rules = {finding.rule for finding in lint(Case(sql), 18)}
    assert found_rules == {CHECK, NOT_NULL, REQUIRED, UNIQUE, KEY, INDEX, DROP_INDEX, DOMAIN, DROPPED}


@pytest.mark.parametrize(
    ("sql", "fixed"),
    [
        ("CREATE INDEX i ON w_orders (id)", "CREATE INDEX CONCURRENTLY i ON w_orders (id)"),
        (
            "create unique /* é */ index i on w_orders (id)",
            "create unique /* é */ index concurrently i on w_orders (id)",
        ),
        ("DROP INDEX w_orders_id_idx", "DROP INDEX CONCURRENTLY w_orders_id_idx"),
        ("REINDEX (VERBOSE) TABLE w_orders", "REINDEX (VERBOSE) TABLE CONCURRENTLY w_orders"),
        ("CREATE INDEX ON w_orders (id)", None),
        ("CREATE INDEX i ON elsewhere (id)", None),
        ("DROP INDEX w_orders_id_idx, w_orders_number_idx", None),
        ("DROP INDEX w_orders_id_idx CASCADE", None),
    ],
)
def test_sure_fixes(sql: str, fixed: str | None) -> None:
    case = Case(f"-- é\n{sql};", (), INDEXED)
    edits = [edit for finding in lint(case, 18) for edit in finding.edits]
    assert _applied(case.texts[0], edits) == (f"-- é\n{fixed};" if fixed else case.texts[0])


def _applied(text: str, edits: list[Edit]) -> str:
    for edit in sorted(edits, key=lambda edit: -edit.start):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


def test_an_index_of_a_broken_build_is_found_in_a_database(database_18: Database) -> None:
    database_18.execute(f"{ORDERS}; UPDATE w_orders SET id = 1")
    with database_18.connect(row_factory=dict_row) as connection:
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute("CREATE UNIQUE INDEX CONCURRENTLY w_orders_id_idx ON w_orders (id)")
        surroundings = LintTarget(settings=SETTINGS, postgres_version=18)
        rules = [default_active_rule(built_in_rules()["invalid_index"])]
        (broken,) = to_findings(check_schema(rules, read_catalog(connection), (), surroundings))
        connection.execute("UPDATE w_orders SET id = amount")
        connection.execute(str(broken.remedy).encode())
        assert to_findings(check_schema(rules, read_catalog(connection), (), surroundings)) == ()
    assert broken.relation == "w_orders"
