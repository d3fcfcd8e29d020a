"""What other programs and other versions of this one read: it stays, whatever classes and messages are called."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from confiture import __version__
from confiture.core.db.history_rows import texts_to_row
from confiture.core.db.queries import FORMAT, history_schema_sql
from confiture.core.schema_facts.cache import CachedSchema, SchemaFactsCache, cache_key
from confiture.errors import Diagnostic, Span
from confiture.files.cache import CacheFiles
from confiture.files.predictions import PredictionStore
from confiture.files.settings import SettingsOverrides, load_settings
from confiture.models import events
from confiture.models.events import Event, Outcome, Waiter
from confiture.models.findings import Finding
from confiture.models.migration import Phase
from confiture.models.plan import Direction, StepId
from confiture.models.reconcile_results import Difference, DifferenceKind, Differences, ReconcileResult, SkippedColumn
from confiture.models.schema_facts import SchemaFacts, SchemaObject
from confiture.models.tenancy_proofs import (
    IsolationProof,
    IsolationReport,
    IsolationVerdict,
    ProvedStatement,
    TenantLeak,
    TenantLeakKind,
    TenantSample,
)
from confiture.models.trace import (
    DryRunWarning,
    Estimate,
    LockMode,
    LockTrace,
    StatementTrace,
    TableRows,
    TableScan,
)
from confiture.output.json.events import EVENT_NAMES_AND_FIELDS, event_document
from confiture.output.json.objects import reconcile_result_object
from confiture.plan.checksums import segment_fingerprint
from confiture.plan.project import load_project
from confiture.plan.texts import collect_texts
from tests.support.make_fixture import documents
from tests.support.paths import FIXTURES
from tests.support.plans import load
from tests.support.projects import Project
from tests.support.servers import Database

FIXTURE = FIXTURES / "954dc89"
# for people: it may be reworded at any time
_TEXTS = {
    "message",
    "hint",
    "effect",
    "summary",
    "detail",
    "note",
    "notes",
    "reason",
    "how",
    "why",
    "text",
    "body",
    "description",
}
# made of such texts, or of how fast this machine is
_VARYING = {"fingerprint", "confiture/v1", "runner", "database", "batches", "source_rows", "written_rows", "batch_rows"}
_TIME = re.compile(r"^\d{4}-\d\d-\d\dT[\d:.]+(\+00:00|Z)$")
_UUID = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")


@dataclass(frozen=True)
class _Shop:
    """A copy of the fixture's project, on today's program."""

    project: Project
    database: Database

    @property
    def root(self) -> Path:
        return self.project.root

    def run(self, command: str) -> str:
        return self.project.run(*shlex.split(command), expect=None).out

    def start(self, command: str) -> subprocess.Popen[str]:
        return self.project.start(*shlex.split(command))

    def execute(self, statement: str) -> None:
        self.database.execute(statement)


def _form(value: Any, key: str = "") -> Any:
    """A value without what differs from run to run, and without texts that people read."""
    if isinstance(value, dict):
        return {name: _form(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return ["text"] * bool(value) if key in _TEXTS else [_form(inner) for inner in value]
    if value is None or isinstance(value, bool):
        return value
    if key in _TEXTS | _VARYING:
        return type(value).__name__
    # the number of rules grows
    if isinstance(value, float) or (isinstance(value, int) and key.endswith(("_ms", "_bytes", "_percent", "rules"))):
        return "number"
    if isinstance(value, str):
        if value in (__version__, "0.1.0"):
            return "version"
        return "time" if _TIME.match(value) else "uuid" if _UUID.match(value) else value
    return value


def _parsed(path: str, text: str) -> Any:
    if not path.endswith(".jsonl"):
        return _form(json.loads(text))
    lines = [_form(json.loads(line)) for line in text.splitlines()]
    # how often a backfill tells how far it is depends on how fast it is; a note may come at any time
    return [line for line in lines if line["event"] not in ("backfill_progressed", "noted")]


def _lost(former: Any, today: Any, place: str) -> Iterator[str]:
    """What a former document has and today's has not, or has otherwise. New keys and notes may come at any time."""
    if place.endswith(".notes") and former == today[: len(former)]:
        return
    if isinstance(former, dict) and isinstance(today, dict):
        for key, value in former.items():
            yield from _lost(value, today[key], f"{place}.{key}") if key in today else [f"{place}.{key} is gone"]
    elif isinstance(former, list) and isinstance(today, list) and len(former) == len(today):
        for number, pair in enumerate(zip(former, today, strict=True)):
            yield from _lost(*pair, f"{place}[{number}]")
    elif former != today:
        yield f"{place}: {former!r} became {today!r}"


