"""The catalog that DDL builds: the same as the one that a server has after it ran the same statements."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Iterable, Mapping
from random import Random
from typing import Any

import psycopg
import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st
from psycopg.rows import dict_row

from confiture.core.db.introspection import read_catalog
from confiture.models.catalog import Catalog, Constraint, ConstraintKind, Persistence, QualifiedName, Table
from confiture.models.source import LocatedSource, RenderedSql, SourceFile
from confiture.sql.catalog.builder import CatalogBuilder
from confiture.sql.parse_tree import ParsedStatement, parse_rendered
from tests.support.catalog_statements import MUTATIONS, Shop, mutated
from tests.support.paths import DATA
from tests.support.properties import seeds
from tests.support.servers import Database

SCENARIOS = dict(part.split("\n", 1) for part in (DATA / "catalog.sql").read_text().split("-- scenario: ")[1:])
ONLY_18 = {"columns", "constraints of 18", "partitions"}  # VIRTUAL; NOT ENFORCED; identity of partitions
TEXTS = {
    "body",
    "default",
    "expression",
    "expressions",
    "partition_bound",
    "partition_key",
    "predicate",
    "query",
    "using",
    "with_check",
}
NAMED = {"constraints", "indexes", "policies", "triggers"}
MISSING_OR_DUPLICATE = {"42P01", "42703", "42704", "42883", "3F000", "42P07", "42701", "42710", "42723", "42P06"}


def statements(sql: str) -> tuple[ParsedStatement, ...]:
    source = LocatedSource(text=sql, file=SourceFile(path="schemas/shop.sql", text=sql))
    return parse_rendered(RenderedSql(text=sql, source=source))


def apply(builder: CatalogBuilder, sql: str) -> frozenset[QualifiedName]:
    made: frozenset[QualifiedName] = frozenset()
    for statement in statements(sql):
        made |= builder.apply(statement)
    return made


def built(sql: str) -> CatalogBuilder:
    builder = CatalogBuilder()
    apply(builder, sql)
    return builder


def table(sql: str, name: str = "w_orders") -> Table:
    found = built(sql).catalog.table(None, name)
    assert found
    return found


def told(sql: str) -> list[str]:
    """What does not fit, by code, object and the word it stands at."""
    return [
        f"{one.code}: {one.object} at {re.split('[(),;]', sql[one.location.offset :])[0].strip()}"
        for one in built(sql).issues
    ]


# Both ways


def plain(value: object) -> object:
    """A value of the catalog to compare: texts of expressions only by whether they are there."""
    if not dataclasses.is_dataclass(value):
        return value
    fields: dict[str, object] = {}
    for field in dataclasses.fields(value):
        if not field.compare:
            continue
        found = getattr(value, field.name)
        if field.name in TEXTS:
            fields[field.name] = len(found) if isinstance(found, tuple) else found is not None
        elif field.name in NAMED:
            fields[field.name] = {one.name: plain(one) for one in found}
        elif field.name == "checks":
            fields[field.name] = [(name, proven) for name, _, proven in found]
        elif field.name == "relations" or (isinstance(value, Constraint) and value.kind is ConstraintKind.CHECK):
            fields[field.name] = sorted(found) if isinstance(found, tuple) else found
        elif isinstance(found, tuple) and found and dataclasses.is_dataclass(found[0]):
            fields[field.name] = [plain(one) for one in found]
        else:
            fields[field.name] = found
    return fields


def comparable(catalog: Catalog) -> Mapping[str, object]:
    ranges = {str(name) for name, one in catalog.types.items() if type(one).__name__ == "Range"}
    kinds = ("tables", "views", "sequences", "types", "functions")
    found = {
        f"{kind} {name}": plain(one)
        for kind in kinds
        for name, one in getattr(catalog, kind).items()
        if str(name) not in ranges and getattr(one, "language", None) != "internal"
    }
    found["schemas"] = set(catalog.schemas)
    found["indexes"] = dict(catalog.index_owners)
    found["grants"] = {
        dataclasses.replace(one, location=None)
        for one in catalog.grants
        if "(" not in one.privilege and one.privilege != "maintain" and one.object != "public"
    }
    return found


def assert_same(builder: CatalogBuilder, database: Database) -> None:
    with psycopg.connect(database.url, autocommit=True, row_factory=dict_row) as connection:
        live = read_catalog(connection)
    ours, theirs = comparable(builder.catalog), comparable(live)
    for key in sorted({*ours, *theirs}):
        assert ours.get(key) == theirs.get(key), key
    if database.server.version >= 18:
        assert not_nulls(builder.catalog) == live_not_nulls(database)


def not_nulls(catalog: Catalog) -> dict[str, str]:
    return {
        f"{one.name.schema}.{one.name.name}.{column.name}": column.not_null_constraint
        for one in catalog.tables.values()
        for column in one.columns
        if column.not_null_constraint
    }


def live_not_nulls(database: Database) -> dict[str, str]:
    rows = database.rows(
        "SELECT n.nspname || '.' || c.relname || '.' || a.attname, k.conname FROM pg_constraint k"
        " JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
        " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.conkey[1]"
        " WHERE k.contype = 'n' AND n.nspname NOT IN ('pg_catalog', 'information_schema')"
    )
    return dict(rows)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_is_that_of_the_server(scenario: str, database: Database) -> None:
    if database.server.version < 18 and scenario in ONLY_18:
        pytest.skip("written for 18")
    builder = CatalogBuilder()
    with database.connect() as connection:
        for statement in statements(SCENARIOS[scenario]):
            connection.execute(statement.text.encode())
            builder.apply(statement)
    assert [one.message for one in builder.issues] == []
    assert_same(builder, database)


@pytest.mark.property
@pytest.mark.parametrize("seed", seeds(8))
def test_is_that_of_the_server_after_any_statements(seed: int, database_18: Database) -> None:
    """What the server accepts fits; what it finds missing or made twice does not."""
    shop = Shop(Random(seed))
    builder, ran = built(shop.BEFORE), [shop.BEFORE]
    with database_18.connect() as connection:
        connection.execute(shop.BEFORE.encode())
        for number in range(40):
            statement = shop.create_table() if number < 5 else shop.statement(map(str, builder.catalog.tables))
            error = _error(connection, statement)
            if error is None:
                ran.append(statement)
                apply(builder, statement)
                assert [one.message for one in builder.issues] == [], statement
            elif shop.is_plain(error) and error.sqlstate in MISSING_OR_DUPLICATE:
                assert built(";".join([*ran, statement])).issues, f"{error}: {statement}"
    assert_same(builder, database_18)


def _error(connection: psycopg.Connection, statement: str) -> psycopg.Error | None:
    try:
        connection.execute(statement.encode())
    except psycopg.Error as error:
        return error
    return None


@given(random=st.randoms(use_true_random=False))
def test_takes_all_that_parses(random: Random) -> None:
    builder = CatalogBuilder()
    for _ in range(20):
        text = mutated(random, MUTATIONS)
        for statement in _parsed_or_nothing(text):
            builder.apply(statement)
    for one in builder.issues:
        assert one.location.span.line > 0


def _parsed_or_nothing(text: str) -> Iterable[ParsedStatement]:
    try:
        return statements(text)
    except Exception as error:
        if type(error).__name__ in ("PgQueryError", "DecodeError"):
            return ()
        raise


# What the server does not tell


def test_says_what_a_statement_made() -> None:
    builder = CatalogBuilder()
    made = apply(builder, "CREATE TABLE w_orders (id bigserial PRIMARY KEY, note text UNIQUE)")
    assert sorted(map(str, made)) == ["w_orders", "w_orders_id_seq", "w_orders_note_key", "w_orders_pkey"]
    assert apply(builder, "CREATE INDEX ON w_orders (note)") == {QualifiedName("public", "w_orders_note_idx")}
    assert apply(builder, "CREATE TABLE IF NOT EXISTS w_orders (id int)") == frozenset()
    assert apply(builder, "CREATE VIEW r_orders AS TABLE w_orders") == {QualifiedName("public", "r_orders")}
    assert apply(builder, "ALTER TABLE w_orders ADD COLUMN total numeric") == frozenset()


def test_places_columns_constraints_and_indexes() -> None:
    sql = (
        "CREATE TABLE w_ödön (\n  grün int,\n  id int PRIMARY KEY,\n  CHECK (id > 0)\n);\nCREATE INDEX ON w_ödön (grün)"
    )
    found = table(sql, "w_ödön")
    parts: tuple[Any, ...] = (*found.columns, *found.constraints, *found.indexes)
    places = [found.location, *(one.location for one in parts)]
    assert [(one.span.line, one.span.column) for one in places if one] == [
        (1, 14),
        (2, 3),
        (3, 3),
        (4, 3),
        (3, 10),
        (3, 10),
        (6, 1),
    ]


def test_a_temporary_table_hides_another() -> None:
    builder = built("CREATE TABLE w_orders (id int); CREATE TEMP TABLE w_orders (n int); DROP TABLE w_orders")
    assert [str(one.persistence) for one in builder.catalog.tables.values()] == [Persistence.PERMANENT]
    assert builder.issues == []


def test_a_file_begins_with_the_search_path_of_the_server() -> None:
    builder = built("CREATE SCHEMA sales; SET search_path = sales")
    builder.reset_session()
    apply(builder, "CREATE TABLE w_orders (id int)")
    assert list(builder.catalog.tables) == [QualifiedName("public", "w_orders")]


def test_not_null_is_proven_or_not() -> None:
    added = "CREATE TABLE w_orders (total int); ALTER TABLE w_orders ADD CONSTRAINT given NOT NULL total NOT VALID"
    column = table(added).columns[0]
    assert (column.not_null, column.not_null_constraint) == (False, "given")
    column = table(f"{added}; ALTER TABLE w_orders VALIDATE CONSTRAINT given").columns[0]
    assert (column.not_null, column.not_null_constraint) == (True, "given")


def test_expressions_are_text_and_follow_their_columns() -> None:
    found = table(
        "CREATE TABLE w_orders (total int CHECK (total > 0), twice int GENERATED ALWAYS AS (total * 2) STORED);"
        "CREATE INDEX ON w_orders ((total + 1)) WHERE total < 9;"
        "CREATE POLICY small ON w_orders USING (total < 5); ALTER TABLE w_orders RENAME total TO amount"
    )
    assert [one.expression for one in found.constraints] == ["amount > 0"]
    assert found.columns[1].default == "amount * 2"
    assert (found.indexes[0].expressions, found.indexes[0].predicate) == (("amount + 1",), "amount < 9")
    assert found.indexes[0].expression_columns == ("amount",)
    assert found.policies[0].using == "amount < 5"


def test_functions_may_be_called_by_everyone_until_that_is_revoked() -> None:
    sql = "CREATE FUNCTION pay() RETURNS int LANGUAGE sql AS 'SELECT 1';"
    (function,) = built(sql).catalog.functions.values()
    assert function.public_execute
    (function,) = built(f"{sql} REVOKE ALL ON FUNCTION pay() FROM PUBLIC").catalog.functions.values()
    assert not function.public_execute


def test_privileges_on_columns_and_by_default() -> None:
    sql = (
        "CREATE TABLE w_orders (id int, email text); GRANT SELECT (email), INSERT ON w_orders TO PUBLIC;"
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO reader; CREATE TABLE w_items (id int);"
        "ALTER TABLE w_orders RENAME TO w_sales"
    )
    found = sorted(f"{one.object} {one.grantee} {one.privilege}" for one in built(sql).catalog.grants)
    assert found == ["w_items reader select", "w_sales public insert", "w_sales public select (email)"]


# Misfits


def test_made_twice() -> None:
    sql = "CREATE TABLE w_orders (id int);\nCREATE TABLE w_orders (id int)"
    (found,) = built(sql).issues
    assert (found.code, found.object, found.message) == (
        "duplicate-object",
        "w_orders",
        "relation w_orders already exists",
    )
    assert (found.location.span.line, found.first and found.first.span.line) == (2, 1)


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("CREATE TABLE w_orders (customer int REFERENCES w_customers)", "w_customers at w_customers"),
        ("ALTER TABLE w_orders ADD total int", "w_orders at w_orders ADD total int"),
        ("CREATE INDEX ON w_orders (id)", "w_orders at w_orders"),
        ("COMMENT ON TABLE w_orders IS 'all'", "w_orders at COMMENT ON TABLE w_orders IS 'all'"),
        ("DROP TABLE w_orders", "w_orders at DROP TABLE w_orders"),
        ("CREATE TABLE w_orders (id int, UNIQUE (no))", "w_orders.no at UNIQUE"),
        ("CREATE TABLE w_orders (state order_state)", "order_state at order_state"),
        ("CREATE TABLE w_orders (at citext)", "citext at citext"),
        ("CREATE TABLE sales.w_orders (id int)", "sales at sales.w_orders"),
        ("CREATE VIEW r_orders AS SELECT * FROM w_orders", "w_orders at w_orders"),
        ("CREATE MATERIALIZED VIEW r_orders AS SELECT * FROM w_orders", "w_orders at w_orders"),
    ],
)
def test_named_and_not_there(sql: str, found: str) -> None:
    assert told(sql) == [f"missing-object: {found}"]


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE IF EXISTS w_orders; ALTER TABLE IF EXISTS w_orders ADD id int; DROP TYPE IF EXISTS a, b",
        "CREATE VIEW r_locks AS SELECT * FROM pg_locks JOIN pg_catalog.pg_class ON true",
        "CREATE VIEW r_tables AS SELECT * FROM information_schema.tables",
        "CREATE VIEW r_count AS WITH counted AS (SELECT 1) SELECT * FROM counted",
        "CREATE EXTENSION citext; CREATE TABLE w_orders (a citext, b citext[])",
        "CREATE SCHEMA extensions; CREATE EXTENSION citext SCHEMA extensions; CREATE TABLE w_orders (a citext)",
        "CREATE EXTENSION postgis; CREATE TABLE w_shops (at geometry(Point, 4326)); DROP TABLE spatial_ref_sys",
        "CREATE TABLE w_orders (id int); CREATE TRIGGER t BEFORE UPDATE ON w_orders FOR EACH ROW"
        " EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "CREATE TABLE w_orders (id int PRIMARY KEY, parent int REFERENCES w_orders)",
        "CREATE TABLE w_orders (a int, b _int4, c pg_catalog.int4[])",
        "CREATE TABLE w_orders (id int); ALTER TABLE w_orders ADD UNIQUE (no), ADD COLUMN no int",
        "CREATE TABLE w_orders (id int); ALTER TABLE w_orders DROP COLUMN id, ADD COLUMN id bigint",
        "SELECT pg_catalog.set_config('search_path', '', false); CREATE TABLE public.w_orders (id int);"
        " SELECT setval('x', 1), count(*) FROM public.w_orders",
        "CREATE TABLE w_orders (id int); SELECT id INTO w_copies FROM w_orders; DROP TABLE w_copies",
        "CREATE TABLE w_days AS SELECT * FROM generate_series(1, 2); CREATE TABLE w_more (LIKE w_days);"
        " CREATE INDEX ON w_days (day); COMMENT ON COLUMN w_more.day IS 'one'; ALTER TABLE w_more DROP COLUMN day",
    ],
)
def test_fits(sql: str) -> None:
    assert told(sql) == []


IDIOM = "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_type) THEN CREATE TYPE mood AS ENUM ('sad'); END IF; END $$"


def test_reads_what_a_block_makes() -> None:
    builder = built(f"{IDIOM}; {IDIOM}; CREATE TABLE w_orders (mood mood)")
    assert builder.issues == []
    assert list(builder.catalog.types) == [QualifiedName("public", "mood")]
    builder = built("DO $$ BEGIN EXECUTE 'CREATE TABLE w_orders (id int)'; END $$; DROP TABLE w_orders")
    assert builder.issues == []


def test_nothing_is_missing_after_what_cannot_be_seen() -> None:
    block = "DO $$ BEGIN EXECUTE format('CREATE TABLE %I (id int)', 'w_orders'); END $$"
    assert [one.code for one in built(f"{block}; ALTER TABLE w_orders ADD total int").issues] == ["opaque"]
    assert [one.code for one in built("SELECT create_hypertable('w_orders', 'at')").issues] == ["opaque"]


def test_functions_that_change_nothing_are_not_opaque() -> None:
    function = "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS 'BEGIN {} RETURN 1; END'; SELECT f()"
    assert built(function.format("")).issues == []
    assert [one.code for one in built(function.format("EXECUTE x;")).issues] == ["opaque"]


# Costs


def test_keeps_no_trees() -> None:
    builder = CatalogBuilder()
    for scenario in SCENARIOS.values():
        apply(builder, scenario)
    seen: set[int] = set()
    waiting: list[object] = [vars(builder)]
    while waiting:
        one = waiting.pop()
        assert not isinstance(one, (Message, ParsedStatement))
        if id(one) in seen or isinstance(one, (str, type)):
            continue
        seen.add(id(one))
        waiting += _below(one)
    assert len(seen) > 1000


def _below(one: object) -> Iterable[object]:
    if isinstance(one, Mapping):
        return [*one, *one.values()]
    if isinstance(one, (list, tuple, set, frozenset)):
        return list(one)
    if dataclasses.is_dataclass(one):
        return [getattr(one, field.name) for field in dataclasses.fields(one)]
    return list(vars(one).values()) if hasattr(one, "__dict__") and not callable(one) else []


def test_ten_times_the_statements_take_ten_times_the_work() -> None:
    assert _calls(300) < 10.5 * _calls(30)


def _calls(tables: int) -> int:
    """How many functions are called to build, and to drop, a number of tables that refer to each other."""
    text = "CREATE TABLE t0 (id bigserial PRIMARY KEY);" + "".join(
        f"CREATE TABLE t{n} (id bigserial PRIMARY KEY, at date NOT NULL, up bigint REFERENCES t{n - 1} CHECK (up > 0));"
        f"CREATE INDEX ON t{n} (up); COMMENT ON TABLE t{n} IS 'one'; ALTER TABLE t{n} ADD UNIQUE (up);"
        f"CREATE VIEW v{n} AS SELECT * FROM t{n}; ALTER TABLE t{n} RENAME COLUMN at TO made;"
        f"CREATE FUNCTION f{n}(t{n}) RETURNS int LANGUAGE sql AS 'SELECT 1'; GRANT SELECT ON t{n} TO reader;"
        for n in range(1, tables)
    )
    text += "".join(f"DROP TABLE t{n} CASCADE;" for n in range(tables - 1))
    found = statements(text)
    builder = CatalogBuilder()
    count = 0

    def counted(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(counted)
    try:
        for statement in found:
            builder.apply(statement)
    finally:
        sys.setprofile(None)
    assert builder.issues == []
    return count
