"""A subquery that nothing relates to the rows of its outer query is an error, as a join without a condition is."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.projects import Project

_TABLES = (
    "CREATE TABLE w_a (id int PRIMARY KEY, tenant_id int NOT NULL, x int);"
    "CREATE TABLE w_b (id int PRIMARY KEY, tenant_id int NOT NULL, a_id int, y int);"
    "CREATE TABLE r_c (id int PRIMARY KEY, tenant_id int NOT NULL, v int)"
)
_INTO = "INSERT INTO r_c (id, tenant_id, v) SELECT a.id, a.tenant_id, "
_UNRELATED = {
    "join": f"{_INTO} b.y FROM w_a a, w_b b",
    "scalar": f"{_INTO} (SELECT max(y) FROM w_b b) FROM w_a a",
    "one row by its key": f"{_INTO} (SELECT y FROM w_b b WHERE b.id = 5) FROM w_a a",
    "array": f"{_INTO} (ARRAY(SELECT y FROM w_b b))[1] FROM w_a a",
    "EXISTS": f"{_INTO} a.x FROM w_a a WHERE EXISTS (SELECT FROM w_b b WHERE b.y > 1)",
    "NOT IN": f"{_INTO} a.x FROM w_a a WHERE a.id NOT IN (SELECT b.a_id FROM w_b b)",
    "> ALL": f"{_INTO} a.x FROM w_a a WHERE a.x > ALL (SELECT b.y FROM w_b b)",
    "HAVING": f"{_INTO} sum(a.x) FROM w_a a GROUP BY a.id, a.tenant_id HAVING sum(a.x) > (SELECT max(y) FROM w_b b)",
    "UPDATE": "UPDATE w_a a SET x = (SELECT max(y) FROM w_b b)",
    "DELETE": "DELETE FROM w_a a WHERE a.x > (SELECT avg(y) FROM w_b b)",
}
_RELATED = {
    "by a key": f"{_INTO} (SELECT max(y) FROM w_b b WHERE b.a_id = a.id) FROM w_a a",
    "EXISTS by a key": f"{_INTO} a.x FROM w_a a WHERE EXISTS (SELECT FROM w_b b WHERE b.a_id = a.id)",
}
_SAFE = {
    "by the tenant": f"{_INTO} (SELECT max(y) FROM w_b b WHERE b.tenant_id = a.tenant_id) FROM w_a a",
    "of one tenant": "INSERT INTO r_c (id, tenant_id, v) SELECT a.id, a.tenant_id, (SELECT max(y) FROM w_b b WHERE"
    " b.tenant_id = 7) FROM w_a a WHERE a.tenant_id = 7",
}


def _findings(project: Project, sql: str, *, known: bool) -> list[dict[str, Any]]:
    project.write(
        "confiture.yaml",
        "migrations: migrations\nschemas: schemas\ntenancy:\n  column: tenant_id\n  tables: [w_*, r_*]\n",
    )
    if known:
        project.migration("001_tables", f"ddl:\n  - sql: {_TABLES}\n")
    project.migration("002_fill", f"after_ddl:\n  - sql: |\n      {sql}\n")
    found = project.run("lint", "--rule", "tenant_join", "--format", "json", expect=None).json["findings"]
    return [one for one in found if one["rule"] == "tenant_join"]


@pytest.mark.parametrize("known", [True, False], ids=["known tables", "unknown tables"])
@pytest.mark.parametrize("case", _UNRELATED)
def test_rows_that_nothing_relates_are_an_error(project: Project, case: str, known: bool) -> None:
    (finding,) = _findings(project, _UNRELATED[case], known=known)
    assert finding["severity"] == "error"
    assert "rows of different tenants are combined" in finding["message"]
    if known:
        assert "b.tenant_id = a.tenant_id is missing" in finding["message"] or case == "NOT IN"


@pytest.mark.parametrize("case", _RELATED)
def test_rows_that_a_key_relates_are_a_warning(project: Project, case: str) -> None:
    (finding,) = _findings(project, _RELATED[case], known=True)
    assert finding["severity"] == "warning"
    assert "b.tenant_id = a.tenant_id is missing" in finding["message"]


@pytest.mark.parametrize("case", _SAFE)
def test_rows_of_the_same_tenant_are_safe(project: Project, case: str) -> None:
    assert _findings(project, _SAFE[case], known=True) == []