def test_documents_and_events_are_as_before(project: Project, database_18: Database) -> None:
    shutil.copytree(FIXTURE / "project", project.root, dirs_exist_ok=True)
    project.environ["DATABASE_URL"] = database_18.url
    lost: list[str] = []
    for path, text in documents(_Shop(project, database_18)):
        # read, but not written any more; tests/engine/test_former_state.py reads them
        if path not in ("predictions.json", "confiture-baseline.json"):
            former = (FIXTURE / path).read_text(encoding="utf-8")
            lost += _lost(_parsed(path, former), _parsed(path, text), path)
    assert not lost, "\n".join(lost)


_SPAN = Span(path="migrations/007.yaml", line=8, column=9)
_STEP = StepId(version="007", phase=Phase.AFTER_DDL, number=2, part=3, name="the step", segment=4, span=_SPAN)
_WAITER = Waiter(
    pid=41,
    usename="the user",
    application_name="the app",
    query="the query",
    mode="ShareLock",
    target="t",
    waited_ms=1.5,
)
_LOCK = LockTrace(
    relation="w_a",
    kind="table",
    mode=LockMode.ACCESS_EXCLUSIVE,
    acquired_ms=2.5,
    released_ms=4.5,
    real_mode=LockMode.SHARE_UPDATE_EXCLUSIVE,
    is_inferred=True,
)
_STATEMENT = StatementTrace(
    step=_STEP,
    number=5,
    text="the text",
    started_ms=6.5,
    duration_ms=7.5,
    rows=(TableRows(table="w_b", inserted=1, updated=2, deleted=3),),
    locks=(_LOCK,),
    rewrites=("w_c",),
    scans=(TableScan(table="w_d", scans=4, rows=5, is_lower_bound=True),),
    indexes_built=("i",),
    wal_bytes=8,
    temp_bytes=9,
    waited_ms=10.5,
    notices=("the notice",),
    original_sql="as written",
)
_WARNING = DryRunWarning(
    code="the-code",
    message="the message",
    hint="the hint",
    table="w_e",
    measured_ms=11.5,
    span=_SPAN,
    statement="the statement",
    rule="the_rule",
    remedy="the remedy",
)
_PROOF = IsolationProof(
    verdict=IsolationVerdict.MIXED,
    reason="the reason",
    hint="the hint",
    sample=TenantSample(tenants=("7",), total=12, method="the way"),
    rows=13,
    compared_columns=("a",),
    skipped_columns=(SkippedColumn(column="b", reason="why not"),),
    proved_parts=("an action",),
    leaks=(TenantLeak(tenant="7", kind=TenantLeakKind.FOREIGN, rows=14, first_rows=({"a": None},)),),
    duration_ms=15.5,
)
_PROVED = ProvedStatement(migration="007 m", step=_STEP, span=_SPAN, text="SQL", target="r_a", proof=_PROOF)
_ESTIMATE = Estimate(
    production_ms=16.5,
    low_ms=17.5,
    high_ms=18.5,
    confidence_percent=19.5,
    level_percent=90,
    runs=3,
    is_scaled=True,
    is_representative=False,
)
_FINDING = Finding(
    rule="drop_object",
    severity="warning",
    message="the message",
    effect="the effect",
    hint="the hint",
    remedy="the remedy",
    span=_SPAN,
    excerpt="the excerpt",
    relation="w_f",
    statement="DROP TABLE w_f",
    migration="007",
    lines=(8, 9),
)
_DIAGNOSTIC = Diagnostic(
    code="the-code", message="the message", span=_SPAN, excerpt="the excerpt", detail=("one", "two"), hint="the hint"
)
_EVENTS: tuple[Event, ...] = (
    events.RunStarted(
        direction=Direction.DOWN, dry_run=True, environment="staging", database="db", migrations=("007 m",), steps=1
    ),
    events.LintFinished(findings=(_FINDING,)),
    events.LockWaiting(holder="the holder"),
    events.MigrationStarted(version="007", name="m", resumed_after=2),
    events.StepStarted(step=_STEP),
    events.StepFinished(
        step=_STEP, outcome=Outcome.SKIPPED, duration_ms=1.2345, rows=3, note="the note", stats={"at": _SPAN, "n": 1}
    ),
    events.SegmentRetried(version="007", segment=4, attempt=5, attempts=6, wait_ms=7.5, reason="the reason"),
    events.BackfillProgressed(
        step=_STEP,
        elapsed_s=1.5,
        source_rows=2,
        written_rows=3,
        batches=4,
        estimated_rows=5,
        batch_rows=6,
        rows_per_s=7.5,
        remaining_s=8.5,
        waiting_for="the cause",
    ),
    events.HookProgressed(step=_STEP, done=1.5, total=2.5),
    events.BatchRetried(step=_STEP, rows=1, attempt=2, attempts=3, wait_ms=4.5, reason="the reason"),
    events.OthersBlocked(version="007", segment=4, waiters=(_WAITER,), over_budget=True),
    events.DryRunFinished(
        statements=(_STATEMENT,),
        warnings=(_WARNING,),
        leftovers=("the leftover",),
        estimate=_ESTIMATE,
        isolation=IsolationReport(database="db", environment="staging", column="tenant_id", statements=(_PROVED,)),
    ),
    events.ServerMessage(step=_STEP, severity="NOTICE", message="the message", detail="the detail", sqlstate="00000"),
    events.Notice(text="the text"),
    events.MigrationFinished(version="007", outcome=Outcome.ROLLED_BACK, duration_ms=1.5),
    events.RunFinished(outcome=Outcome.STOPPED, duration_ms=2.5, diagnostics=(_DIAGNOSTIC,)),
)


