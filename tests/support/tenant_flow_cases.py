"""Statements for the analysis of tenants: one or more for each construct, and what it must say of them."""

# ruff: noqa: E501 - a statement is read more easily in one line

from __future__ import annotations

from typing import NamedTuple

from confiture.models.tenancy import TenancyGrade, TenancyIssueKind

SCHEMA = """
CREATE TABLE l_kinds (id bigint PRIMARY KEY, name text);
CREATE TABLE w_a (tenant_id bigint NOT NULL, id bigint NOT NULL, ref bigint, val bigint, PRIMARY KEY (tenant_id, id));
CREATE TABLE w_b (tenant_id bigint NOT NULL, id bigint NOT NULL, ref bigint, val bigint, PRIMARY KEY (tenant_id, id));
CREATE TABLE w_u (tenant_id bigint NOT NULL, id bigint PRIMARY KEY, ref bigint, val bigint, UNIQUE (tenant_id, id));
CREATE TABLE w_n (tenant_id bigint NOT NULL, id bigint PRIMARY KEY, n bigint, UNIQUE (tenant_id, id, n));
CREATE TABLE w_k (tenant_id bigint NOT NULL, id bigint PRIMARY KEY, u_id bigint, val bigint,
    FOREIGN KEY (tenant_id, u_id) REFERENCES w_u (tenant_id, id));
CREATE TABLE w_loose (tenant_id bigint, id bigint, u_id bigint, val bigint,
    FOREIGN KEY (tenant_id, u_id) REFERENCES w_u (tenant_id, id));
CREATE TABLE w_unproven (tenant_id bigint NOT NULL, id bigint, u_id bigint);
ALTER TABLE w_unproven ADD FOREIGN KEY (tenant_id, u_id) REFERENCES w_u (tenant_id, id) NOT VALID;
CREATE TABLE w_heirs (tenant_id bigint NOT NULL, u_id bigint NOT NULL,
    FOREIGN KEY (tenant_id, u_id) REFERENCES w_u (tenant_id, id));
CREATE TABLE w_heir () INHERITS (w_heirs);
CREATE TABLE w_three (tenant_id bigint NOT NULL, u_id bigint NOT NULL, n bigint,
    FOREIGN KEY (tenant_id, u_id, n) REFERENCES w_n (tenant_id, id, n));
CREATE TABLE w_lines (u_id bigint REFERENCES w_u (id), n bigint);
CREATE TABLE w_new (id bigint PRIMARY KEY, u_id bigint, a_id bigint, tenant_id bigint);
CREATE TABLE r_out (tenant_id bigint, a bigint, b bigint, UNIQUE (tenant_id, a));
CREATE TABLE r_key (a bigint PRIMARY KEY, tenant_id bigint, b bigint);
CREATE TABLE l_plain (a bigint, b bigint);
CREATE FUNCTION month(bigint) RETURNS bigint LANGUAGE sql IMMUTABLE RETURN $1 % 12;
CREATE FUNCTION peeks(bigint) RETURNS bigint LANGUAGE sql STABLE AS 'SELECT count(*) FROM w_a';
CREATE VIEW v_good AS SELECT tenant_id, ref, sum(val) AS total FROM w_a GROUP BY tenant_id, ref;
CREATE VIEW v_hides AS SELECT id, u_id FROM w_k;
CREATE VIEW v_mixes AS SELECT ref, sum(val) AS total FROM w_a GROUP BY ref;
"""
DATA = """
INSERT INTO l_kinds VALUES (1, 'one'), (2, 'two'), (3, NULL);
INSERT INTO w_a SELECT t, i, nullif(i, 3), i + t FROM generate_series(1, 3) t, generate_series(1, 4) i;
INSERT INTO w_b SELECT t, i, i % 3 + 1, nullif(i * t, 4) FROM generate_series(1, 3) t, generate_series(1, 5) i;
INSERT INTO w_u SELECT i % 3 + 1, i, i % 2 + 1, i FROM generate_series(1, 9) i;
INSERT INTO w_k SELECT tenant_id, id, nullif(id, 4), val FROM w_u;
INSERT INTO w_loose SELECT nullif(id % 4, 3), id, NULL, val FROM w_u;
INSERT INTO w_n SELECT tenant_id, id, id FROM w_u;
INSERT INTO w_heirs SELECT tenant_id, id FROM w_u;
INSERT INTO w_heir SELECT tenant_id, id % 9 + 1 FROM w_u;
INSERT INTO w_three SELECT tenant_id, id % 9 + 1, NULL FROM w_u;
INSERT INTO w_lines SELECT id, id * 2 FROM w_u;
INSERT INTO w_new SELECT id, id, id FROM w_u;
INSERT INTO r_out SELECT t, i, i FROM generate_series(1, 3) t, generate_series(1, 3) i;
INSERT INTO r_key SELECT i, i % 3 + 1, i FROM generate_series(1, 4) i;
"""


