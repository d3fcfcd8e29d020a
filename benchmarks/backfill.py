"""How long a batched backfill takes beside the one statement that does the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import psycopg

from benchmarks.bench import Bench
from benchmarks.results import Result, Row, rows_of
from benchmarks.timing import Command, CommandFailed, Contender, Sample, in_turns

CUSTOMERS = 200_000
ORDERS_EACH = 10
_SMALLER = 10
_PSQL = "psql, one INSERT ... SELECT"
_ONE, _TWO = "confiture, 1 worker", "confiture, 2 workers"
_CAPTURING = "confiture, 2 workers, on_writes: capture"
_IDLE = "confiture, 1 worker, nothing to fill"
_LESS = ", less the empty run"
_SMALL = f"confiture, 1 worker, {CUSTOMERS * ORDERS_EACH // _SMALLER:,} rows"
_QUERY = """\
INSERT INTO r_totals (tenant_id, customer_id, orders, total)
SELECT c.tenant_id, c.id, count(o.id), coalesce(sum(o.amount), 0)
FROM w_customers c
LEFT JOIN w_orders o ON o.tenant_id = c.tenant_id AND o.customer_id = c.id
{where}GROUP BY c.tenant_id, c.id"""
DIFFERENT = """
    WITH made AS (
        SELECT c.tenant_id, c.id, count(o.id) AS orders, coalesce(sum(o.amount), 0) AS total
        FROM w_customers c LEFT JOIN w_orders o ON o.tenant_id = c.tenant_id AND o.customer_id = c.id
        GROUP BY 1, 2
    ), found AS (SELECT tenant_id, customer_id, orders, total FROM r_totals)
    SELECT count(*) FROM (
        (SELECT * FROM made EXCEPT ALL SELECT * FROM found)
        UNION ALL (SELECT * FROM found EXCEPT ALL SELECT * FROM made)
    ) AS x
"""
_AGAIN = "TRUNCATE r_totals; DROP SCHEMA IF EXISTS confiture CASCADE; CHECKPOINT"


def run(bench: Bench) -> Result:
    """2M orders into a read model of 200,000 rows; both sides with the same work_mem."""
    sizes = {"backfill": CUSTOMERS, "backfill_small": CUSTOMERS // _SMALLER, "backfill_empty": 0}
    for name, customers in sizes.items():
        make_shop(bench, name, customers)
    one_statement = bench.file("one_statement.sql", _QUERY.format(where=""))
    contenders = [
        _contender(bench, _PSQL, bench.server.psql_command("backfill", "-f", one_statement)),
        _contender(bench, _ONE, _up(bench, "backfill", 1, "ignore")),
        _contender(bench, _TWO, _up(bench, "backfill", 2, "ignore")),
        _contender(bench, _CAPTURING, _up(bench, "backfill", 2, "capture")),
        _contender(bench, _SMALL, _up(bench, "backfill_small", 1, "ignore"), "backfill_small"),
        _contender(bench, _IDLE, _up(bench, "backfill_empty", 1, "ignore"), "backfill_empty"),
    ]
    runs = bench.runs(5)
    samples: dict[str, Sample] = in_turns(contenders, runs)
    targets = {_ONE: "at most 1.25 times", _TWO: "under 1", _SMALL: f"1 / {_SMALLER} of 1 worker"}
    less = [
        Row(name=f"{name}{_LESS}", sample=samples[name].minus(samples[_IDLE]), target=targets.get(name, ""))
        for name in (_ONE, _TWO, _CAPTURING, _SMALL)
    ]
    return Result(
        name="backfill",
        title=f"A backfill: {CUSTOMERS * ORDERS_EACH:,} rows into a read model of {CUSTOMERS:,}",
        how=(
            f"{runs} rounds; whole processes, confiture's start and the tables that it makes for itself included; "
            "work_mem 128 MB on both sides; batches begin at 10,000 rows; the target is emptied before each run and "
            "compared with its defining query after it; the bars are for the fill, less what nothing to fill takes"
        ),
        baseline=_PSQL,
        rows=(*rows_of(samples, {}), *less),
        shows_memory=True,
    )


def make_shop(bench: Bench, database: str, customers: int) -> None:
    """Tenants of very different sizes; each customer has as many orders, which lie in the order of their time."""
    bench.server.create_anew(database)
    with psycopg.connect(bench.server.url(database), autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {database} SET work_mem = '128MB'".encode())
        connection.execute(
            f"""
            CREATE TABLE w_customers (tenant_id int, id int, name text NOT NULL, PRIMARY KEY (tenant_id, id));
            CREATE TABLE w_orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, tenant_id int NOT NULL,
                                   customer_id int NOT NULL, amount numeric(10,2) NOT NULL);
            CREATE TABLE r_totals (tenant_id int, customer_id int, orders bigint NOT NULL, total numeric NOT NULL,
                                   PRIMARY KEY (tenant_id, customer_id));
            INSERT INTO w_customers SELECT 1 + floor(100 * power(n::float8 / {customers + 1}, 3)), n, 'customer ' || n
            FROM generate_series(1, {customers}) AS n;
            INSERT INTO w_orders (tenant_id, customer_id, amount)
            SELECT c.tenant_id, c.id, (c.id % 9000) / 100.0 FROM generate_series(1, {ORDERS_EACH}) AS n, w_customers c;
            CREATE INDEX ON w_orders (tenant_id, customer_id);
            """.encode()
        )
        connection.execute("VACUUM (ANALYZE) w_customers, w_orders")


def project(bench: Bench, name: str, options: Sequence[str]) -> Path:
    """A project whose one migration is the backfill."""
    folder = bench.server.folder / name
    (folder / "migrations").mkdir(parents=True)
    (folder / "confiture.yaml").write_text("migrations: migrations\n")
    query = "".join(f"        {line}\n" for line in _QUERY.format(where="WHERE {{ batch }}\n").splitlines())
    lines = "".join(f"      {line}\n" for line in options)
    (folder / "migrations" / "001_fill.yaml").write_text(
        "after_ddl:\n  - name: fill\n    backfill:\n      into: r_totals\n      from: w_customers\n      alias: c\n"
        f"      captures: {{w_orders: [tenant_id, customer_id]}}\n{lines}      sql: |\n{query}"
    )
    return folder


def _up(bench: Bench, database: str, workers: int, on_writes: str) -> Command:
    folder = project(bench, f"{database}_{workers}_{on_writes}", [f"workers: {workers}", f"on_writes: {on_writes}"])
    return bench.confiture.up(folder, bench.server.socket, database)


def _contender(bench: Bench, name: str, command: Command, database: str = "backfill") -> Contender:
    def prepare() -> None:
        with psycopg.connect(bench.server.url(database), autocommit=True) as connection:
            for statement in _AGAIN.split(";"):
                connection.execute(statement.encode())

    def verify() -> None:
        with psycopg.connect(bench.server.url(database)) as connection:
            row = connection.execute(DIFFERENT.encode()).fetchone()
        if row is None or row[0]:
            raise CommandFailed(f"{row} rows differ from the defining query")

    return Contender(name=name, command=command, prepare=prepare, verify=verify)
