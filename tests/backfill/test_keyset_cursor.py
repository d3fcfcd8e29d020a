"""Walking over a table by its key: each row in exactly one piece."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql
from psycopg.rows import dict_row

from confiture.core.backfill.batch_key import BatchKey, KeyColumn
from confiture.core.backfill.keyset_cursor import CursorPosition, KeysetCursor, find_last_key, position_after
from confiture.models.catalog import QualifiedName

_TYPES = {
    "bigint": st.integers(-3, 40),
    "text": st.text(alphabet="aAbé ~'\\%", max_size=3),
    "numeric": st.decimals(0, 3, places=1).map(str) | st.sampled_from(["1", "1.0", "1.00", "2.50"]),
    "date": st.dates().map(str),
    "uuid": st.uuids().map(str),
    "timestamp with time zone": st.datetimes().map(lambda moment: f"{moment} UTC"),
}


@st.composite
def tables(draw) -> tuple[list[str], list[tuple[str, ...]]]:
    """Types of the key's columns, and rows: some tenants huge, most tiny, the leading columns full of duplicates."""
    types = draw(st.lists(st.sampled_from(sorted(_TYPES)), min_size=1, max_size=3))
    pools = [
        draw(st.lists(_TYPES[type_], min_size=1, max_size=4 if n + 1 < len(types) else 30))
        for n, type_ in enumerate(types)
    ]
    rows = draw(st.lists(st.tuples(*map(st.sampled_from, pools)), max_size=60))
    huge = draw(st.integers(0, 40))
    rows += (
        [(*rows[0][:-1], value) for value in draw(st.lists(_TYPES[types[-1]], min_size=huge, max_size=huge))]
        if rows
        else []
    )
    return types, [tuple(map(str, row)) for row in rows]


def _walked(connection, key: BatchKey, position: CursorPosition, end, rows: int) -> list[int]:
    walk = KeysetCursor(connection, key, end)
    seen: list[int] = []
    here: CursorPosition | None = position
    while here is not None and (stretch := walk.next_chunk(here, rows)) is not None:
        query = sql.SQL("SELECT n FROM {} WHERE {}").format(key.from_clause, key.predicate(stretch.key_range))
        found = [row["n"] for row in connection.execute(query)]
        seen += found
        here = stretch.next_position
    return seen


@given(table=tables(), rows=st.integers(1, 12), cut=st.integers(0, 99))
def test_the_pieces_cover_each_row_exactly_once(database_18, table, rows, cut):
    types, values = table
    columns = tuple(KeyColumn(name=f"K{n}", type=type_) for n, type_ in enumerate(types))
    key = BatchKey(table=QualifiedName("public", "Source"), alias="s", columns=columns)
    with database_18.connect(row_factory=dict_row) as connection:
        connection.execute("SET timezone = 'UTC'")
        names = ", ".join(f'"K{n}"' for n in range(len(types)))
        fields = ", ".join(f'"K{n}" {type_} NOT NULL' for n, type_ in enumerate(types))
        connection.execute(
            f'DROP TABLE IF EXISTS "Source"; CREATE TABLE "Source" (n integer, {fields});'
            f' CREATE INDEX ON "Source" ({names})'
        )
        with connection.cursor() as cursor:
            marks = ", ".join(f"%s::{type_}" for type_ in types)
            cursor.executemany(
                f'INSERT INTO "Source" VALUES (%s, {marks})', [(n, *row) for n, row in enumerate(values)]
            )
        end = find_last_key(connection, key)
        if end is None:
            assert not values
            return
        assert Counter(_walked(connection, key, CursorPosition(), end, rows)) == Counter(range(len(values)))
        texts = ", ".join(f'"K{n}"::text' for n in range(len(types)))
        skipped = cut % len(values)
        query = f'SELECT ARRAY[{texts}] AS key FROM "Source" ORDER BY {names} OFFSET {skipped} LIMIT 1'
        middle = tuple(connection.execute(query).fetchone()["key"])
        first = _walked(connection, key, CursorPosition(), middle, rows)
        second = _walked(connection, key, position_after(connection, key, middle, end), end, rows)
        assert Counter(first + second) == Counter(range(len(values)))