class Case(NamedTuple):
    """A statement, the grade that it gets, and the ways in which it leaks."""

    sql: str
    grade: TenancyGrade = TenancyGrade.SAFE
    leaks: tuple[TenancyIssueKind, ...] = ()


def _error(sql: str, *leaks: TenancyIssueKind) -> Case:
    return Case(sql, TenancyGrade.ERROR, leaks)


def _warning(sql: str, *leaks: TenancyIssueKind) -> Case:
    return Case(sql, TenancyGrade.WARNING, leaks)


def _unknown(sql: str) -> Case:
    return Case(sql, TenancyGrade.UNKNOWN, (TenancyIssueKind.UNKNOWN,))


def _out(query: str) -> str:
    return f"INSERT INTO r_out (tenant_id, a, b) {query}"


INSERTS = (
    Case(_out("SELECT tenant_id, id, val FROM w_a")),
    Case("INSERT INTO r_out SELECT tenant_id, id, val FROM w_a"),
    Case(_out("VALUES (1, 2, 3)")),
    Case(_out("SELECT i, i, i FROM generate_series(1, 3) i")),
    Case(_out("SELECT tenant_id, month(id), val FROM w_a")),
    Case(_out("SELECT t.* FROM (SELECT tenant_id, id, val FROM w_a) t")),
    Case(_out("SELECT s.x, s.y, 0 FROM (SELECT tenant_id, id FROM w_a) AS s (x, y)")),
    Case(_out("SELECT tenant_id::text::bigint, id, val FROM w_a")),
    Case(_out("SELECT CAST(tenant_id AS numeric), id, val FROM w_a")),
    _error("INSERT INTO r_out (a, b) SELECT id, val FROM w_a", TenancyIssueKind.NOT_WRITTEN),
    _error("INSERT INTO r_out (a, b) VALUES (1, 2)", TenancyIssueKind.NOT_WRITTEN),
    _error(_out("SELECT id, id, val FROM w_a"), TenancyIssueKind.WRONG_SOURCE),
    _error(_out("SELECT 1, id, val FROM w_a"), TenancyIssueKind.WRONG_SOURCE),
    _error(_out("SELECT tenant_id / 2, id, val FROM w_a"), TenancyIssueKind.WRONG_SOURCE),
    _warning("INSERT INTO l_plain SELECT id, val FROM w_a", TenancyIssueKind.NOT_WRITTEN),
    _unknown(_out("SELECT tenant_id, peeks(id), val FROM w_a")),
    _unknown(_out("SELECT tenant_id, nobody_knows(id), val FROM w_a")),
    _unknown(_out("SELECT tenant_id, id, val FROM w_a TABLESAMPLE bernoulli (50)")),
    _unknown(_out("SELECT tenant_id, id, val FROM w_a WHERE random() < 0.5")),
)
CONSTANTS = (
    Case(_out("SELECT 1, count(*), 0 FROM w_a WHERE tenant_id = 1")),
    Case(
        _out("SELECT 1, count(*), 0 FROM w_a JOIN w_b ON w_b.tenant_id = 1 AND w_b.id = w_a.id WHERE w_a.tenant_id = 1")
    ),
    Case(_out("SELECT tenant_id, id, val FROM w_a WHERE tenant_id IN (1) ORDER BY id LIMIT 2")),
    Case(
        _out(
            "SELECT 1, l.id, count(a.id) FROM l_kinds l LEFT JOIN w_a a ON a.ref = l.id AND a.tenant_id = 1 GROUP BY l.id"
        )
    ),
    Case(_out("SELECT 1, (SELECT max(val) FROM w_a WHERE tenant_id = 1), 0")),
    _error(_out("SELECT 2, count(*), 0 FROM w_a WHERE tenant_id = 1"), TenancyIssueKind.WRONG_SOURCE),
    _error(_out("SELECT 1, count(*), 0 FROM w_a WHERE tenant_id IN (1, 2)"), TenancyIssueKind.GROUPING),
    _error(_out("SELECT 1, count(*), 0 FROM w_a WHERE tenant_id = 1 OR id = 1"), TenancyIssueKind.GROUPING),
)
_JOINED = "SELECT a.tenant_id, a.id, b.val FROM w_a a"
JOINS = (
    Case(_out(f"{_JOINED} JOIN w_b b ON b.ref = a.id AND b.tenant_id = a.tenant_id")),
    _error(_out("SELECT * FROM (SELECT tenant_id, id FROM w_a), (SELECT val FROM w_b)"), TenancyIssueKind.JOIN),
    Case(_out(f"{_JOINED}, w_b b WHERE b.ref = a.id AND (b.tenant_id, b.id) = (a.tenant_id, a.ref)")),
    Case(_out("SELECT tenant_id, a.id, b.val FROM w_a a JOIN w_b b USING (tenant_id)")),
    Case(_out("SELECT tenant_id, id, val FROM w_a NATURAL JOIN w_b")),
    Case(_out("SELECT j.tenant_id, j.val, 0 FROM (w_a a JOIN l_kinds k ON k.id = a.ref) AS j (tenant_id, i, r, val)")),
    Case(_out(f"{_JOINED} LEFT JOIN w_b b ON b.ref = a.id AND b.tenant_id = a.tenant_id")),
    Case(_out(f"{_JOINED} LEFT JOIN w_b b ON b.ref = a.id WHERE b.tenant_id = a.tenant_id")),
    Case(_out(f"{_JOINED} JOIN w_b b ON b.tenant_id IS NOT DISTINCT FROM a.tenant_id")),
    Case(
        _out(
            "SELECT coalesce(a.tenant_id, b.tenant_id), a.id, b.id FROM w_a a FULL JOIN w_b b ON b.id = a.ref AND b.tenant_id = a.tenant_id"
        )
    ),
    Case(_out("SELECT tenant_id, a.id, b.id FROM w_a a FULL JOIN w_b b USING (tenant_id, id)")),
    Case(_out("SELECT a.tenant_id, a.id, k.id FROM w_a a CROSS JOIN l_kinds k")),
    Case(_out("SELECT a.tenant_id, a.id, k.n FROM w_a a CROSS JOIN LATERAL (SELECT a.val + 1 AS n) k")),
    Case(
        _out(
            "SELECT a.tenant_id, a.id, x.n FROM w_a a CROSS JOIN LATERAL (SELECT count(*) AS n FROM w_b b WHERE b.tenant_id = a.tenant_id) x"
        )
    ),
    Case(
        _out(
            "SELECT a.tenant_id, a.id, x.val FROM w_a a LEFT JOIN LATERAL (SELECT val FROM w_b b WHERE b.tenant_id = a.tenant_id ORDER BY id LIMIT 1) x ON true"
        )
    ),
    Case(
        _out(
            "SELECT a.tenant_id, a.id, x.val FROM w_a a JOIN LATERAL (SELECT * FROM w_b b WHERE b.ref = a.id) x ON x.tenant_id = a.tenant_id"
        )
    ),
    _warning(
        _out("SELECT b.tenant_id, a.id, b.id FROM w_a a LEFT JOIN w_b b ON b.ref = a.id AND b.tenant_id = a.tenant_id"),
        TenancyIssueKind.WRONG_SOURCE,
    ),
    _warning(
        _out("SELECT a.tenant_id, a.id, b.id FROM w_a a FULL JOIN w_b b ON b.id = a.ref AND b.tenant_id = a.tenant_id"),
        TenancyIssueKind.WRONG_SOURCE,
    ),
    _error(_out(f"{_JOINED} JOIN w_b b ON b.ref = a.id"), TenancyIssueKind.JOIN),
    _error(_out(f"{_JOINED} LEFT JOIN w_b b ON b.ref = a.id"), TenancyIssueKind.JOIN),
    _error(_out(f"{_JOINED} JOIN w_b b ON b.ref = a.id OR b.tenant_id = a.tenant_id"), TenancyIssueKind.JOIN),
    _error(_out(f"{_JOINED} CROSS JOIN w_b b"), TenancyIssueKind.JOIN),
    _error(_out("SELECT a.tenant_id, a.id, b.val FROM w_a a JOIN w_b b USING (id)"), TenancyIssueKind.JOIN),
    _error(_out(f"{_JOINED} JOIN w_b b ON b.tenant_id % 2 = a.tenant_id % 2"), TenancyIssueKind.JOIN),
    _error(
        _out(
            "SELECT a.tenant_id, a.id, x.n FROM w_a a CROSS JOIN LATERAL (SELECT count(*) AS n FROM w_b b WHERE b.ref = a.id) x"
        ),
        TenancyIssueKind.JOIN,
    ),
    _error(_out(f"{_JOINED} LEFT JOIN w_b b ON b.ref = a.id AND a.tenant_id = 1"), TenancyIssueKind.JOIN),
)
KEYS = (
    Case(_out("SELECT k.tenant_id, k.id, u.val FROM w_k k JOIN w_u u ON u.id = k.u_id")),
    Case(
        _out(
            "SELECT u.tenant_id, u.id, sum(k.val) FROM w_u u LEFT JOIN w_k k ON u.id = k.u_id GROUP BY u.tenant_id, u.id"
        )
    ),
    Case(_out("SELECT u.tenant_id, u.id, sum(k.val) FROM w_u u JOIN w_k k ON u.id = k.u_id GROUP BY u.id")),
    Case(_out("SELECT k.tenant_id, k.id, o.val FROM w_k k JOIN w_k o ON o.u_id = k.u_id")),
    Case(_out("SELECT u.tenant_id, u.id, o.val FROM w_u u JOIN w_u o ON o.id = u.id")),
    Case(
        _out("SELECT u.tenant_id, u.id, sum(l.n) FROM w_u u JOIN w_lines l ON l.u_id = u.id GROUP BY u.tenant_id, u.id")
    ),
    Case(_out("SELECT u.tenant_id, u.id, 0 FROM w_u u JOIN v_hides v ON v.u_id = u.id")),
    Case(_out("SELECT u.tenant_id, u.id, 0 FROM w_u u WHERE EXISTS (SELECT FROM w_k k WHERE k.u_id = u.id)")),
    Case(_out("SELECT u.tenant_id, u.id, 0 FROM w_u u WHERE u.id IN (SELECT k.u_id FROM w_k k)")),
    _warning(
        _out(
            "SELECT u.tenant_id, u.id, sum(a.val) FROM w_u u LEFT JOIN w_a a ON a.ref = u.id GROUP BY u.tenant_id, u.id"
        ),
        TenancyIssueKind.JOIN,
    ),
    _warning(_out("SELECT u.tenant_id, u.id, o.val FROM w_loose o JOIN w_u u ON u.id = o.u_id"), TenancyIssueKind.JOIN),
    _warning(
        _out("SELECT u.tenant_id, u.id, o.id FROM w_unproven o JOIN w_u u ON u.id = o.u_id"), TenancyIssueKind.JOIN
    ),
    _error(_out("SELECT u.tenant_id, l.n, 0 FROM w_u u, w_lines l"), TenancyIssueKind.JOIN),
    _error(
        "INSERT INTO r_out (a, b) SELECT u.id, sum(a.val) FROM w_u u LEFT JOIN w_a a ON a.ref = u.id GROUP BY u.id",
        TenancyIssueKind.NOT_WRITTEN,
        TenancyIssueKind.JOIN,
    ),
)
GROUPS = (
    Case(_out("SELECT tenant_id, ref, sum(val) FROM w_a GROUP BY tenant_id, ref HAVING count(*) > 1")),
    Case(_out("SELECT tenant_id, ref, sum(val) FROM w_a GROUP BY 1, 2")),
    Case(
        _out(
            "SELECT a.tenant_id AS t, max(b.tenant_id), 0 FROM w_a a JOIN w_b b ON b.tenant_id = a.tenant_id GROUP BY t"
        )
    ),
    Case(_out("SELECT tenant_id, ref, sum(val) FROM w_a GROUP BY tenant_id, ROLLUP (ref, val)")),
    Case(_out("SELECT tenant_id, ref, sum(val) FROM w_a GROUP BY GROUPING SETS ((tenant_id, ref), (tenant_id))")),
    Case(_out("SELECT DISTINCT tenant_id, ref, val FROM w_a")),
    Case(_out("SELECT DISTINCT ON (tenant_id, ref) tenant_id, ref, val FROM w_a ORDER BY tenant_id, ref, val, id")),
    Case(_out("SELECT tenant_id, id, row_number() OVER (PARTITION BY tenant_id ORDER BY id) FROM w_a")),
    Case(_out("SELECT tenant_id, id, sum(val) OVER w FROM w_a WINDOW w AS (PARTITION BY tenant_id, ref)")),
    Case(_out("SELECT tenant_id, id, sum(val) OVER (PARTITION BY id) FROM w_u")),
    _error(_out("SELECT min(tenant_id), ref, sum(val) FROM w_a GROUP BY ref"), TenancyIssueKind.GROUPING),
    Case(
        _out(
            "SELECT coalesce(a.tenant_id, b.tenant_id), a.ref, count(*) FROM w_a a FULL JOIN w_b b USING (tenant_id, id) GROUP BY 1, a.ref"
        )
    ),
    _error(
        _out("SELECT min(tenant_id), 0, sum(val) FROM w_a GROUP BY CASE WHEN id > 2 THEN tenant_id END"),
        TenancyIssueKind.GROUPING,
    ),
    _error(_out("SELECT max(tenant_id), 0, sum(val) FROM w_a"), TenancyIssueKind.GROUPING),
    _error(
        _out("SELECT tenant_id, ref, sum(val) FROM w_a GROUP BY ROLLUP (tenant_id, ref)"), TenancyIssueKind.GROUPING
    ),
    _error(_out("SELECT tenant_id, ref, sum(val) FROM w_a GROUP BY CUBE (tenant_id, ref)"), TenancyIssueKind.GROUPING),
    _error(
        _out("SELECT tenant_id, ref, sum(val) FROM w_a GROUP BY GROUPING SETS ((tenant_id), (ref))"),
        TenancyIssueKind.GROUPING,
    ),
    _error(_out("SELECT DISTINCT ON (ref) tenant_id, ref, val FROM w_a ORDER BY ref, id"), TenancyIssueKind.GROUPING),
    _error(_out("SELECT tenant_id, id, sum(val) OVER (PARTITION BY ref) FROM w_a"), TenancyIssueKind.GROUPING),
    _warning(
        _out("SELECT tenant_id, id, rank() OVER w FROM w_a WINDOW w AS (ORDER BY val)"), TenancyIssueKind.GROUPING
    ),
    _error(
        _out(
            "SELECT a.tenant_id, a.id, count(*) OVER (PARTITION BY b.tenant_id) FROM w_a a LEFT JOIN w_b b ON b.ref = a.id AND b.tenant_id = a.tenant_id AND b.val > 3"
        ),
        TenancyIssueKind.GROUPING,
    ),
    _warning(_out("SELECT tenant_id, id, val FROM w_a ORDER BY id LIMIT 2"), TenancyIssueKind.LIMIT),
    _warning(_out("SELECT tenant_id, id, val FROM w_a ORDER BY id OFFSET 2"), TenancyIssueKind.LIMIT),
    _warning(
        _out("SELECT tenant_id, id, val FROM w_a ORDER BY id FETCH FIRST 2 ROWS WITH TIES"), TenancyIssueKind.LIMIT
    ),
)
SUBQUERIES = (
    Case(_out("SELECT tenant_id, id, (SELECT count(*) FROM w_b b WHERE b.tenant_id = a.tenant_id) FROM w_a a")),
    Case(
        _out(
            "SELECT tenant_id, id, (SELECT val FROM w_b b WHERE b.tenant_id = a.tenant_id ORDER BY id LIMIT 1) FROM w_a a"
        )
    ),
    Case(
        _out(
            "SELECT tenant_id, id, val FROM w_a a WHERE EXISTS (SELECT FROM w_b b WHERE b.tenant_id = a.tenant_id AND b.ref = a.id)"
        )
    ),
    Case(
        _out(
            "SELECT tenant_id, id, val FROM w_a a WHERE NOT EXISTS (SELECT FROM w_b b WHERE b.tenant_id = a.tenant_id AND b.ref = a.id)"
        )
    ),
    Case(_out("SELECT tenant_id, id, val FROM w_a a WHERE (tenant_id, id) IN (SELECT tenant_id, ref FROM w_b)")),
    Case(_out("SELECT tenant_id, id, val FROM w_a a WHERE (tenant_id, id) NOT IN (SELECT tenant_id, ref FROM w_b)")),
    Case(
        _out("SELECT tenant_id, id, val FROM w_a a WHERE id IN (SELECT ref FROM w_b b WHERE b.tenant_id = a.tenant_id)")
    ),
    Case(
        _out(
            "SELECT tenant_id, id, val FROM w_a a WHERE id > ALL (SELECT ref FROM w_b b WHERE b.tenant_id = a.tenant_id)"
        )
    ),
    Case(_out("SELECT tenant_id, id, val FROM w_a WHERE id IN (SELECT id FROM l_kinds)")),
    Case(_out("SELECT tenant_id, id, (SELECT count(*) FROM l_kinds) FROM w_a")),
    Case(_out("SELECT (SELECT tenant_id FROM w_u WHERE id = 3), 1, 2")),
    _error(_out("SELECT tenant_id, id, (SELECT count(*) FROM w_b) FROM w_a"), TenancyIssueKind.JOIN),
    _error(
        _out("SELECT tenant_id, id, (SELECT count(*) FROM w_b b WHERE b.ref = a.id) FROM w_a a"), TenancyIssueKind.JOIN
    ),
    _error(
        _out("SELECT tenant_id, id, val FROM w_a a WHERE EXISTS (SELECT FROM w_b b WHERE b.ref = a.id)"),
        TenancyIssueKind.JOIN,
    ),
    _error(_out("SELECT tenant_id, id, val FROM w_a WHERE id IN (SELECT ref FROM w_b)"), TenancyIssueKind.JOIN),
    _error(_out("SELECT tenant_id, id, val FROM w_a WHERE id NOT IN (SELECT val FROM w_b)"), TenancyIssueKind.JOIN),
    _error(_out("SELECT tenant_id, id, val FROM w_a WHERE val > (SELECT avg(val) FROM w_a)"), TenancyIssueKind.JOIN),
    _warning(
        _out("SELECT tenant_id, id, val FROM w_a a WHERE (tenant_id, id) NOT IN (SELECT tenant_id, id FROM w_loose)"),
        TenancyIssueKind.JOIN,
    ),
)
SETS = (
    Case(_out("SELECT tenant_id, id, 0 FROM w_a UNION ALL SELECT tenant_id, id, val FROM w_b")),
    Case(_out("SELECT tenant_id, id, 0 FROM w_a UNION SELECT 1, 2, 3")),
    Case(_out("SELECT tenant_id, id, val FROM w_a INTERSECT SELECT tenant_id, id, val FROM w_b")),
    Case(_out("SELECT tenant_id, id, val FROM w_a EXCEPT SELECT tenant_id, id, val FROM w_b")),
    _error(
        _out("SELECT tenant_id, id, 0 FROM w_a UNION ALL SELECT id, tenant_id, val FROM w_b"), TenancyIssueKind.BRANCH
    ),
    _error(_out("SELECT tenant_id, id, 0 FROM w_a UNION SELECT 1, id, val FROM w_b"), TenancyIssueKind.BRANCH),
    _error(_out("SELECT tenant_id, id, val FROM w_a EXCEPT SELECT id, id, val FROM w_b"), TenancyIssueKind.BRANCH),
    _warning(
        _out("(SELECT tenant_id, id, val FROM w_a UNION SELECT tenant_id, id, val FROM w_b) ORDER BY 2 LIMIT 2"),
        TenancyIssueKind.LIMIT,
    ),
)
COMMON = (
    Case(_out("SELECT tenant_id, n, 0 FROM (SELECT tenant_id, count(*) AS n FROM w_a GROUP BY tenant_id) x")),
    Case(
        f"WITH x AS (SELECT tenant_id AS t, id FROM w_a) {_out('SELECT x.t, b.id, 0 FROM x JOIN w_b b ON b.tenant_id = x.t')}"
    ),
    Case(
        "WITH RECURSIVE x AS (SELECT tenant_id, id FROM w_a WHERE ref = 1 UNION SELECT b.tenant_id, b.id FROM x"
        f" JOIN w_b b ON b.ref = x.id AND b.tenant_id = x.tenant_id) {_out('SELECT tenant_id, id, 0 FROM x')}"
    ),
    _error(
        "WITH RECURSIVE x AS (SELECT tenant_id, id FROM w_a WHERE ref = 1 UNION SELECT x.tenant_id, b.id FROM x"
        f" JOIN w_b b ON b.ref = x.id) {_out('SELECT tenant_id, id, 0 FROM x')}",
        TenancyIssueKind.JOIN,
    ),
    _error(
        f"WITH x AS (SELECT id FROM w_a) {_out('SELECT b.tenant_id, b.id, 0 FROM x JOIN w_b b ON b.ref = x.id')}",
        TenancyIssueKind.JOIN,
    ),
    Case(_out("SELECT tenant_id, ref, total FROM v_good")),
    _error(
        _out("SELECT a.tenant_id, a.id, v.total FROM w_a a JOIN v_mixes v ON v.ref = a.ref"), TenancyIssueKind.GROUPING
    ),
    _error(_out("SELECT a.tenant_id, a.id, v.total FROM w_a a JOIN v_good v ON v.ref = a.ref"), TenancyIssueKind.JOIN),
)
CHANGES = (
    Case("UPDATE r_out r SET b = a.val FROM w_a a WHERE a.tenant_id = r.tenant_id AND a.id = r.a"),
    Case("UPDATE r_out SET b = b + 1"),
    Case("UPDATE r_out r SET b = (SELECT count(*) FROM w_a a WHERE a.tenant_id = r.tenant_id)"),
    Case("DELETE FROM r_out r USING w_a a WHERE a.tenant_id = r.tenant_id AND a.id = r.a"),
    Case("DELETE FROM r_out r WHERE NOT EXISTS (SELECT FROM w_a a WHERE a.tenant_id = r.tenant_id AND a.id = r.a)"),
    _error("UPDATE r_out r SET b = a.val FROM w_a a WHERE a.id = r.a", TenancyIssueKind.CROSS_WRITE),
    _error("UPDATE r_out r SET b = (SELECT count(*) FROM w_a a WHERE a.id = r.a)", TenancyIssueKind.JOIN),
    _error("DELETE FROM r_out r USING w_a a WHERE a.id = r.a", TenancyIssueKind.CROSS_WRITE),
    _error("DELETE FROM r_out r WHERE r.a IN (SELECT id FROM w_a)", TenancyIssueKind.CROSS_WRITE),
    _warning("UPDATE l_kinds k SET name = 'x' FROM w_a a WHERE a.id = k.id", TenancyIssueKind.CROSS_WRITE),
    Case("UPDATE w_new n SET tenant_id = u.tenant_id FROM w_u u WHERE u.id = n.u_id AND n.tenant_id IS NULL"),
    Case(
        "UPDATE w_new n SET tenant_id = (SELECT u.tenant_id FROM w_u u WHERE u.id = n.u_id) WHERE n.tenant_id IS NULL"
    ),
    _warning("UPDATE w_new n SET tenant_id = u.tenant_id FROM w_u u WHERE u.id = n.u_id", TenancyIssueKind.CROSS_WRITE),
    _error(
        "UPDATE w_new n SET tenant_id = a.tenant_id FROM w_a a WHERE a.id = n.a_id AND n.tenant_id IS NULL",
        TenancyIssueKind.WRONG_SOURCE,
    ),
    Case(
        "MERGE INTO r_out r USING w_a a ON a.tenant_id = r.tenant_id AND a.id = r.a WHEN MATCHED THEN UPDATE SET b = a.val"
        " WHEN NOT MATCHED THEN INSERT (tenant_id, a) VALUES (a.tenant_id, a.id)"
    ),
    _error(
        "MERGE INTO r_out r USING w_u a ON a.id = r.b WHEN MATCHED THEN UPDATE SET b = a.val"
        " WHEN NOT MATCHED THEN INSERT (a) VALUES (a.id)",
        TenancyIssueKind.NOT_WRITTEN,
        TenancyIssueKind.CROSS_WRITE,
    ),
    Case(_out("SELECT tenant_id, id, val FROM w_a ON CONFLICT (tenant_id, a) DO UPDATE SET b = excluded.b")),
    _warning(
        "INSERT INTO r_key (tenant_id, a, b) SELECT tenant_id, id, val FROM w_u ON CONFLICT (a) DO UPDATE SET b = excluded.b",
        TenancyIssueKind.CROSS_WRITE,
    ),
    _warning(
        "INSERT INTO r_key (tenant_id, a, b) SELECT tenant_id, id, val FROM w_u ON CONFLICT DO NOTHING",
        TenancyIssueKind.CROSS_WRITE,
    ),
)
MADE = (
    Case("CREATE TABLE made AS SELECT tenant_id, id FROM w_a"),
    Case("SELECT tenant_id, id INTO made FROM w_a"),
    Case("CREATE VIEW made AS SELECT tenant_id, sum(val) AS total FROM w_a GROUP BY tenant_id"),
    Case(
        "CREATE VIEW made AS SELECT count(*) AS n FROM w_a WHERE tenant_id = current_setting('app.tenant_id')::bigint"
    ),
    _error("CREATE TABLE made AS SELECT id FROM w_a", TenancyIssueKind.NO_TENANT_COLUMN),
    _warning("CREATE TABLE made AS SELECT tenant_id AS shop, id FROM w_a", TenancyIssueKind.NO_TENANT_COLUMN),
    _warning("CREATE VIEW made AS SELECT id FROM w_a", TenancyIssueKind.NO_TENANT_COLUMN),
    _error("CREATE VIEW made AS SELECT 1 AS tenant_id, id FROM w_a", TenancyIssueKind.WRONG_SOURCE),
    _error("CREATE VIEW made AS SELECT 2 AS tenant_id, id FROM w_a WHERE tenant_id = 1", TenancyIssueKind.WRONG_SOURCE),
    _error("CREATE VIEW made AS SELECT sum(val) AS total FROM w_a", TenancyIssueKind.GROUPING),
)
HIDDEN = (
    Case(
        _out(
            "SELECT CASE WHEN true THEN tenant_id END, sum(val), 0 FROM w_a GROUP BY CASE WHEN true THEN tenant_id END"
        )
    ),
    _error(
        _out(
            "SELECT CASE WHEN id > 1 THEN tenant_id END, sum(val), 0 FROM w_a GROUP BY CASE WHEN id > 1 THEN tenant_id END"
        ),
        TenancyIssueKind.GROUPING,
    ),
    _error(
        _out("SELECT 1, x.id, 0 FROM (SELECT DISTINCT ON (tenant_id) id FROM w_a ORDER BY tenant_id, id) x"),
        TenancyIssueKind.WRONG_SOURCE,
    ),
    _error(_out("SELECT 1, x.id, 0 FROM (SELECT DISTINCT id FROM w_u) x"), TenancyIssueKind.WRONG_SOURCE),
    _error(_out("SELECT DISTINCT 1, id, 0 FROM w_u"), TenancyIssueKind.WRONG_SOURCE),
    Case(_out("SELECT u.tenant_id, x.id, 0 FROM (SELECT DISTINCT id FROM w_u) x JOIN w_u u ON u.id = x.id")),
    Case("UPDATE w_heirs h SET u_id = 1 WHERE EXISTS (SELECT 1 FROM w_a a WHERE a.tenant_id = h.tenant_id)"),
    _error(
        _out("SELECT 1, id, 0 FROM l_kinds LIMIT (SELECT count(*) FROM w_a WHERE id = 1)"), TenancyIssueKind.GROUPING
    ),
    _error(
        _out("SELECT 1, id, 0 FROM l_kinds UNION SELECT 2, id, 0 FROM l_kinds OFFSET (SELECT count(*) FROM w_a)"),
        TenancyIssueKind.GROUPING,
    ),
    _error(
        _out(
            "SELECT tenant_id, id, (SELECT id FROM w_b b WHERE b.tenant_id = a.tenant_id LIMIT (SELECT count(*) FROM w_u)) FROM w_a a"
        ),
        TenancyIssueKind.JOIN,
    ),
    _error(
        _out(
            "SELECT tenant_id, id, sum(val) OVER w FROM w_a WINDOW w AS (PARTITION BY tenant_id ORDER BY id ROWS (SELECT count(*) FROM w_b) PRECEDING)"
        ),
        TenancyIssueKind.JOIN,
    ),
    Case(
        _out(
            "SELECT tenant_id, id, sum(val) OVER u FROM w_a WINDOW w AS (PARTITION BY tenant_id), u AS (w ORDER BY id)"
        )
    ),
    _warning(_out("SELECT h.tenant_id, u.id, 0 FROM w_heirs h JOIN w_u u ON u.id = h.u_id"), TenancyIssueKind.JOIN),
    _warning(_out("SELECT t.tenant_id, n.id, 0 FROM w_three t JOIN w_n n ON n.id = t.u_id"), TenancyIssueKind.JOIN),
    Case(_out("SELECT tenant_id, id, val FROM w_a WHERE tenant_id NOT IN (SELECT tenant_id FROM w_b WHERE val > 3)")),
    Case(_out("SELECT tenant_id, id, val FROM w_a WHERE (tenant_id, id) <> ALL (SELECT tenant_id, id FROM w_b)")),
    Case(
        _out(
            "SELECT a.tenant_id, a.id, b.id FROM w_a a JOIN w_b b ON (a.tenant_id = b.tenant_id AND a.id = b.id) OR (b.tenant_id = a.tenant_id AND a.ref = b.ref)"
        )
    ),
    _error(
        _out(
            "SELECT a.tenant_id, a.id, b.id FROM w_a a JOIN w_b b ON (a.tenant_id = b.tenant_id AND a.id = b.id) OR a.ref = b.ref"
        ),
        TenancyIssueKind.JOIN,
    ),
)
MOVING = (
    _error("UPDATE w_a SET tenant_id = 1", TenancyIssueKind.CROSS_WRITE),
    _error("UPDATE w_a SET tenant_id = ref", TenancyIssueKind.CROSS_WRITE),
    _error("UPDATE w_a SET (tenant_id, val) = (2, 3)", TenancyIssueKind.CROSS_WRITE),
    _error("UPDATE w_a SET (val, tenant_id) = ROW (3, ref)", TenancyIssueKind.CROSS_WRITE),
    _error("UPDATE w_a SET tenant_id = DEFAULT", TenancyIssueKind.CROSS_WRITE),
    _error("UPDATE w_a SET tenant_id = 2 WHERE tenant_id = 1", TenancyIssueKind.WRONG_SOURCE),
    _warning("UPDATE w_new SET tenant_id = 1", TenancyIssueKind.CROSS_WRITE),
    Case("UPDATE w_new SET tenant_id = 1 WHERE tenant_id IS NULL"),
    Case("UPDATE w_new SET tenant_id = id % 3 + 1 WHERE tenant_id IS NULL"),
    Case("UPDATE w_new SET tenant_id = coalesce(tenant_id, 1)"),
    Case("UPDATE w_a SET tenant_id = tenant_id"),
    Case("UPDATE w_new n SET tenant_id = u.tenant_id FROM w_u u WHERE u.tenant_id = 1 AND n.tenant_id IS NULL"),
)
_MERGE = "MERGE INTO r_out r USING w_a a ON r.tenant_id = a.tenant_id AND r.a = a.id"
_UPSERT = "INSERT INTO r_out SELECT tenant_id, id, val FROM w_a ON CONFLICT (tenant_id, a) DO UPDATE SET"
CONFLICTS = (
    Case(f"{_MERGE} WHEN MATCHED AND EXISTS (SELECT 1 FROM w_b b WHERE b.tenant_id = a.tenant_id) THEN DELETE"),
    _error(
        f"{_MERGE} WHEN MATCHED AND EXISTS (SELECT 1 FROM w_b b WHERE b.id = a.id) THEN DELETE", TenancyIssueKind.JOIN
    ),
    Case(f"{_UPSERT} b = (SELECT sum(val) FROM w_b WHERE w_b.tenant_id = excluded.tenant_id)"),
    _error(f"{_UPSERT} b = (SELECT sum(val) FROM w_b)", TenancyIssueKind.JOIN),
    _error(f"{_UPSERT} b = 1 WHERE EXISTS (SELECT 1 FROM w_b WHERE w_b.id = excluded.a)", TenancyIssueKind.JOIN),
    _error(f"{_UPSERT} tenant_id = 1", TenancyIssueKind.WRONG_SOURCE),
    Case(f"{_UPSERT} tenant_id = excluded.tenant_id, b = excluded.b"),
    _error(
        "INSERT INTO l_kinds VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET name = (SELECT max(val) FROM w_a)::text",
        TenancyIssueKind.GROUPING,
    ),
    _warning(
        "INSERT INTO r_key (tenant_id, a, b) SELECT tenant_id, id, val FROM w_u ON CONFLICT (a) DO UPDATE SET b = excluded.b WHERE r_key.tenant_id = excluded.tenant_id",
        TenancyIssueKind.CROSS_WRITE,
    ),
    _error(
        "WITH d AS (DELETE FROM l_kinds k USING w_a a WHERE a.id = k.id RETURNING a.val) INSERT INTO r_out SELECT 1, sum(val), 0 FROM d",
        TenancyIssueKind.GROUPING,
    ),
    _error(
        "WITH d AS (UPDATE w_a m SET val = 1 FROM w_b b WHERE b.tenant_id = m.tenant_id RETURNING b.id AS tenant_id) INSERT INTO r_out SELECT tenant_id, 0, 0 FROM d",
        TenancyIssueKind.WRONG_SOURCE,
    ),
    Case(
        "WITH d AS (DELETE FROM w_a RETURNING *) INSERT INTO r_out SELECT tenant_id, count(*), 0 FROM d GROUP BY tenant_id"
    ),
)
CASES = (
    *INSERTS,
    *CONSTANTS,
    *JOINS,
    *KEYS,
    *GROUPS,
    *SUBQUERIES,
    *SETS,
    *COMMON,
    *CHANGES,
    *MADE,
    *HIDDEN,
    *MOVING,
    *CONFLICTS,
)