@pytest.fixture
def golden(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    """A file that changes only together with a version of a wire form."""
    return snapshot.use_extension(JSONSnapshotExtension)


def test_events(golden: SnapshotAssertion) -> None:
    assert {type(event) for event in _EVENTS} == set(EVENT_NAMES_AND_FIELDS)
    assert [event_document(event, datetime(2026, 11, 23, 10, 0, tzinfo=UTC)) for event in _EVENTS] == golden


def test_tables(golden: SnapshotAssertion, database_18: Database) -> None:
    """The columns of the state tables, and the trigger."""
    database_18.execute("CREATE SCHEMA confiture;" + history_schema_sql(0).decode())
    columns = database_18.rows(
        """
        SELECT c.relname::text, string_agg(concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod),
                   CASE WHEN a.attnotnull THEN 'NOT NULL' END), ', ' ORDER BY a.attnum)
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE c.relnamespace = 'confiture'::regnamespace AND c.relkind = 'r'
        GROUP BY c.relname ORDER BY 1
        """
    )
    triggers = database_18.rows(
        """
        SELECT pg_get_triggerdef(t.oid), t.tgenabled::text, p.prosrc
        FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid WHERE NOT t.tgisinternal
        """
    )
    assert {"format": FORMAT, "columns": dict(columns), "triggers": triggers} == golden


def test_reconciled_tables(golden: SnapshotAssertion) -> None:
    found = ReconcileResult(
        table="r_a",
        by="tenant_id",
        key=("id",),
        compared_columns=("id", "n"),
        columns_compared_as_text=("n",),
        skipped_columns=(SkippedColumn(column="at", reason="the reason"),),
        rows=1,
        expected_rows=2,
        groups=3,
        hash="4",
        expected_hash="5",
        differing_group_count=6,
        differing_groups=("7", None),
        differences=Differences(
            missing=8,
            extra=9,
            changed=10,
            is_exact=False,
            rows=(
                Difference(kind=DifferenceKind.MISSING, key={"id": "1"}, expected={"n": None}, actual=None),
                Difference(kind=DifferenceKind.EXTRA, key={"id": "2"}, expected=None, actual={"n": "3"}),
                Difference(kind=DifferenceKind.CHANGED, key={"id": "4"}, expected={"n": "5"}, actual={"n": "6"}),
            ),
        ),
        duration_ms=11.5,
    )
    assert reconcile_result_object(found) == golden


def test_checksums_and_fingerprints(golden: SnapshotAssertion, project: Project) -> None:
    """Every kind of step and every expectation: a change reports drift on each database that ran such a step."""
    shutil.copytree(FIXTURE / "project", project.root, dirs_exist_ok=True)
    project.migration(
        "008_expectations",
        """
        vars: {n: 1.50, day: 2026-11-23, list: [1, null, true]}
        before_validation:
          - {check: SELECT 1, expect: 1}
          - {check: SELECT 1.5, expect: {"<=": 1.50}}
          - {check: SELECT 'a', expect: {"!=": 'b'}}
          - {check: SELECT true, expect: true}
          - {check: SELECT NULL, expect: null}
          - {check: "SELECT 1, 'a'", expect: {rows: [[1, a], [2.5, null]]}, once: true}
          - {check: SELECT 1 WHERE false, expect: {rows: []}, when: "1 == 1"}
        ddl:
          - {sql: VACUUM, timeout: 3s}
        down:
          - {sql: SELECT 1}
        """,
    )
    loaded = load(project)
    assert {
        f"{plan.version} {plan.direction.value}": {
            "checksum": plan.checksum,
            "steps": [[step.phase.value, step.label, step.checksum] for step in plan.step_checksums],
            "segments": [segment_fingerprint(segment.steps) for segment in plan.segments],
        }
        for plan in (*loaded.ups, *loaded.downs.values())
    } == golden


def test_hashes_of_texts_and_inputs(project: Project) -> None:
    project.write("confiture.yaml", "vars: {size: 1}\n")
    project.ddl("a.sql.j2", "CREATE TABLE a{{ size }} (x int); -- é\n")
    project.migration("001_a", "ddl: [a.sql.j2]\n")
    settings = load_settings(project.root, SettingsOverrides(database="embedded"), {})
    (plan,) = load_project(settings, {}).ups
    assert texts_to_row(collect_texts(plan.migration)) == {
        "file": [
            "migrations/001_a.yaml",
            "9f1da76c9154ec261601602faf6dc5c72ed46914c109ee47a66b9935ef28b645",
        ],
        "named_files": {"a.sql.j2": "70179bd5d71dd3a7f009d12060abc0bef0f0fb33a94e439351ae283854259a39"},
    }
    assert [(one.kind.value, one.name, one.digest) for one in plan.inputs()] == [
        ("variable", "size", "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b")
    ]
    (plan,) = load_project(settings, {"size": "7"}).ups
    assert [one.digest for one in plan.inputs()] == [
        "9c2c68c782d5981503cdbcdf53c9e6462800cd177e79d1f49ac2a284b002c2ab"
    ], "not in a project file: salted and slow"


def test_predictions(golden: SnapshotAssertion, tmp_path: Path) -> None:
    """The file of the former version is read, and what is written keeps its entries."""
    (tmp_path / ".confiture").mkdir()
    path = tmp_path / ".confiture/predictions.json"
    former = json.loads((FIXTURE / "predictions.json").read_text())
    path.write_text(json.dumps(former))
    store = PredictionStore(tmp_path)
    checksums = {entry["version"]: entry["checksum"] for entry in former}
    found = store.load(former[0]["database"], checksums)
    assert {version: one.predicted_ms for version, one in found.items()} == {
        entry["version"]: entry["predicted_ms"] for entry in former
    }
    store.save([found["002"]])
    written = json.loads(path.read_text())
    assert written["predictions"][: len(former)] == former
    assert {**written, "predictions": [sorted(written["predictions"][-1])]} == golden
    assert store.load(former[0]["database"], checksums) == found


@pytest.mark.parametrize("text", ["", "[1]", "{}", '{"format": "confiture.predictions", "version": 2}', "[{}]"])
def test_predictions_that_cannot_be_read_count_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / ".confiture").mkdir()
    (tmp_path / ".confiture/predictions.json").write_text(text)
    assert PredictionStore(tmp_path).load("db", {"001": "x"}) == {}


