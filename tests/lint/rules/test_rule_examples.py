"""Every rule is proven by its examples: lint finds the bad one, and a real server does what the rule claims of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from confiture.lint.engine.replay import RULE_FAILED
from confiture.lint.registry import built_in_rules
from confiture.lint.rule import Example, Rule, SchemaRule, StatementRule
from confiture.models.findings import Finding
from confiture.sql.parse_tree import pb
from confiture.sql.parsing import parse_statements
from tests.support.rule_examples import Seen, lint_example, run_example, versions_of
from tests.support.servers import Database, new_database

RULES = sorted(built_in_rules().values(), key=lambda rule: rule.name)
NAMES = [rule.name for rule in RULES]
_KINDS = {field.name for field in pb.Node.DESCRIPTOR.fields}


def told(findings: tuple[Finding, ...]) -> list[str]:
    return [f"{finding.rule}: {finding.message} ({finding.span})" for finding in findings]


def example_of(rule: Rule, which: str) -> Example:
    return rule.bad if which == "bad" else rule.good


def cases(which: str) -> list[object]:
    return [
        pytest.param(rule, version, id=f"{rule.name}-{version}")
        for rule in RULES
        for version in versions_of(example_of(rule, which))
    ]


@pytest.mark.parametrize(("rule", "version"), cases("bad"))
def test_the_bad_example_is_found(rule: Rule, version: int) -> None:
    findings = lint_example(rule, rule.bad, version)
    assert [text for text in told(findings) if RULE_FAILED in text] == []
    assert rule.name in {finding.rule for finding in findings}, told(findings)
    for finding in findings:
        if finding.remedy:
            _, problems = parse_statements(finding.remedy)
            assert not [problem for problem in problems if problem.code == "sql-syntax"], finding.remedy


@pytest.mark.parametrize(("rule", "version"), cases("good"))
def test_nothing_is_found_in_the_good_example(rule: Rule, version: int) -> None:
    assert told(lint_example(rule, rule.good, version)) == []


@pytest.fixture
def fresh(request: pytest.FixtureRequest, version: int, uses_server: None) -> Iterator[Database]:
    """An empty database on the server of that version."""
    yield from new_database(request.getfixturevalue(f"server_{version}"))


@pytest.mark.parametrize(("rule", "version"), cases("bad"))
def test_the_bad_example_does_on_a_server_what_its_rule_claims(rule: Rule, version: int, fresh: Database) -> None:
    seen = run_example(fresh.url, rule.bad, rule.expected_effects)
    _assert_runs(seen, rule.expected_effects.error)
    missing = [one.missing(rule.expected_effects) for one in seen]
    assert any(not lacks for lacks in missing), (
        f"no transaction of the bad example shows all claims; missing: {missing}"
    )
    shows = next(one for one in seen if not one.missing(rule.expected_effects))
    assert shows.stronger(rule.expected_effects) == [], "the lock is stronger than the rule claims"


@pytest.mark.parametrize(("rule", "version"), cases("good"))
def test_the_good_example_does_not_do_it(rule: Rule, version: int, fresh: Database) -> None:
    claims = rule.expected_effects
    seen = run_example(fresh.url, rule.good, claims)
    _assert_runs(seen, None)
    if claims.locks or claims.scans or claims.rewrites or claims.error:
        assert all(one.missing(claims) for one in seen), "a transaction of the good example does all that is claimed"


def _assert_runs(seen: list[Seen], error: str | None) -> None:
    failed = [one for one in seen if one.error and one.error != error]
    assert not failed, f"the example fails: {failed[0].error} {failed[0].message}"


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_metadata_is_complete(rule: Rule) -> None:
    for text in (rule.summary, rule.impact, rule.fix_hint):
        assert text.strip() == text != ""
    assert rule.impact.endswith("."), "the effect is a sentence"
    assert not rule.summary.endswith("."), "the summary is a heading"
    assert not rule.fix_hint.endswith("."), "the hint follows a colon"
    if isinstance(rule, StatementRule):
        assert rule.kinds <= _KINDS, f"no such statements: {rule.kinds - _KINDS}"
    if not rule.off_by_default:
        assert not [name for name, option in rule.options.items() if option.required], (
            "it needs options: make it optional"
        )
    if isinstance(rule, SchemaRule):
        assert not rule.expected_effects.locks, "a schema rule judges no statements"
