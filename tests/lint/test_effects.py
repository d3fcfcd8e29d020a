"""What is said of statements before they run, held against what real servers do.

The lock matrix (test_lock_matrix.py) and the statements in data/effects_*_statements.sql. Each statement runs on the
schema that its file is named for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import psycopg
import pytest
from psycopg.rows import dict_row

from confiture.core.db.connection import Connection
from confiture.core.dry_run.trace import Tracer
from confiture.errors import Span
from confiture.models.catalog import Catalog
from confiture.models.migration import Phase
from confiture.models.plan import StepId
from confiture.models.source import LocatedSource, RenderedSql, SourceFile
from confiture.models.trace import LockMode
from confiture.sql.catalog.builder import CatalogBuilder
from confiture.sql.effects import find_effects
from confiture.sql.parse_tree import ParsedStatement, parse_rendered
from confiture.sql.parsing import parse_statements
from tests.support.paths import DATA
from tests.support.servers import Server

STEP = StepId(version="1", phase=Phase.DDL, number=1, part=1, name="s", segment=1, span=Span(path="m.yaml", line=1))
_MODES = dict(zip(("AS", "RS", "RX", "SUX", "S", "SRX", "X", "AX"), LockMode, strict=True))

MORE = {
    "alter table users alter column created type timestamptz": "rewrites unless the session's time zone is UTC",
    "alter table t alter column ts type timestamptz": "rewrites unless the session's time zone is UTC",
    "alter table t alter column tz type timestamp": "rewrites unless the session's time zone is UTC",
    "alter table t add column z int default f()": "the planner folds this volatile function to a constant",
    "alter table t add column z int not null default f()": "the planner folds this volatile function to a constant",
    "alter table t set tablespace pg_default": "nobody knows that it is there already",
    "alter table all in tablespace pg_default set tablespace pg_default": "nobody knows what is in it",
    "alter table t set access method heap": "nobody knows that it is so already",
    "alter table ck1 set access method heap": "nobody knows that it is so already",
    "alter materialized view mt set tablespace pg_default": "nobody knows that it is there already",
    "alter table p add constraint u unique (id,k)": "in 15 the partitions can still be read",
    "alter table r attach partition r7 for values from ('2025-01-01') to ('2026-01-01')": "a proof not followed",
    "alter table r attach partition r2 default": "what the default partition is for is not followed",
    "alter table pf attach partition pf2 for values in (2)": "an index spared the scan of what is referred to",
    "alter table q attach partition qn for values in (2)": "an index spared the scan of what is referred to",
    "alter table t alter column par_id type bigint": "an index spared the scan of what is referred to",
    "alter table if exists nothere add column z int": "what the catalog lacks may be there all the same",
    "drop table if exists nothere, fk1": "what the catalog lacks may be there all the same",
    "drop rule if exists nor on t": "what the catalog lacks may be there all the same",
    "insert into t(id) values (1000)": "a NULL refers to no row",
    "delete from fk0 where id='zz'": "no row was found",
    "insert into c2 values (10000,1,2)": "only the partition of the row that is referred to",
    "update c2 set a=2,b=1 where id=1": "only the partition of the row that is referred to",
    "insert into p values (1001,1,'x')": "only the partition of the row",
    "insert into vp values (1000,1,'z')": "only the partition of the row",
    "update p set t='x' where k=1": "the plan leaves out partitions",
    "update p set k=2 where id=1 and k=1": "the plan leaves out partitions",
    "delete from p where id=-1": "the plan leaves out partitions, and no row was found",
    "delete from p where id=1 and k=1": "the plan leaves out partitions, and no row was found",
    "delete from par": "a rule does nothing instead",
    "delete from only par": "a rule does nothing instead",
    "create table x as select * from par where id<3": "an index serves a part of the rows",
    "select * from c where a=5 or a=6": "an index serves a condition other than equality",
    "select * from c join c2 on c.id=c2.a where c2.id=1": "an index serves the join",
    "update vt set a=1 where id=1": "an index serves the view",
    "select * from (select * from c2) q where q.id = 2": "an index serves the subquery",
    "select * from c tablesample system (10)": "only some pages are read",
    "insert into c3 select * from c2 on conflict do nothing": "no row is new, so none refers to another",
    "insert into c3 (id) values (0) on conflict (id) do update set a = excluded.a returning *": "a NULL refers to none",
    "merge into c3 using c2 on c3.id = c2.id when not matched then insert values (c2.id, 1, 1)": "no row is new",
    "update c3 set a = null": "a NULL refers to no row",
    "refresh materialized view ms": "it has no index that would be built",
    "alter table stor set tablespace pg_default, set (fillfactor = 70)": "nobody knows that it is there already",
    "alter index if exists nope set tablespace pg_default": "what the catalog lacks may be there all the same",
}
"""Statements of which more is said than was seen, and why: where the text does not tell, the worse is taken."""

UNKNOWN = {
    "do $$ begin update t set a=2 where id=1; end $$": "code is not read",
    "alter type comp add attribute y int cascade": "tables of a type are not known",
    "drop type comp cascade": "tables of a type are not known",
    "drop function imm(int) cascade": "indexes and defaults that call a function are not known",
    "drop index p_t": "which indexes of the partitions belong to it is not known",
    "drop index p_x": "which indexes of the partitions belong to it is not known",
    "alter table p drop constraint p_pkey cascade": "which indexes of the partitions belong to it is not known",
    "alter table t add column z int, alter column z set default nextval('t_seq')": "18 opens the sequence of a default",
    "select (select count(*) from ch) from t limit 1": "a LIMIT ends the scan",
    "insert into t(id) select nextval('t_seq')+1000000 from par limit 1": "a LIMIT ends the scan",
    "alter table ser alter column id type bigint": "the sequence of a default is opened",
    "insert into ser(x) values (1)": "which sequences defaults use is not followed",
    "delete from c using c2 where c.id=c2.id and c2.id=5": "the check of a foreign key scans where no index serves it",
}
"""Statements that do something which is not said, and why."""


@dataclass
class Did:
    """Locks by name, strongest mode; scans and rewrites of tables. Weak locks of indexes are left out."""

    locks: dict[str, LockMode] = field(default_factory=dict)
    scans: set[str] = field(default_factory=set)
    rewrites: set[str] = field(default_factory=set)

    def covers(self, other: Did) -> bool:
        return (
            self.scans >= other.scans
            and self.rewrites >= other.rewrites
            and all(
                name in self.locks and self.locks[name].strength >= mode.strength for name, mode in other.locks.items()
            )
        )


def statements_of(text: str) -> tuple[ParsedStatement, ...]:
    return parse_rendered(
        RenderedSql(text=text, source=LocatedSource(text=text, file=SourceFile(path="a.sql", text=text)))
    )


def catalog_of(fixture: str) -> Catalog:
    builder = CatalogBuilder()
    for statement in statements_of((DATA / fixture).read_text()):
        builder.apply(statement)
    assert [misfit.message for misfit in builder.issues] == []
    return builder.catalog


def said(sql: str, catalog: Catalog, version: int) -> Did:
    (statement,) = statements_of(sql)
    effects = find_effects(statement, catalog, version)
    indexes = set(catalog.index_owners)
    return Did(
        {str(name): mode for name, mode in effects.locks.items() if name not in indexes or is_strong(mode)},
        set(map(str, effects.scans)),
        set(map(str, effects.rewrites)),
    )


def is_strong(mode: LockMode) -> bool:
    return mode.strength > LockMode.ROW_EXCLUSIVE.strength


def empties(sql: str) -> bool:
    """TRUNCATE and ALTER SEQUENCE make new files, and look at them: no row is read or written."""
    return sql.startswith(("truncate", "alter sequence"))


def differences(cases: Mapping[str, Did], catalog: Catalog, version: int) -> list[tuple]:
    """What is said wrongly: other than what was seen, where no reason is given above."""
    found = []
    for sql, seen in cases.items():
        told = said(sql, catalog, version)
        if told != seen and not (sql in MORE and told.covers(seen)) and not (sql in UNKNOWN and not told.covers(seen)):
            found.append((sql, "said", told, "seen", seen))
    return found


@pytest.mark.parametrize("version", [15, 18])
def test_what_is_said_of_the_lock_matrix_was_measured(version: int) -> None:
    catalog = catalog_of("lock_matrix_fixture.sql")
    indexes = {str(name) for name in catalog.index_owners}
    cases = {}
    for row in json.loads((DATA / f"lock_matrix_{version}.json").read_text()):
        if row["error"]:
            continue
        locks = {
            name: max((_MODES[mode] for mode in modes), key=lambda m: m.strength)
            for name, modes in row["locks"].items()
        }
        seen = Did({name: mode for name, mode in locks.items() if name not in indexes or is_strong(mode)})
        if not empties(row["sql"]):
            seen.scans = {name for name, counts in row["seq_scans"].items() if counts[0]}
            seen.rewrites = set(row["rewrites"]) - indexes
        cases[row["sql"]] = seen
    assert len(cases) > 60
    assert differences(cases, catalog, version) == []


@pytest.fixture(scope="module", params=["server_18", "server_15"])
def version_and_url(request: pytest.FixtureRequest, uses_server: None) -> Iterator[tuple[int, str]]:
    server: Server = request.getfixturevalue(request.param)
    server.execute("DROP DATABASE IF EXISTS effects WITH (FORCE)")
    server.execute("CREATE DATABASE effects")
    yield server.version, server.url("effects")
    server.execute("DROP DATABASE effects WITH (FORCE)")


@pytest.mark.parametrize("schema", ["effects_tables", "effects_partitions"])
def test_what_is_said_of_statements_is_what_they_do(version_and_url: tuple[int, str], schema: str) -> None:
    version, url = version_and_url
    # rows read by parallel workers are counted apart
    options = "-c max_parallel_maintenance_workers=0 -c max_parallel_workers_per_gather=0"
    statements, _ = parse_statements((DATA / f"{schema}_statements.sql").read_text())
    cases = {}
    with psycopg.connect(url, autocommit=True, row_factory=dict_row, options=options) as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        connection.execute((DATA / f"{schema}.sql").read_bytes())
        for statement in statements:
            sql = statement.text.strip()
            seen = watch(connection, sql)
            if seen:
                cases[sql] = seen
    assert len(cases) > 0.7 * len(statements), "too many statements fail to show anything"
    assert differences(cases, catalog_of(f"{schema}.sql"), version) == []


def watch(connection: Connection, sql: str) -> Did | None:
    """What a statement does; None where it fails."""
    (statement,), _ = parse_statements(sql)
    tracer = Tracer(connection)
    try:
        with connection.transaction(force_rollback=True), tracer.tracing():
            tracer.begin_segment()
            connection.execute(sql.encode())
            tracer.record_statement(STEP, statement, 0.0)
    except psycopg.Error:
        return None
    (trace,) = tracer.traces
    seen = Did()
    indexes = {lock.relation for lock in trace.locks if "index" in lock.kind}
    for lock in trace.locks:
        if lock.relation not in indexes or is_strong(lock.mode):
            known = seen.locks.get(lock.relation, lock.mode)
            seen.locks[lock.relation] = max(known, lock.mode, key=lambda mode: mode.strength)
    if not empties(sql):
        seen.scans = {scan.table for scan in trace.scans}
        seen.rewrites = set(trace.rewrites) - indexes
    return seen


def test_the_built_in_functions_and_casts_are_those_of_the_server(server_18: Server) -> None:
    data = json.loads((DATA.parents[1] / "confiture/sql/built_in.json").read_text())
    with psycopg.connect(server_18.admin_url) as connection:
        functions = connection.execute(data["functions_query"].encode()).fetchall()
        casts = connection.execute(data["casts_query"].encode()).fetchall()
    volatile, others = " ".join(data["volatile"]).split(), " ".join(data["not_volatile"]).split()
    assert {name for name, is_volatile in functions if is_volatile} <= set(volatile)
    assert {name for name, is_volatile in functions if not is_volatile} <= set(others)
    assert {f"{source} -> {target}" for source, target in casts} <= set(data["binary_casts"])
