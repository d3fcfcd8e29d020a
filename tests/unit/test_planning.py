"""Plans: the order of migrations, what commits together, and checksums that see what matters."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from confiture.errors import DiagnosticCollector, Span
from confiture.files.settings import SettingsOverrides, load_settings
from confiture.models.migration import MigrationFile, Phase, Requirement, SqlStep
from confiture.models.plan import PlannedStep, Segment, TransactionMode
from confiture.models.source import LocatedSource, RenderedSql, SourceFile
from confiture.plan.checksums import migration_checksum, segment_fingerprint, step_checksums
from confiture.plan.migration_order import sort_migrations, version_key
from confiture.plan.planner import split_into_segments
from confiture.plan.project import PlannedProject as LoadedProject
from confiture.plan.project import load_project
from confiture.sql.parsing import normalize_sql, parse_statements
from tests.support.paths import REPOSITORY
from tests.support.plans import load
from tests.support.projects import Project

VERSIONS = st.one_of(
    st.from_regex(r"[0-9]{1,4}([._-][0-9]{1,3}){0,2}[a-z]{0,2}", fullmatch=True),
    st.from_regex(r"[\w.-]{1,8}", fullmatch=True),
)


def migration(version: str, *requires: str, sql: str = "SELECT 1") -> MigrationFile:
    """A migration of one step, as if a file had said so."""
    file = SourceFile(path=f"{version}.yaml", text="\n")
    span = Span(path=file.path, line=1)
    return MigrationFile(
        version=version,
        name="x",
        file=file,
        span=span,
        requires=tuple(Requirement(version=required, span=span) for required in requires),
        phases={Phase.DDL: (SqlStep(span=span, sql=LocatedSource(text=sql, file=file)),)},
    )


# Order


@pytest.mark.parametrize(
    "versions",
    [
        ["1", "2", "10"],
        ["001", "2", "0003"],
        ["2024.9", "2024.10", "2025"],
        ["1", "1.1", "1.2", "1.10", "2"],
        ["1", "1a", "1b", "2"],
        ["20240101120000", "20240101120001"],
        ["9", "a", "b"],
    ],
)
def test_versions_sort_as_people_count(versions: list[str]) -> None:
    assert sorted([*versions[1:], versions[0]], key=version_key) == versions


@given(one=VERSIONS, two=VERSIONS, three=VERSIONS)
def test_the_order_of_versions_is_total(one: str, two: str, three: str) -> None:
    first, second, third = version_key(one), version_key(two), version_key(three)
    assert (first < second) + (first == second) + (first > second) == 1
    if first <= second <= third:
        assert first <= third


@pytest.mark.parametrize(("one", "two"), [("1", "001"), ("1.0", "1_0"), ("1-a", "1a"), ("٣", "3")])
def test_versions_that_are_written_differently_are_the_same(one: str, two: str) -> None:
    assert version_key(one) == version_key(two)


@given(data=st.data())
def test_migrations_run_after_what_they_require_and_otherwise_by_version(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 8))
    # whom one may require is given by a random order, so that nothing is circular
    rank = data.draw(st.permutations(range(size)))
    requires = {
        number: {other for other in range(size) if rank[other] < rank[number] and data.draw(st.booleans())}
        for number in range(size)
    }
    given_order = data.draw(st.permutations(range(size)))
    found = [migration(str(number), *map(str, sorted(requires[number]))) for number in given_order]
    problems = DiagnosticCollector()
    order = [int(item.version) for item in sort_migrations(found, problems)]
    assert not problems
    done: set[int] = set()
    for number in order:
        ready = [other for other in range(size) if other not in done and requires[other] <= done]
        assert number == min(ready), "the lowest of those that can run"
        done.add(number)
    assert done == set(range(size))


# Segments

STATEMENTS = st.lists(
    st.lists(
        st.sampled_from(
            ["SELECT {}", "INSERT INTO a VALUES ({})", "VACUUM a{}", "CREATE INDEX CONCURRENTLY i{} ON a (b)"]
        ),
        max_size=4,
    ),
    max_size=5,
)


def planned(steps: list[list[str]]) -> list[PlannedStep]:
    """Steps with these statements, each numbered, so that no two are equal."""
    made = []
    for number, statements in enumerate(steps, start=1):
        text = ";\n".join(text.format(f"{number}{place}") for place, text in enumerate(statements))
        file = SourceFile(path="a.sql", text=text)
        source = LocatedSource(text=text, file=file)
        parsed, problems = parse_statements(text)
        assert not problems
        made.append(
            PlannedStep(
                phase=Phase.DDL,
                number=number,
                name=f"step {number}",
                span=Span(path="a.sql", line=1),
                kind="SqlStep",
                rendered=RenderedSql(text=text, source=source),
                statements=parsed,
            )
        )
    return made


@given(steps=STATEMENTS)
def test_cutting_keeps_every_statement_once_and_in_order(steps: list[list[str]]) -> None:
    before = planned(steps)
    segments = split_into_segments(before)
    assert [s for segment in segments for step in segment.steps for s in step.statements] == [
        s for step in before for s in step.statements
    ]
    assert [step.number for segment in segments for step in segment.steps] == sorted(
        step.number for segment in segments for step in segment.steps
    )
    assert {step.number for segment in segments for step in segment.steps} == set(range(1, len(steps) + 1))
    assert [segment.number for segment in segments] == list(range(1, len(segments) + 1))
    for segment in segments:
        inside = [statement for step in segment.steps for statement in step.statements]
        assert all(statement.transaction_mode is segment.transaction_mode for statement in inside)
        assert segment.transaction_mode is TransactionMode.TRANSACTIONAL or len(inside) == 1
    # nothing is cut that could commit together
    assert all(
        TransactionMode.OUTSIDE in (one.transaction_mode, other.transaction_mode) for one, other in pairwise(segments)
    )
    for number in range(1, len(steps) + 1):
        parts = [step for segment in segments for step in segment.steps if step.number == number]
        assert [(step.part, step.parts) for step in parts] == [(n, len(parts)) for n in range(1, len(parts) + 1)]


@pytest.mark.parametrize(
    ("sql", "outside"),
    [
        ("CREATE INDEX CONCURRENTLY i ON a (b)", True),
        ("CREATE INDEX i ON a (b)", False),
        ("DROP INDEX CONCURRENTLY i", True),
        ("DROP INDEX i", False),
        ("REINDEX INDEX CONCURRENTLY i", True),
        ("REINDEX (CONCURRENTLY) TABLE a", True),
        ("REINDEX (CONCURRENTLY false) TABLE a", False),
        ("REINDEX TABLE a", False),
        ("REINDEX SCHEMA a", True),
        ("REINDEX DATABASE a", True),
        ("VACUUM a", True),
        ("VACUUM (ANALYZE) a", True),
        ("ANALYZE a", False),
        ("CLUSTER", True),
        ("CLUSTER a USING i", False),
        ("ALTER TABLE a DETACH PARTITION b CONCURRENTLY", True),
        ("ALTER TABLE a DETACH PARTITION b", False),
        ("ALTER SYSTEM SET work_mem = '1MB'", True),
        ("CREATE DATABASE a", True),
        ("DROP DATABASE a", True),
        ("CREATE TABLESPACE a LOCATION '/a'", True),
        ("ALTER DATABASE a SET TABLESPACE b", True),
        ("ALTER DATABASE a SET work_mem = '1MB'", False),
        ("DISCARD ALL", True),
        ("DISCARD PLANS", False),
        ("ALTER TYPE a ADD VALUE 'b'", False),
        ("REFRESH MATERIALIZED VIEW CONCURRENTLY a", False),
    ],
)
def test_what_cannot_run_in_a_transaction_is_known(sql: str, outside: bool) -> None:
    (statement,), problems = parse_statements(sql)
    assert not problems
    assert (statement.transaction_mode is TransactionMode.OUTSIDE) is outside


@given(
    pieces=st.lists(
        st.sampled_from(
            ["SELECT 1", "SELECT 'é;日'", "-- note; é\nSELECT 2", "/* ; */ VALUES (3)", "SELECT $$ ; $$", ""]
        ),
        max_size=6,
    ),
    space=st.sampled_from(["", " ", "\n", "\n\n  ", " -- x\n"]),
)
def test_statements_are_found_where_they_stand(pieces: list[str], space: str) -> None:
    text = space.join(piece + ";" for piece in pieces) + space
    statements, problems = parse_statements(text)
    assert not problems
    assert len(statements) == len([piece for piece in pieces if piece])
    for statement in statements:
        assert text.startswith(statement.text, statement.offset)
        assert statement.text.startswith(("SELECT", "VALUES")), "what comes before it is not part of it"
        assert not statement.text.endswith((";", " ", "\n"))


def test_long_chains_of_operators_are_read(project: Project) -> None:
    project.migration("001_a", f"ddl: [{{sql: SELECT {' || '.join(['a'] * 2000)} FROM b}}]\n")
    assert load(project).ups[0].segments[0].transaction_mode is TransactionMode.TRANSACTIONAL


# Checksums

TOKENS = st.sampled_from(
    [
        "SELECT",
        "1",
        "1.5",
        "'a  b'",
        "'it''s'",
        '"A  b"',
        "$$ x -- y $$",
        "E'\\n'",
        "a",
        "b",
        ",",
        "(",
        ")",
        "+",
        "-",
        "*",
        "::",
        "x.y",
    ]
)
SPACES = st.sampled_from(
    [" ", "\n", "\t", "  \n ", " -- note\n", " /* note */ ", "\n-- it's\n\n", " /* a /* b */ c */ "]
)


@given(data=st.data(), tokens=st.lists(TOKENS, min_size=1, max_size=12))
def test_checksums_are_blind_to_space_and_comments(data: st.DataObject, tokens: list[str]) -> None:
    # a line end between two strings makes them one
    assume(not any(one.endswith("'") and other.endswith("'") for one, other in pairwise(tokens)))
    spaced = "".join(data.draw(SPACES) + token for token in tokens)
    assert normalize_sql(spaced) == normalize_sql(" ".join(tokens))


@given(one=st.lists(TOKENS, max_size=8), other=st.lists(TOKENS, max_size=8))
def test_checksums_see_every_other_change(one: list[str], other: list[str]) -> None:
    assume(one != other)
    assert normalize_sql(" ".join(one)) != normalize_sql(" ".join(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SELECT 'a  b'", "SELECT 'a b'"),
        ("SELECT 'a -- b'", "SELECT 'a '"),
        ("SELECT $$a  b$$", "SELECT $$a b$$"),
        ('SELECT "a"', "SELECT a"),
        ("SELECT A", "SELECT a"),
        ("SELECT {{ x }} -- {{ y }}", "SELECT {{ x }} -- {{ z }}"),
        ("SELECT 1 -- {% if a %}\n, 2 -- {% endif %}", "SELECT 1 -- {% if b %}\n, 2 -- {% endif %}"),
        ("/* {% for x in a %} */ SELECT 1", "/* {% for x in b %} */ SELECT 1"),
        ("SELECT {{ 'a' }}", "SELECT {{ 'b' }}"),
    ],
)
def test_changes_that_a_checksum_must_see(one: str, other: str) -> None:
    assert _checksum(migration("1", sql=one)) != _checksum(migration("1", sql=other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SELECT 1", "SELECT\n  1"),
        ("SELECT 1 -- a note\n", "SELECT 1"),
        ("SELECT {{ x }}", "SELECT {{   x   }}"),
        ("{# a note #}SELECT 1", "SELECT 1"),
        ("{# it's a note #} SELECT 1", "SELECT 1"),
    ],
)
def test_changes_that_a_checksum_must_not_see(one: str, other: str) -> None:
    assert _checksum(migration("1", sql=one)) == _checksum(migration("1", sql=other))


def _checksum(found: MigrationFile) -> str:
    return migration_checksum(found, step_checksums(found))


BASE = """\
version: "1"
name: a
vars: {x: 1}
ddl:
  - a.sql
  - sql: SELECT {{ x }}
    when: x == 1
