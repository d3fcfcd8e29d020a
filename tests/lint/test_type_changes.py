"""Whether ALTER COLUMN ... TYPE rewrites a table, and what it does to values, held against real servers."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from confiture.models.source import LocatedSource, RenderedSql, SourceFile
from confiture.sql.catalog.builder import CatalogBuilder
from confiture.sql.parse_tree import parse_rendered
from confiture.sql.tristate import Tristate
from confiture.sql.type_change_loss import ValueLoss, value_loss
from confiture.sql.type_changes import needs_rewrite
from tests.support.matrix import sample
from tests.support.servers import Server

SCHEMA = """
CREATE DOMAIN plain AS integer;
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE DOMAIN required AS integer NOT NULL;
CREATE DOMAIN short AS varchar(10);
CREATE DOMAIN label AS text;
CREATE TYPE stage AS ENUM ('placed', 'paid');
CREATE TYPE pair AS (a integer, b text);
"""
FUNCTION = """
CREATE FUNCTION rewritten(types text[]) RETURNS TABLE (old text, new text, made boolean) LANGUAGE plpgsql AS $$
DECLARE
    before oid;
BEGIN
    FOREACH old IN ARRAY types LOOP
        EXECUTE format('CREATE TABLE t (c %s)', old);
        before := pg_relation_filenode('t');
        FOREACH new IN ARRAY types LOOP
            BEGIN
                EXECUTE format('ALTER TABLE t ALTER COLUMN c TYPE %s', new);
                made := before <> pg_relation_filenode('t');
                RETURN NEXT;
                RAISE EXCEPTION 'undone';
            EXCEPTION WHEN OTHERS THEN
                NULL;
            END;
        END LOOP;
        DROP TABLE t;
    END LOOP;
END $$
"""
ALL = (
    """
