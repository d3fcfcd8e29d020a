"""Where errors at run time point."""

from __future__ import annotations

import pytest

from tests.support.engine import Ran, dry_run, migrate_up
from tests.support.projects import Project

pytestmark = pytest.mark.versions_alike


def failure(shop: Project) -> Ran:
    return migrate_up(shop).expect(4)


def place(ran: Ran) -> tuple[str, int, int]:
    span = ran.diagnostic.span
    assert span
    return span.path, span.line, span.column


def test_an_error_in_a_block_scalar_points_to_its_line_and_column(shop: Project) -> None:
    shop.migration(
        "001_scalar",
        """
        ddl:
          - name: two statements
            sql: |
              CREATE TABLE a (x int);

              -- a remark
              INSERT INTO a (x)
              SELECT 'ä' || wrong FROM a;
        """,
    )
    ran = failure(shop)
    assert place(ran) == ("migrations/001_scalar.yaml", 8, 21)
    assert ran.diagnostic.message == 'column "wrong" does not exist'
    assert ran.diagnostic.excerpt == "      SELECT 'ä' || wrong FROM a;"


def test_an_error_without_a_position_points_to_its_statement(shop: Project) -> None:
    shop.migration("001_file", "ddl: [01/file.sql]")
    shop.ddl("01/file.sql", "CREATE TABLE a (x int PRIMARY KEY);\n\n-- why\n  INSERT INTO a VALUES (1), (1);\n")
    ran = failure(shop)
    assert place(ran) == ("schemas/01/file.sql", 4, 3)
    assert ran.diagnostic.code == "23505"
    assert "Key (x)=(1) already exists." in ran.diagnostic.detail
    assert "constraint: a_pkey" in ran.diagnostic.detail


def test_an_error_in_a_file_points_to_its_column(shop: Project) -> None:
    shop.migration("001_file", "ddl: [file.sql]")
    shop.ddl("file.sql", "/* é */ CREATE TABLE a (x int);\nCREATE TABLE b (\n  id int,\n  kind no_such_type\n);\n")
    assert place(failure(shop)) == ("schemas/file.sql", 4, 8)


def test_an_error_inside_a_function_points_to_the_call_and_says_where_inside(shop: Project) -> None:
    shop.migration(
        "001_function",
        """
        ddl:
          - sql: |
              CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$
              BEGIN
                RAISE EXCEPTION 'no luck' USING DETAIL = 'the detail', HINT = 'the hint', ERRCODE = 'P0042';
              END $$;
              SELECT 1,
                f();
        """,
    )
    ran = failure(shop)
    assert place(ran)[1] == 7
    diagnostic = ran.diagnostic
    assert (diagnostic.code, diagnostic.message, diagnostic.hint) == ("P0042", "no luck", "the hint")
    assert diagnostic.detail[:2] == ("the detail", "in PL/pgSQL function f() line 3 at RAISE")


def test_an_error_inside_a_query_of_a_function_is_not_placed_by_the_functions_positions(shop: Project) -> None:
    body = "BEGIN" + "\n" * 3 + "  PERFORM nonsense; END"
    shop.migration("001_do", "ddl: [do.sql]")
    shop.ddl("do.sql", f"SELECT 1;\nDO $$ {body} $$;\n")
    assert place(failure(shop)) == ("schemas/do.sql", 2, 1)


def test_an_error_in_a_check_points_into_it(shop: Project) -> None:
    shop.migration("001_check", "before_validation:\n  - check: |\n      SELECT 1,\n        nonsense\n    expect: 1\n")
    assert place(failure(shop)) == ("migrations/001_check.yaml", 4, 9)


def test_an_error_of_a_rendered_line_points_to_its_line(shop: Project) -> None:
    shop.migration(
        "001_template",
        """
        vars: {names: [a, b]}
        ddl:
          - sql: |
              {% for name in names %}
              CREATE TABLE {{ name }} (x int);
              {% endfor %}
              SELECT nonsense;
        """,
    )
    assert place(failure(shop))[:2] == ("migrations/001_template.yaml", 7)


def test_an_error_in_a_dry_run_of_a_concurrent_build_points_to_its_statement(shop: Project) -> None:
    shop.migration(
        "001_index", "ddl:\n  - sql: |\n      SELECT 1;\n      CREATE INDEX CONCURRENTLY i\n        ON missing (x);\n"
    )
    ran = dry_run(shop).expect(5)
    assert place(ran)[:2] == ("migrations/001_index.yaml", 4)