after_validation:
  - check: SELECT 1
    expect: 1
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("{x: 1}", "{x: 2}"),
        ("{x: 1}", "{x: '1'}"),
        ("{x: 1}", "{x: 1.0}"),
        ("{x: 1}", "{x: 1, y: 2}"),
        ("SELECT {{ x }}", "SELECT {{ x }}, 2"),
        ("x == 1", "x == 1 or true"),
        ("    when: x == 1\n", ""),
        ("expect: 1", "expect: 2"),
        ("expect: 1", "expect: '1'"),
        ("expect: 1", "expect: true"),
        ("expect: 1", "expect: {'>=': 1}"),
        ("expect: 1", "expect: {rows: [1]}"),
        ("after_validation", "before_validation"),
        ("  - a.sql\n", "  - sql: CREATE TABLE a ()\n"),
        ("  - a.sql\n", ""),
        ("  - a.sql\n", "  - a.sql\n  - sql: SELECT 2\n"),
    ],
)
def test_every_change_to_what_a_migration_does_changes_its_checksum(project: Project, old: str, new: str) -> None:
    before, after = _both(project, old, new)
    assert before != after


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name: a", "name: b\ndescription: more"),
        ("SELECT {{ x }}", ">\n      SELECT\n      {{ x }}\n"),
        ("ddl:", "# note\nddl:"),
        ("after_validation:", "down: [{sql: SELECT 2}]\non_error: [{sql: SELECT 3}]\nafter_validation:"),
        ("expect: 1", "expect: 1\n    name: told differently"),
        ("vars: {x: 1}", "vars:\n  x: 0x1"),
    ],
)
def test_no_other_change_does(project: Project, old: str, new: str) -> None:
    before, after = _both(project, old, new)
    assert before == after


