"""README.md shows what its example prints: `lint`, and a dry run."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from confiture.lint.registry import built_in_rules
from tests.support.paths import REPOSITORY
from tests.support.projects import Project

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
(MIGRATION,) = re.findall(r"```yaml\n(# migrations/002_add_totals.yaml\n.*?)```", README, re.DOTALL)
LINT, DRY_RUN = re.findall(r"```text\n(.*?)```", README, re.DOTALL)
LEFT_OUT = "…"
SCHEMA = """
    CREATE TABLE w_customers (id bigint PRIMARY KEY, tenant_id int NOT NULL);
    CREATE TABLE w_orders (
        id bigint PRIMARY KEY, tenant_id int NOT NULL, customer_id bigint NOT NULL, amount numeric NOT NULL
    );
    CREATE TABLE r_totals (
        tenant_id int, customer_id bigint, total numeric NOT NULL, PRIMARY KEY (tenant_id, customer_id)
    );
"""
FIRST_MIGRATION = """
    ddl: [orders.sql]
    after_ddl:
      - sql: INSERT INTO w_customers SELECT n, n % 24 FROM generate_series(1, 20000) AS n
      - sql: INSERT INTO w_orders SELECT n, n % 24, 1 + n % 20000, n % 90 FROM generate_series(1, ORDERS) AS n
"""
ORDERS_SHOWN, ORDERS_TESTED = 1_000_000, 60_000


@pytest.fixture
def example(shop_18: Project) -> Project:
    """The project of the README's example. With ORDERS_SHOWN it prints the numbers that the README shows."""
    shop_18.write("confiture.yaml", "tenancy: {column: tenant_id, tables: [w_*, r_*]}\n")
    shop_18.ddl("orders.sql", SCHEMA + "CREATE INDEX w_orders_customer ON w_orders (customer_id);\n")
    shop_18.write("migrations/001_orders/orders.sql", SCHEMA)
    shop_18.migration("001_orders", FIRST_MIGRATION.replace("ORDERS", str(ORDERS_TESTED)))
    shop_18.migration("002_add_totals", MIGRATION)
    return shop_18


def _without_times(line: str) -> str:
    return re.sub(r"[\d.]+ m?s$", "", line)


def _without_numbers(line: str) -> str:
    """The words of a line without its numbers, times and bars, which differ from run to run."""
    return " ".join(
        word for word in line.split() if not re.search(r"[\d─▓░]", word) and word.rstrip(",") not in {"ms", "s"}
    )


def _missing(shown: str, printed: str, comparable: Callable[[str], str]) -> list[str]:
    """The shown lines that are not printed, or not in this order."""
    candidates = map(comparable, printed.splitlines())
    return [line for line in shown.splitlines() if line != LEFT_OUT and comparable(line) not in candidates]


def test_lint_prints_what_the_readme_shows(example: Project) -> None:
    printed = example.run("lint", expect=1).out
    assert _missing(LINT, printed, _without_times) == [], printed


def test_the_dry_run_prints_what_the_readme_shows(example: Project) -> None:
    example.run("migrate", "up", "--to", "001")
    shown = DRY_RUN.replace(" on the embedded server (development)", "")
    printed = re.sub(r" on \S+ \(development\)", "", example.run("migrate", "--dry-run", expect=1).out)
    assert _missing(shown, printed, _without_numbers) == [], printed


def test_lines_that_differ_are_found() -> None:
    assert _missing("one\ntwo", "two\none", str) == ["two"]
    assert _missing("one\n…\nthree 3 ms", "one\ntwo\nthree 44 s", _without_numbers) == []


def test_the_number_of_rules_is_right() -> None:
    assert f"Lint has {len(built_in_rules())} rules." in README