smallint; integer; bigint; numeric; numeric(10,2); numeric(12,2); numeric(12,4); numeric(8,0); real; double precision;
text; character varying; character varying(10); character varying(20); character(10); character(20); bpchar; name;
"char"; date; timestamp without time zone; timestamp(3) without time zone; timestamp with time zone;
timestamp(3) with time zone; time without time zone; time(3) without time zone; time with time zone; interval;
interval(3); interval year to month; interval day to second; interval day to second(3); interval hour; bit(4); bit(8);
bit varying; bit varying(4); bit varying(8); cidr; inet; macaddr; json; jsonb; uuid; bytea; oid; regclass; money;
integer[]; bigint[]; character varying[]; character varying(10)[]; character varying(20)[]; text[]; int4range; boolean;
point; box; plain; positive; required; short; label; stage; pair
""".replace("\n", " ")
    .strip()
    .split("; ")
)


def builder() -> CatalogBuilder:
    made = CatalogBuilder()
    text = LocatedSource(text=SCHEMA, file=SourceFile(path="a.sql", text=SCHEMA))
    for statement in parse_rendered(RenderedSql(text=SCHEMA, source=text)):
        made.apply(statement)
    assert made.issues == []
    return made


@pytest.fixture
def connection(server: Server) -> Iterator[psycopg.Connection]:
    server.execute("DROP DATABASE IF EXISTS types WITH (FORCE)")
    server.execute("CREATE DATABASE types")
    with psycopg.connect(server.url("types"), autocommit=True) as connection:
        connection.execute((SCHEMA + FUNCTION).encode())
        yield connection
    server.execute("DROP DATABASE types WITH (FORCE)")


def rewritten(connection: psycopg.Connection, zone: str, types: list[str]) -> dict[tuple[str, str], bool]:
    """Which changes of type make a new file, of all pairs that PostgreSQL does not refuse."""
    connection.execute(f"SET TimeZone = '{zone}'".encode())
    rows = connection.execute(b"SELECT old, new, made FROM rewritten(%s)", [types]).fetchall()
    return {(old, new): made for old, new, made in rows}


def test_what_rewrites_is_known_of_all_pairs_of_types(connection: psycopg.Connection) -> None:
    catalog = builder().catalog
    files = rewritten(connection, "Europe/Zurich", ALL)
    real = {pair: Tristate.YES if made else Tristate.NO for pair, made in files.items()}
    in_utc = rewritten(connection, "UTC", [one for one in ALL if one.startswith("time")])
    real |= {pair: Tristate.UNKNOWN for pair, made in in_utc.items() if files[pair] != made}
    said = {pair: needs_rewrite("c", *pair, None, catalog) for pair in real}
    assert len(real) > 400
    assert {pair: (said[pair], real[pair]) for pair in real if said[pair] is not real[pair]} == {}


VALUES = {
    "smallint": ["32767"],
    "integer": ["-2147483648", "2147483647"],
    "bigint": ["9223372036854775807"],
    "numeric": ["1e30", "0.123456789012345678901234567890"],
    "numeric(10,2)": ["99999999.99"],
    "numeric(12,4)": ["99999999.9999"],
    "numeric(8,0)": ["-99999999"],
    "real": ["-1.1754944e-38", "1.25e30", "0.1"],
    "double precision": ["-2.2250738585072014e-308", "1.25e300", "0.1"],
    "text": ["x" * 70],
    "character varying(10)": ["x" * 10],
    "character varying(20)": ["x" * 20],
    "character varying": ["x" * 70],
    "character(10)": ["x" * 10],
    "name": ["x" * 63],
    "date": ["2025-06-01", "4713-02-03 BC"],
    "timestamp without time zone": ["2025-06-01 10:11:12.123456", "294276-12-31 23:59:59.123456"],
    "timestamp(3) without time zone": ["2025-06-01 10:11:12.123"],
    "timestamp with time zone": ["2025-06-01 10:11:12.123456+00"],
    "time without time zone": ["10:11:12.123456"],
    "time(3) without time zone": ["10:11:12.123"],
    "interval": ["1 year 2 mons 3 days 04:05:06.123456"],
    "interval(3)": ["1 year 2 mons 3 days 04:05:06.123"],
    "interval year to month": ["-100000000 years -11 mons"],
    "interval day to second": ["3 days 04:05:06.123456"],
    "short": ["x" * 10],
    "label": ["x" * 70],
}
"""The greatest and the finest that the types hold."""


def is_whole(connection: psycopg.Connection, old: str) -> bool:
    """Whether the value is the same as before when it becomes what it was."""
    try:
        with connection.transaction():
            connection.execute(f"ALTER TABLE t ALTER c TYPE {old} USING c::{old}".encode())
    except psycopg.Error:
        return False
    return connection.execute(b"SELECT c::text = kept::text FROM t").fetchone() == (True,)


def outcome(connection: psycopg.Connection, old: str, new: str) -> ValueLoss | str | None:
    """What a change of type does to the values; `refused` where there is no such change."""
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(f"CREATE TABLE t (c {old}, kept {old}); ALTER TABLE t ALTER c TYPE {new}".encode())
    except psycopg.Error:
        return "refused"
    worst: ValueLoss | None = None
    for value in VALUES[old]:
        try:
            with connection.transaction(force_rollback=True):
                connection.execute(f"CREATE TABLE t (c {old}, kept {old})".encode())
                connection.execute(b"INSERT INTO t VALUES (%s, %s)", [value, value])
                connection.execute(f"ALTER TABLE t ALTER c TYPE {new}".encode())
                worst = worst if is_whole(connection, old) else ValueLoss.TRUNCATES
        except psycopg.DataError:
            worst = worst or ValueLoss.FAILS
    return worst


def test_values_that_do_not_fit_are_cut_or_make_the_statement_fail(connection: psycopg.Connection) -> None:
    catalog = builder().catalog
    connection.execute(b"SET TimeZone = 'UTC'")
    wrong, lossy = {}, 0
    for old in VALUES:
        for new in sample(VALUES, old):
            real = outcome(connection, old, new)
            said = value_loss(old, new, catalog)
            lossy += real in (ValueLoss.TRUNCATES, ValueLoss.FAILS)
            # what is cut where it is fine may also be too great
            if real != "refused" and said != real and (said, real) != (ValueLoss.TRUNCATES, ValueLoss.FAILS):
                wrong[old, new] = said, real
    assert lossy > 20
    assert wrong == {}
