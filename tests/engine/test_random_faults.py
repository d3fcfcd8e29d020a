"""Random migrations, failing and disturbed at random, end in the state of undisturbed ones."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.engine import history, migrate_up
from tests.support.faults import LOSE, Gone, at, reset
from tests.support.projects import Project
from tests.support.properties import examples
from tests.support.servers import Database

_KINDS = ("insert", "index", "unique", "drop", "vacuum", "reindex", "alter", "check", "file")


def statements(kind: str, number: int) -> str:
    log = f"INSERT INTO log VALUES ('{number}')"
    return {
        "insert": log,
        "index": f"CREATE INDEX CONCURRENTLY i{number} ON log (x)",
        "unique": f"{log}; CREATE UNIQUE INDEX CONCURRENTLY i{number} ON log (n); {log}",
        "drop": f"CREATE INDEX i{number} ON log (x); DROP INDEX CONCURRENTLY i{number}; {log}",
        "vacuum": f"{log}; VACUUM log",
        "reindex": f"CREATE INDEX i{number} ON log (x); REINDEX INDEX CONCURRENTLY i{number}",
        "alter": f"ALTER TABLE log ADD c{number} int DEFAULT {number}",
        "file": f"{log}; CREATE INDEX CONCURRENTLY i{number} ON log (x, length(x)); {log}; VACUUM log; {log}",
        "check": "",
    }[kind]


def lay_out(shop: Project, migrations: list[list[str]], failing: tuple[int, int] | None) -> None:
    number = 0
    for position, kinds in enumerate(migrations, start=1):
        lines = ["ddl:"]
        if position == 1:
            lines.append("  - sql: CREATE TABLE log (x text, n int GENERATED ALWAYS AS IDENTITY)")
        for place, kind in enumerate(kinds):
            number += 1
            if failing == (position, place):
                lines.append("  - sql: SELECT 1 / 0")
            if kind == "check":
                lines += ["  - check: SELECT count(*) >= 0 FROM log", "    expect: true"]
            elif kind == "file":
                shop.ddl(f"{number}.sql", statements(kind, number).replace("; ", ";\n"))
                lines.append(f"  - {number}.sql")
            else:
                lines += ["  - sql: |", f"      {statements(kind, number)}"]
        shop.migration(f"{position:03}_m", "\n".join(lines) + "\n")


def state(database: Database) -> tuple[object, ...]:
    return (
        database.rows("SELECT x FROM log ORDER BY x"),
        database.rows(
            "SELECT attname::text FROM pg_attribute WHERE attrelid = 'log'::regclass AND attnum > 0 ORDER BY 1"
        ),
        database.rows(
            "SELECT c.relname::text, i.indisvalid, pg_get_indexdef(c.oid) FROM pg_index i"
            " JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = 'log'::regclass ORDER BY 1"
        ),
        history(database),
        database.rows("SELECT version, segment, state FROM confiture.journal ORDER BY 1, 2"),
    )


@examples(20)
@given(
    migrations=st.lists(st.lists(st.sampled_from(_KINDS), min_size=1, max_size=4), min_size=1, max_size=3),
    failing=st.none() | st.tuples(st.integers(1, 3), st.integers(0, 3)),
    faults=st.lists(st.tuples(st.sampled_from(["gone", "lose", "interrupt"]), st.integers(1, 40)), max_size=3),
)
@example(migrations=[["file", "unique"], ["index"]], failing=(1, 1), faults=[("lose", 7), ("gone", 5)])
def test_random_migrations_end_as_undisturbed_ones(
    shop_18: Project,
    database_18: Database,
    migrations: list[list[str]],
    failing: tuple[int, int] | None,
    faults: list[tuple[str, int]],
) -> None:
    shop, database = shop_18, database_18
    for old in (shop.root / "migrations").iterdir():
        old.unlink()
    reset(database)
    lay_out(shop, migrations, None)
    migrate_up(shop).expect(0)
    undisturbed = state(database)
    reset(database)

    def gone() -> None:
        raise Gone

    def interrupt() -> None:
        raise KeyboardInterrupt

    def lose() -> None:
        database.execute(LOSE)

    actions = {"gone": gone, "lose": lose, "interrupt": interrupt}
    lay_out(shop, migrations, failing)
    for name, number in faults:
        try:
            ran = migrate_up(shop, at(number, actions[name]))
        except (Gone, KeyboardInterrupt):
            continue
        unfinished = [version for version, found in history(database) if found != "applied"]
        assert ran.code != 4 or not unfinished
        assert ran.code != 5 or unfinished or "committed" in ran.codes
    lay_out(shop, migrations, None)
    migrate_up(shop).expect(0)
    assert state(database) == undisturbed