def _both(project: Project, old: str, new: str) -> tuple[str, str]:
    assert old in BASE
    project.ddl("a.sql", "CREATE TABLE a ()")
    checksums = []
    for text in (BASE, BASE.replace(old, new)):
        project.migration("001_a", text)
        checksums.append(load(project).ups[0].checksum)
    return checksums[0], checksums[1]


def test_a_checksum_depends_on_the_file_alone(project: Project) -> None:
    project.migration("001_a", "ddl: [{sql: 'SELECT {{ x }}'}]")
    one, other = (load(project, x=value).ups[0] for value in ("1", "2"))
    assert one.checksum == other.checksum
    assert segment_fingerprint(one.segments[0].steps) != segment_fingerprint(other.segments[0].steps), (
        "what ran is another matter"
    )


def test_fingerprints_see_phase_and_expectation(project: Project) -> None:
    project.migration("001_a", BASE.replace("  - a.sql\n", ""))
    (segment,) = load(project).ups[0].segments
    steps = segment.steps
    moved = (replace(steps[0], phase=Phase.AFTER_DDL), *steps[1:])
    silent = (*steps[:-1], replace(steps[-1], content=None))
    assert len({segment_fingerprint(found) for found in (steps, moved, silent, steps[::-1])}) == 4


def test_the_same_input_makes_the_same_plan() -> None:
    """The example project, planned twice: nothing of the clock, of chance or of memory addresses is in it."""
    first, second = (
        load_project(load_settings(REPOSITORY, SettingsOverrides(database="embedded"), {}), {}) for _ in range(2)
    )
    assert _facts(first) == _facts(second)
    assert len(first.ups) == len(first.downs) > 10


