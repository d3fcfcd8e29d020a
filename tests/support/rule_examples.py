"""Lints the examples of rules, and runs them on real servers to see whether they do what their rule claims."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.rows import DictRow, dict_row

from confiture.core.dry_run.trace import Tracer
from confiture.errors import DiagnosticCollector, Span
from confiture.lint.engine.configuration import ActiveRule, default_active_rule
from confiture.lint.engine.context import LintTarget
from confiture.lint.engine.findings import apply_ignores, to_findings
from confiture.lint.engine.replay import LocatedViolation, MigrationReplay, SchemaReader, check_schema
from confiture.lint.registry import built_in_rules
from confiture.lint.rule import Example, ExpectedEffects, Group, Rule, SchemaRule
from confiture.lint.schema_after import check_schema_files, merge_catalogs
from confiture.models.findings import Finding
from confiture.models.migration import FileStep, MigrationFile, Phase
from confiture.models.plan import Direction, PlannedMigration, Segment, StepId, TransactionMode
from confiture.models.settings import DatabaseSettings, Settings, TenancySettings
from confiture.models.source import LocatedSource, NamedFile, SourceFile
from confiture.models.trace import LockMode
from confiture.plan.planner import Planner
from confiture.plan.rendering import render_verbatim
from confiture.sql.parsing import parse_statements
from tests.support.engine import wait_until

SETTINGS = Settings(
    root=Path("/"), environment="test", database=DatabaseSettings(), migrations=Path("/m"), schemas=Path("/s")
)
TENANCY = TenancySettings(tables=("w_*", "r_*"), exempt=("r_static_*",), is_set=True)
_BEFORE = "before.sql"
SETTINGS = Settings(
    root=Path(), environment="test", database=DatabaseSettings(), migrations=Path("m"), schemas=Path("s")
)
STEP = StepId(version="1", phase=Phase.DDL, number=1, part=1, name="s", segment=1, span=Span(path="m.yaml", line=1))


def source(path: str, text: str) -> LocatedSource:
    return LocatedSource(text=text, file=SourceFile(path=path, text=text))


def planned(version: str, path: str, text: str, *, is_template: bool = False) -> PlannedMigration:
    """A migration with one DDL file."""
    sql = source(path, text)
    named_file = NamedFile(file=sql.file)
    step = FileStep(sql=sql, is_template=is_template, named_file=named_file, span=Span(path=path, line=1), name=path)
    migration = MigrationFile(
        version=version, name="m", file=step.sql.file, span=step.span, phases={Phase.DDL: (step,)} if text else {}
    )
    return Planner(SETTINGS, {}, DiagnosticCollector()).plan(migration, Direction.UP)


def rules_for(rule: Rule, example: Example) -> tuple[ActiveRule, ...]:
    """All rules that are not optional, and the example's own, set as that wants."""
    others = [one for one in built_in_rules().values() if one.name != rule.name and not one.off_by_default]
    return (default_active_rule(rule, example.options), *map(default_active_rule, others))


def lint_example(rule: Rule, example: Example, version: int) -> tuple[Finding, ...]:
    """What lint finds in the SQL of an example, not in what is there before."""
    actives = rules_for(rule, example)
    settings = replace(SETTINGS, tenancy=TENANCY) if rule.group is Group.TENANCY else SETTINGS
    surroundings = LintTarget(settings=settings, postgres_version=version)
    replay = MigrationReplay(actives, surroundings)
    replay.apply(planned("0", _BEFORE, example.before))
    texts = {f"{number:03}.sql": text for number, text in enumerate(example.sql, 1)}
    plans = [planned(path[:3], path, text, is_template=example.is_template) for path, text in texts.items()]
    judged = [one for plan in plans for one in replay.check(plan)]
    ignores, catalog, schema = [*replay.ignores], replay.catalog, SchemaReader()
    if isinstance(rule, SchemaRule):
        for path, text in {_BEFORE: example.before, **texts}.items():
            schema.read(render_verbatim(source(path, text)))
        catalog = merge_catalogs(schema.catalog, catalog)
    judged += check_schema(actives, catalog, schema.catalog_issues, surroundings)
    if example.schema_files is not None:
        files = SchemaReader()
        files.read(render_verbatim(source("files.sql", example.schema_files)))
        judged += check_schema_files(files, replay, actives)
    assert [*replay.failures, *schema.failures] == []
    findings, _ = apply_ignores(to_findings(filter(_is_new, judged)), ignores, actives, built_in_rules())
    return findings


def _is_new(judged: LocatedViolation) -> bool:
    place = judged.violation.location
    return place is None or place.rendered.source.file.path != _BEFORE


@dataclass
class Seen:
    """What one transaction of an example did: the strongest lock on each relation, scans, rewrites, the error."""

    locks: dict[str, LockMode] = field(default_factory=dict)
    scans: set[str] = field(default_factory=set)
    rewrites: set[str] = field(default_factory=set)
    error: str | None = None
    message: str = ""

    def lock(self, relation: str, mode: LockMode) -> None:
        known = self.locks.get(relation)
        if known is None or mode.strength > known.strength:
            self.locks[relation] = mode

    def missing(self, claims: ExpectedEffects) -> list[str]:
        """What of the claims was not seen; for a lock, a stronger one counts as well."""
        return [
            *(
                f"{mode.sql} on {name} (it was {self.locks[name].sql if name in self.locks else 'not locked'})"
                for name, mode in claims.locks.items()
                if name not in self.locks or self.locks[name].strength < mode.strength
            ),
            *(f"a scan of {name}" for name in claims.scans if name not in self.scans),
            *(f"a rewrite of {name}" for name in claims.rewrites if name not in self.rewrites),
            *([f"error {claims.error} (it was {self.error})"] if claims.error and claims.error != self.error else []),
        ]

    def stronger(self, claims: ExpectedEffects) -> list[str]:
        """Locks that are stronger than the rule claims."""
        return [
            f"{self.locks[name].sql} on {name}, claimed is {mode.sql}"
            for name, mode in claims.locks.items()
            if name in self.locks and self.locks[name].strength > mode.strength
        ]


