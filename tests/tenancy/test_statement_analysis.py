"""What the analysis says of each construct, and that what it calls safe is so on a real server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.rows import DictRow, dict_row

from confiture.core.db.introspection import read_catalog
from confiture.core.tenancy.statement_prover import prove_statement
from confiture.models.catalog import Catalog
from confiture.models.settings import TenancySettings
from confiture.models.source import LocatedSource, SourceFile
from confiture.models.tenancy import TenancyGrade, TenancyIssueKind
from confiture.models.tenancy_proofs import IsolationVerdict
from confiture.plan.rendering import render_verbatim
from confiture.sql.catalog.builder import CatalogBuilder
from confiture.sql.parse_tree import ParsedStatement, parse_rendered
from confiture.sql.tenant_flow import TenancyFacts, analyze
from tests.support.servers import Server, new_database
from tests.support.tenant_flow_cases import CASES, DATA, SCHEMA, Case

TENANCY = TenancySettings()


def statements(text: str) -> tuple[ParsedStatement, ...]:
    return parse_rendered(render_verbatim(LocatedSource(text=text, file=SourceFile(path="m.sql", text=text))))


def catalog_of(text: str) -> Catalog:
    builder = CatalogBuilder()
    for statement in statements(text):
        builder.apply(statement)
    return builder.catalog


CATALOG = catalog_of(SCHEMA)


@pytest.mark.parametrize("case", CASES, ids=[case.sql for case in CASES])
def test_the_verdict_is_right(case: Case) -> None:
    (statement,) = statements(case.sql)
    verdict = analyze(statement, TenancyFacts(CATALOG, TENANCY))
    told = [(reason.kind, reason.message) for reason in verdict.issues]
    assert verdict.grade is case.grade, told
    assert {reason.kind for reason in verdict.issues} == set(case.leaks), told


@pytest.mark.parametrize("case", CASES, ids=[case.sql for case in CASES])
def test_what_is_corrected_is_clean(case: Case) -> None:
    (statement,) = statements(case.sql)
    for reason in analyze(statement, TenancyFacts(CATALOG, TENANCY)).issues:
        if reason.fixed_sql:
            (again,) = statements(reason.fixed_sql)
            assert analyze(again, TenancyFacts(CATALOG, TENANCY)).is_safe, reason.fixed_sql


@pytest.fixture(scope="module")
def filled(server_18: Server) -> Iterator[psycopg.Connection[DictRow]]:
    for database in new_database(server_18):
        database.execute(SCHEMA + DATA)
        with psycopg.connect(database.url, row_factory=dict_row) as connection:
            yield connection


@pytest.fixture(scope="module")
def live(filled: psycopg.Connection[DictRow]) -> Catalog:
    catalog = read_catalog(filled)
    filled.rollback()
    return catalog


def _provable(case: Case) -> bool:
    return not case.sql.startswith(("CREATE VIEW", "SELECT"))


PROVABLE = [case for case in CASES if _provable(case)]


@pytest.mark.parametrize("case", PROVABLE, ids=[case.sql for case in PROVABLE])
def test_data_says_the_same(case: Case, filled: psycopg.Connection[DictRow], live: Catalog) -> None:
    """What is safe mixes nothing; what the analysis corrects, neither."""
    (statement,) = statements(case.sql)
    verdict = analyze(statement, TenancyFacts(live, TENANCY))
    assert verdict.grade is case.grade
    texts = {reason.fixed_sql for reason in verdict.issues if reason.fixed_sql}
    if verdict.is_safe:
        texts.add(case.sql)
    for text in sorted(filter(None, texts)):
        (one,) = statements(text)
        proof = prove_statement(filled, one, live, TENANCY, None)
        filled.rollback()
        assert proof.verdict is not IsolationVerdict.MIXED, (text, proof.leaks)


def test_the_example_of_the_design_is_clean_and_its_mistakes_are_graded() -> None:
    catalog = catalog_of(
        "CREATE TABLE w_customers (id bigint PRIMARY KEY, tenant_id bigint NOT NULL);"
        "CREATE TABLE w_orders (id bigint PRIMARY KEY, tenant_id bigint NOT NULL, customer_id bigint, amount numeric);"
        "CREATE TABLE r_lifetime (id uuid, tenant_id bigint, customer_id bigint, total numeric, orders bigint)"
    )
    query = "SELECT gen_random_uuid(), c.tenant_id, c.id, sum(o.amount), count(o.id) FROM w_customers c"
    target = "INSERT INTO r_lifetime (id, tenant_id, customer_id, total, orders)"
    by_key = f"{target} {query} LEFT JOIN w_orders o ON c.id = o.customer_id GROUP BY c.tenant_id, c.id"
    right = by_key.replace("customer_id GROUP", "customer_id AND c.tenant_id = o.tenant_id GROUP")
    without = (
        by_key.replace("tenant_id, ", "")
        .replace("c.tenant_id, ", "")
        .replace("c.c.", "c.")
        .replace(", c.id, sum", ", c.id, sum")
    )
    found = [analyze(statements(text)[0], TenancyFacts(catalog, TENANCY)) for text in (right, by_key, without)]
    assert [verdict.grade for verdict in found] == [TenancyGrade.SAFE, TenancyGrade.WARNING, TenancyGrade.ERROR]
    corrected = found[1].issues[0].fixed_sql
    assert corrected is not None
    assert "o.tenant_id = c.tenant_id" in corrected


def test_the_place_is_that_of_the_offending_expression() -> None:
    text = "SELECT 1;\nINSERT INTO r_out (tenant_id, a)\nSELECT a.tenant_id, b.id FROM w_a a JOIN w_b b ON b.ref = a.id"
    (reason,) = analyze(statements(text)[1], TenancyFacts(CATALOG, TENANCY)).issues
    assert reason.location is not None
    assert text[reason.location.offset :] == "b.ref = a.id"


def test_proofs_say_which_key_makes_it_safe() -> None:
    text = "INSERT INTO r_out SELECT k.tenant_id, k.id, u.val FROM w_k k JOIN w_u u ON u.id = k.u_id"
    (proof,) = analyze(statements(text)[0], TenancyFacts(CATALOG, TENANCY)).proofs
    assert proof.startswith("w_k_tenant_id_u_id_fkey references w_u together with tenant_id")


FUNCTION = "CREATE FUNCTION f(who bigint) RETURNS {returns} LANGUAGE {language} {more} AS $$ {body} $$"
BODIES: tuple[tuple[Any, ...], ...] = (
    ("void", "sql", "", "INSERT INTO r_out SELECT tenant_id, id, val FROM w_a", TenancyGrade.SAFE, set()),
    (
        "void",
        "sql",
        "",
        "INSERT INTO r_out SELECT who, count(*), 0 FROM w_a WHERE tenant_id = who",
        TenancyGrade.SAFE,
        set(),
    ),
    (
        "void",
        "sql",
        "",
        "INSERT INTO r_out SELECT who, count(*), 0 FROM w_a",
        TenancyGrade.ERROR,
        {TenancyIssueKind.GROUPING},
    ),
    ("bigint", "sql", "", "SELECT count(*) FROM w_a", TenancyGrade.SAFE, set()),
    ("bigint", "sql", "SECURITY DEFINER", "SELECT count(*) FROM w_a", TenancyGrade.ERROR, {TenancyIssueKind.GROUPING}),
    ("void", "plpgsql", "", "BEGIN DELETE FROM w_a WHERE tenant_id = who; END", TenancyGrade.SAFE, set()),
    ("void", "plpgsql", "", "BEGIN EXECUTE 'DELETE FROM w_a'; END", TenancyGrade.UNKNOWN, {TenancyIssueKind.DYNAMIC}),
    (
        "void",
        "plpgsql",
        "",
        "BEGIN IF who > 1 THEN UPDATE r_out r SET b = 1 FROM w_a a WHERE a.id = r.a; END IF; END",
        TenancyGrade.ERROR,
        {TenancyIssueKind.CROSS_WRITE},
    ),
    ("void", "plpython3u", "", "pass", TenancyGrade.UNKNOWN, {TenancyIssueKind.UNKNOWN}),
)


@pytest.mark.parametrize(("returns", "language", "more", "body", "grade", "leaks"), BODIES)
def test_bodies_of_functions_are_analysed(
    returns: str, language: str, more: str, body: str, grade: TenancyGrade, leaks: set[TenancyIssueKind]
) -> None:
    text = FUNCTION.format(returns=returns, language=language, more=more, body=body)
    verdict = analyze(statements(text)[0], TenancyFacts(CATALOG, TENANCY))
    assert (verdict.grade, {reason.kind for reason in verdict.issues}) == (grade, leaks)


@pytest.mark.parametrize(
    ("body", "grade"),
    [
        ("UPDATE r_out SET b = b + 1 WHERE a = NEW.id AND tenant_id = NEW.tenant_id", TenancyGrade.SAFE),
        ("INSERT INTO r_out VALUES (NEW.tenant_id, NEW.id, 0)", TenancyGrade.SAFE),
        ("UPDATE r_out SET b = b + 1 WHERE a = NEW.id", TenancyGrade.ERROR),
        ("UPDATE r_key SET b = b + 1 WHERE a = NEW.id", TenancyGrade.WARNING),
    ],
)
def test_triggers_keep_to_the_tenant_of_their_row(body: str, grade: TenancyGrade) -> None:
    text = f"CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body}; RETURN NEW; END $$"
    assert analyze(statements(text)[0], TenancyFacts(CATALOG, TENANCY)).grade is grade


def test_a_do_block_is_analysed_too() -> None:
    text = "DO $$ BEGIN UPDATE r_out r SET b = 1 FROM w_a a WHERE a.id = r.a; END $$"
    assert analyze(statements(text)[0], TenancyFacts(CATALOG, TENANCY)).grade is TenancyGrade.ERROR


@pytest.mark.parametrize(
    "body",
    [
        "DECLARE n bigint; BEGIN SELECT sum(val) INTO n FROM w_a; UPDATE r_out SET b = n WHERE tenant_id = who; END",
        "DECLARE n bigint := (SELECT max(val) FROM w_a); BEGIN INSERT INTO r_out VALUES (who, n, 0); END",
        "DECLARE n bigint; BEGIN n := (SELECT max(val) FROM w_a); INSERT INTO r_out VALUES (who, n, 0); END",
        "DECLARE r record; BEGIN FOR r IN SELECT * FROM w_a LOOP INSERT INTO r_out VALUES (1, r.id, 0); END LOOP; END",
        "BEGIN IF EXISTS (SELECT FROM w_a WHERE val > 3) THEN DELETE FROM r_out WHERE tenant_id = who; END IF; END",
        "DECLARE n bigint; BEGIN DELETE FROM w_a RETURNING id INTO n; INSERT INTO r_out VALUES (who, n, 0); END",
    ],
)
def test_what_goes_through_variables_is_not_safe(body: str) -> None:
    text = FUNCTION.format(returns="void", language="plpgsql", more="", body=body)
    assert analyze(statements(text)[0], TenancyFacts(CATALOG, TENANCY)).grade is TenancyGrade.UNKNOWN


@pytest.mark.parametrize(
    "text",
    [
        "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $$ SELECT 'é'; INSERT INTO r_out SELECT 1, id, 0 FROM w_a $$",
        "DO $$ DECLARE n text := 'é'; BEGIN INSERT INTO r_out SELECT 1, id, 0 FROM w_a; END $$",
        "CREATE FUNCTION f() RETURNS void BEGIN ATOMIC SELECT 'é'; INSERT INTO r_out SELECT 1, id, 0 FROM w_a; END",
    ],
)
def test_in_bodies_too_the_place_is_that_of_the_expression(text: str) -> None:
    (reason,) = analyze(statements("SELECT 'é';\n" + text)[1], TenancyFacts(CATALOG, TENANCY)).issues
    assert reason.location is not None
    assert ("SELECT 'é';\n" + text)[reason.location.offset :].startswith("1, id, 0 FROM w_a")


@pytest.mark.parametrize("before", ["EXPLAIN ANALYZE", "PREPARE p AS", "CREATE RULE r AS ON DELETE TO w_b DO ALSO"])
def test_statements_within_others_are_never_safe(before: str) -> None:
    assert (
        analyze(statements(f"{before} DELETE FROM w_a")[0], TenancyFacts(CATALOG, TENANCY)).grade
        is TenancyGrade.UNKNOWN
    )


def test_tables_that_are_not_in_the_ddl_are_never_safe() -> None:
    tenancy = TenancySettings(tables=("w_*",))
    text = "INSERT INTO w_other (tenant_id, a) SELECT tenant_id, id FROM w_elsewhere"
    assert analyze(statements(text)[0], TenancyFacts(CATALOG, tenancy)).grade is TenancyGrade.UNKNOWN


def test_the_mark_of_a_batch_is_left_alone() -> None:
    text = (
        "INSERT INTO r_out (tenant_id, a) SELECT a.tenant_id, b.id FROM w_a a JOIN w_b b ON b.ref = a.id"
        ' WHERE "confiture batch"'
    )
    (reason,) = analyze(statements(text)[0], TenancyFacts(CATALOG, TENANCY)).issues
    assert reason.fixed_sql is not None
    assert "WHERE {{ batch }}" in reason.fixed_sql
