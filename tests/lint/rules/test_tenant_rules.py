"""The rules about tenants in projects: where they speak, where they are silent, and what they show."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from confiture.lint.engine.configuration import active_rules
from confiture.lint.registry import built_in_rules
from confiture.lint.rule import Group
from confiture.models.findings import Finding
from confiture.models.settings import LintSettings
from confiture.sql.parsing import parse_statements
from tests.support.linting import lint
from tests.support.paths import REPOSITORY
from tests.support.projects import Project

TENANCY = "tenancy: {column: tenant_id, tables: [w_*, r_*], except: [r_static_*]}\n"
TABLES = """
CREATE TABLE w_customers (id bigint PRIMARY KEY, tenant_id bigint NOT NULL, name text);
CREATE TABLE w_orders (id bigint PRIMARY KEY, tenant_id bigint NOT NULL, customer_id bigint, amount numeric);
CREATE TABLE r_spending (
    tenant_id bigint NOT NULL, customer_id bigint NOT NULL, total numeric, PRIMARY KEY (tenant_id, customer_id));
"""
RULES = sorted(name for name, rule in built_in_rules().items() if rule.group is Group.TENANCY)
MIXING = """\
INSERT INTO r_spending (tenant_id, customer_id, total)
      SELECT c.tenant_id, c.id, sum(o.amount)
      FROM w_customers c
      JOIN w_orders o ON o.customer_id = c.id
      GROUP BY c.tenant_id, c.id"""


def _project(project: Project, after_ddl: str, *, tenancy: str = TENANCY, schema: str = TABLES) -> Project:
    project.write("confiture.yaml", f"migrations: migrations\nschemas: schemas\n{tenancy}")
    project.write("schemas/01.sql", schema)
    project.write("migrations/001_fill.yaml", f"ddl: [01.sql]\nafter_ddl:\n{after_ddl}")
    return project


def _found(project: Project) -> Sequence[Finding]:
    return [finding for finding in lint(project).findings if finding.rule in RULES]


def test_a_step_that_mixes_is_found_with_its_place_and_the_corrected_statement(project: Project) -> None:
    (finding,) = _found(_project(project, f"  - sql: |\n      {MIXING}\n"))
    assert (finding.rule, finding.severity) == ("tenant_join", "warning")
    assert finding.excerpt is not None
    assert "ON o.customer_id = c.id" in finding.excerpt
    assert finding.remedy is not None
    assert "o.tenant_id = c.tenant_id" in finding.remedy
    assert not parse_statements(finding.remedy)[1]


def test_without_a_tenancy_section_the_rules_are_silent(project: Project) -> None:
    assert _found(_project(project, f"  - sql: |\n      {MIXING}\n", tenancy="")) == []


def test_a_backfill_is_judged_with_its_mark_left_in_place(project: Project) -> None:
    statement = MIXING.replace("GROUP BY", "WHERE {{ batch }}\n      GROUP BY")
    # the block of the backfill stands two columns deeper
    inner = statement.replace("\n      ", "\n        ")
    step = f"  - backfill:\n      into: r_spending\n      from: w_customers\n      sql: |\n        {inner}\n"
    (finding,) = _found(_project(project, step))
    assert finding.rule == "tenant_join"
    assert finding.remedy is not None
    assert "WHERE {{ batch }}" in finding.remedy


def test_an_ignore_comment_with_a_reason_silences_it(project: Project) -> None:
    step = f"  - sql: |\n      -- confiture: ignore tenant_join -- checked by hand\n      {MIXING}\n"
    assert _found(_project(project, step)) == []


def test_a_view_of_a_file_that_no_migration_runs_is_judged_at_its_place(project: Project) -> None:
    _project(project, "  - sql: SELECT 1\n")
    project.write("schemas/02_view.sql", "CREATE VIEW r_totals AS\nSELECT sum(amount) AS total\nFROM w_orders;\n")
    (finding,) = _found(project)
    assert finding.rule == "tenant_view"
    assert finding.span is not None
    assert (finding.span.path, finding.span.line) == ("schemas/02_view.sql", 2)


def test_the_body_of_a_function_is_judged_where_it_stands(project: Project) -> None:
    _project(project, "  - sql: SELECT 1\n")
    lines = (
        "CREATE FUNCTION fill() RETURNS void LANGUAGE plpgsql SET search_path = public AS $$",
        "BEGIN",
        "  INSERT INTO r_spending",
        "  SELECT 1, customer_id, amount FROM w_orders;",
        "  EXECUTE 'ANALYZE';",
        "END $$;",
    )
    project.write("schemas/02_function.sql", "\n".join(lines) + "\n")
    found = {finding.rule: finding.span for finding in _found(project)}
    assert set(found) == {"tenant_function", "tenant_dynamic"}
    span = found["tenant_function"]
    assert span is not None
    assert (span.path, span.line, span.column) == ("schemas/02_function.sql", 4, 10)


def test_sql_that_a_do_block_puts_together_is_told(project: Project) -> None:
    (finding,) = _found(_project(project, "  - sql: DO $$ BEGIN EXECUTE 'DELETE FROM w_orders'; END $$\n"))
    assert (finding.rule, finding.severity) == ("tenant_dynamic_block", "info")


def test_a_key_of_an_earlier_migration_makes_a_later_one_safe(project: Project) -> None:
    schema = (
        TABLES.replace("name text)", "name text, UNIQUE (tenant_id, id))")
        .replace(
            "amount numeric)",
            "amount numeric, FOREIGN KEY (tenant_id, customer_id) REFERENCES w_customers (tenant_id, id))",
        )
        .replace("customer_id bigint,", "customer_id bigint NOT NULL,")
    )
    assert _found(_project(project, f"  - sql: |\n      {MIXING}\n", schema=schema)) == []


@pytest.mark.parametrize("rule", ["tenant_foreign_key", "tenant_unique_key", "tenant_row_security"])
def test_what_is_a_matter_of_choice_speaks_only_when_asked(project: Project, rule: str) -> None:
    schema = TABLES + "ALTER TABLE w_orders ADD UNIQUE (amount), ADD FOREIGN KEY (customer_id) REFERENCES w_customers;"
    asked = TENANCY + f"linting: {{rules: [{{type: {rule}}}]}}\n"
    assert _found(_project(project, "  - sql: SELECT 1\n", schema=schema)) == []
    found = _found(_project(project, "  - sql: SELECT 1\n", schema=schema, tenancy=asked))
    assert {finding.rule for finding in found} == {rule}


def test_row_security_must_be_forced_where_that_is_asked(project: Project) -> None:
    enabled = "".join(
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;\n" for table in ("w_customers", "w_orders", "r_spending")
    )
    asked = TENANCY + "linting: {rules: [{type: tenant_row_security, forced: true}]}\n"
    found = _found(_project(project, "  - sql: SELECT 1\n", schema=TABLES + enabled, tenancy=asked))
    assert [finding.remedy for finding in found] == [
        f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY;" for table in ("w_customers", "w_orders", "r_spending")
    ]


def test_the_example_project_is_without_findings() -> None:
    root = REPOSITORY
    findings = lint(Project(root)).findings
    assert [finding for finding in findings if finding.rule in RULES] == []


def test_all_rules_are_on_that_are_not_a_matter_of_choice() -> None:
    on = {active.rule.name for active in active_rules(LintSettings(), built_in_rules())}
    assert on & set(RULES) == set(RULES) - {"tenant_foreign_key", "tenant_unique_key", "tenant_row_security"}