def _facts(project: LoadedProject) -> list[tuple[str, list[Segment], str]]:
    return [(plan.version, list(plan.segments), plan.checksum) for plan in (*project.ups, *project.downs.values())]


def test_variables_of_the_command_line_win_over_those_of_the_migration_over_those_of_the_settings(
    project: Project,
) -> None:
    project.write(
        "confiture.yaml", "vars: {a: s, b: s, c: s, d: s}\nenvironments: {live: {vars: {b: e, c: e, d: e}}}\n"
    )
    project.migration("001_a", "vars: {c: m, d: m}\nddl: [{sql: 'SELECT {{ a ~ b ~ c ~ d }}'}]")
    settings = load_settings(project.root, SettingsOverrides(environment="live"), {})
    plan = load_project(settings, {"d": "o"}).ups[0]
    assert plan.steps[0].statements[0].text == "SELECT semo"


def test_a_step_whose_condition_is_false_is_skipped_unseen(project: Project) -> None:
    project.migration("001_a", "ddl: [{sql: 'SELEC {{ nothing }}', when: environment == 'live'}, {sql: SELECT 1}]")
    skipped, run = load(project).ups[0].steps
    assert (skipped.skip_reason, skipped.statements) == ("`when` is false", ())
    assert run.skip_reason is None
