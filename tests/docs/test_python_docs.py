"""The examples of docs/python.md run as they stand, and type-check strictly."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.support.engine import migrate_down, migrate_up
from tests.support.paths import REPOSITORY

BLOCKS = re.findall(
    r"```python\n# (file: (?P<file>\S+)|run)\n(?P<code>.*?)```", (REPOSITORY / "docs/python.md").read_text(), re.DOTALL
)
FILES = {file: code for _, file, code in BLOCKS if file}
SCRIPTS = [code for _, file, code in BLOCKS if not file]

SCHEMAS = {
    "02_query_side/010_totals.sql": "CREATE TABLE r_totals (tenant_id int PRIMARY KEY, total numeric NOT NULL);",
    "02_query_side/020_customer_value.sql": (
        "CREATE TABLE r_customer_value (tenant_id int, customer_id bigint, total numeric, PRIMARY KEY (1, 2));"
    ).replace("(1, 2)", "(tenant_id, customer_id)"),
    "02_query_side/030_archive.sql": (
        "CREATE TABLE r_archive (id bigint PRIMARY KEY, tenant_id int NOT NULL, amount numeric NOT NULL);"
    ),
}
ORDERS = """
    ddl:
      - sql: |
          CREATE TABLE w_orders (id bigint PRIMARY KEY, tenant_id int NOT NULL, customer_id bigint NOT NULL,
                                 amount numeric NOT NULL);
          INSERT INTO w_orders SELECT n, n % 5, n % 50, n FROM generate_series(1, 20000) AS n
    down:
      - sql: DROP TABLE w_orders
"""


@pytest.fixture
def written(shop_18):
    shop_18.migration("001_orders", ORDERS)
    for name, text in SCHEMAS.items():
        shop_18.ddl(name, text)
    for name, code in FILES.items():
        shop_18.write(name, code)
    return shop_18


def test_the_migrations_go_up_down_and_up(written, database_18):
    assert len(FILES) == 4
    migrate_up(written).expect(0)
    first = database_18.dump()
    assert database_18.value("SELECT count(*) FROM r_archive") == 20_000
    assert database_18.value("SELECT sum(total) FROM r_customer_value") == database_18.value(
        "SELECT sum(total) FROM r_totals"
    )
    migrate_down(written, steps=4).expect(0)
    migrate_up(written).expect(0)
    assert database_18.dump() == first


@pytest.mark.parametrize("number", range(len(SCRIPTS)))
def test_the_programs_run(written, database_18, number):
    migrate_up(written, to="001").expect(0)
    code = f"DATABASE_URL = {database_18.url!r}\n{SCRIPTS[number]}"
    done = subprocess.run(
        [sys.executable, "-c", code] if number == 0 else [sys.executable, str(written.write("program.py", code))],
        cwd=written.root,
        env=written.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_they_pass_mypy_strict(written):
    names = [
        *FILES,
        *(written.write(f"program_{n}.py", f"DATABASE_URL = ''\n{code}").name for n, code in enumerate(SCRIPTS)),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--scripts-are-modules", "--no-incremental", *names],
        cwd=written.root,
        env={**written.environment, "MYPYPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