def run_example(url: str, example: Example, claims: ExpectedEffects) -> list[Seen]:
    """Runs an example as the runner of migrations would, and says what each transaction did until one failed."""
    options = "-c max_parallel_maintenance_workers=0 -c max_parallel_workers_per_gather=0"
    with psycopg.connect(url, autocommit=True, row_factory=dict_row, options=options) as connection:
        statements, _ = parse_statements(example.before)
        for statement in statements:
            connection.execute(statement.text.encode())
        seen: list[Seen] = []
        for number, text in enumerate(example.sql, 1):
            for segment in planned(str(number), f"{number}.sql", text).segments:
                connection.execute("DISCARD ALL")
                inside = segment.transaction_mode is TransactionMode.TRANSACTIONAL
                seen.append(_inside(connection, segment) if inside else _outside(connection, segment, url, claims))
                if seen[-1].error:
                    return seen
        return seen


def _inside(connection: psycopg.Connection[DictRow], segment: Segment) -> Seen:
    seen = Seen()
    tracer = Tracer(connection)
    try:
        with connection.transaction(), tracer.tracing():
            tracer.begin_segment()
            for step in segment.steps:
                for statement in step.statements:
                    connection.execute(statement.text.encode())
                    tracer.record_statement(STEP, statement, 0.0)
    except psycopg.Error as error:
        seen.error, seen.message = error.sqlstate, str(error)
    for trace in tracer.traces:
        for lock in trace.locks:
            seen.lock(lock.relation, lock.mode)
        seen.scans |= {scan.table for scan in trace.scans}
        seen.rewrites |= set(trace.rewrites)
    return seen


# the weakest mode that each waits for
_CONFLICTING = {
    LockMode.ACCESS_EXCLUSIVE: LockMode.ACCESS_SHARE,
    LockMode.EXCLUSIVE: LockMode.ROW_SHARE,
    LockMode.SHARE_ROW_EXCLUSIVE: LockMode.ROW_EXCLUSIVE,
    LockMode.SHARE: LockMode.ROW_EXCLUSIVE,
    LockMode.SHARE_UPDATE_EXCLUSIVE: LockMode.SHARE_UPDATE_EXCLUSIVE,
    LockMode.ROW_EXCLUSIVE: LockMode.SHARE,
    LockMode.ROW_SHARE: LockMode.EXCLUSIVE,
    LockMode.ACCESS_SHARE: LockMode.ACCESS_EXCLUSIVE,
}


def _outside(connection: psycopg.Connection[DictRow], segment: Segment, url: str, claims: ExpectedEffects) -> Seen:
    """Runs a statement that refuses transactions. Its locks show as waits for one that another session holds."""
    ((statement,),) = (step.statements for step in segment.steps)
    seen = Seen()
    before = _files(connection)

    def run() -> None:
        try:
            connection.execute(statement.text.encode())
        except psycopg.Error as error:
            seen.error, seen.message = error.sqlstate, str(error)

    worker = threading.Thread(target=run)
    pid = connection.info.backend_pid
    with psycopg.connect(url) as holder, psycopg.connect(url, autocommit=True) as looker:
        for relation, mode in claims.locks.items():
            held = sql.SQL("LOCK TABLE {} IN {} MODE")
            name = sql.Identifier(*relation.split("."))
            holder.execute(held.format(name, sql.SQL(_CONFLICTING[mode].sql)))
        worker.start()
        wait_until(lambda: not worker.is_alive() or _waits(looker, pid), "it neither ended nor waited")
        for relation, awaited in _awaited(looker, pid):
            seen.lock(relation, LockMode(awaited))
        holder.rollback()
        worker.join()
    after = _files(connection)
    seen.rewrites = {name for name, file in before.items() if name in after and after[name] != file}
    return seen


def _waits(looker: psycopg.Connection, pid: int) -> bool:
    query = "SELECT cardinality(pg_blocking_pids(%s)) > 0"
    return bool(looker.execute(query, [pid]).fetchone()[0])  # type: ignore[index]


def _awaited(looker: psycopg.Connection, pid: int) -> Sequence[tuple[str, str]]:
    query = (
        "SELECT relation::regclass::text, mode FROM pg_locks WHERE pid = %s AND locktype = 'relation' AND NOT granted"
    )
    return looker.execute(query, [pid]).fetchall()


def _files(connection: psycopg.Connection[DictRow]) -> Mapping[str, int]:
    query = (
        "SELECT oid::regclass::text AS name, pg_relation_filenode(oid) AS file FROM pg_class"
        " WHERE relkind IN ('r', 'm') AND relnamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema')"
    )
    return {row["name"]: row["file"] for row in connection.execute(query).fetchall()}


def versions_of(example: Example) -> Iterator[int]:
    """The versions that we have servers of, on which the example runs."""
    first, last = example.versions
    return (version for version in (18, 15) if first <= version <= (last or version))