def test_stored_schema_facts(golden: SnapshotAssertion, tmp_path: Path) -> None:
    column = SchemaObject(
        kind="table column", identity="public.t.a", parent="table public.t", facts={"type": "integer"}
    )
    facts = SchemaFacts(objects={column.name: column}, server_version=180006)
    cache = SchemaFactsCache(tmp_path)
    cache.save("key", CachedSchema(facts=facts, verdicts={"digest": True}))
    path = tmp_path / ".confiture/cache/key.json"
    assert json.loads(path.read_text()) == golden
    stored = cache.load("key")
    assert stored is not None
    assert (stored.facts, stored.verdicts) == (facts, {"digest": True})
    assert cache_key("schema files", ["a"], 180006, [("hstore", "1.8", "public")]) == golden


@pytest.mark.parametrize("attack", ["folder", "file", "link", "content"])
def test_a_cache_that_others_can_write_is_ignored(tmp_path: Path, attack: str) -> None:
    cache = CacheFiles(tmp_path)
    cache.save("name", b"content")
    assert cache.load("name") == b"content"
    folder = tmp_path / ".confiture/cache"
    if attack == "folder":
        folder.chmod(0o777)
    elif attack == "file":
        (folder / "name").chmod(0o666)
    elif attack == "link":
        (folder / "name").rename(tmp_path / "elsewhere")
        (folder / "name").symlink_to(tmp_path / "elsewhere")
    else:
        folder.rename(tmp_path / "elsewhere")
        folder.symlink_to(tmp_path / "elsewhere")
    assert cache.load("name") is None
    cache.save("other", b"content")
    if attack in ("folder", "content"):
        assert not (folder / "other").exists()
