"""A renamed rule is found by its former names: in settings, comments, options and baselines."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from jsonschema import Draft202012Validator

from confiture.errors import InputError
from confiture.lint.engine.configuration import rule_settings_schemas
from confiture.lint.fingerprints import fingerprint_v1, fingerprint_v2
from confiture.lint.registry import RulesByName, built_in_rules
from confiture.lint.rule_docs import render_page
from tests.support.linting import KEY, lint, settings
from tests.support.projects import Project

RULES = """
from confiture.lint.rule import Example, Group, Hit, Option, SchemaRule

def check(subject):
    for table in subject.catalog.tables.values():
        message = f"{table.name} is called temporary, says {subject.options['who']}"
        yield Hit(place=table.place, relation=str(table.name), message=message)

RULE = SchemaRule(name=NAME, aliases=ALIASES, check=check, group=Group.SCHEMA, severity="warning", summary="s",
                  effect="E.", hint="h", bad=Example(sql=()), good=Example(sql=()),
                  options={"who": Option(description="Who says so", default="nobody")})
"""
NAMES = ("no_tmp", "no_tmp_tables", "temporary_table_name")
"""The names that the rule had, the oldest first, and the one that it has."""
IGNORES = ("unused_ignore", "ignore_without_reason")


@pytest.fixture
def named(project: Project) -> Project:
    """A project with a table that the rule finds, and the rule under each of its names, in modules of their own."""
    project.ddl("a.sql", "CREATE TABLE w_a (id int PRIMARY KEY);\n")
    for number, name in enumerate(NAMES):
        text = RULES.replace("NAME", repr(name), 1).replace("ALIASES", repr(NAMES[:number]))
        project.write(f"aliased_{number}.py", text)
    settings(project, "{plugins: aliased_2}")
    return project


@pytest.mark.parametrize("name", NAMES)
def test_settings_find_it_by_any_name(named: Project, name: str) -> None:
    entry = f"type: {name}, severity: error, who: we"
    settings(named, f"{{plugins: aliased_2, rules: [{{{entry}}}]}}")
    (found,) = [one for one in lint(named).findings if one.rule == NAMES[-1]]
    assert (found.severity, found.message) == ("error", "w_a is called temporary, says we")
    settings(named, f"{{plugins: aliased_2, rules: [{{{entry}, except: w_*}}]}}")
    assert NAMES[-1] not in {one.rule for one in lint(named).findings}
    settings(named, f'{{plugins: aliased_2, rules: [{{type: {name}, severity: "off"}}]}}')
    assert NAMES[-1] not in {one.rule for one in lint(named).findings}


@pytest.mark.parametrize("name", NAMES)
def test_options_find_it_by_any_name(named: Project, name: str) -> None:
    result = named.run("lint", "--rule", name, "--rule", NAMES[0], "--format", "json").json
    assert [one["rule"] for one in result["findings"]] == [NAMES[-1]]
    assert named.run("lint", "--explain", name).out.startswith(f"# {NAMES[-1]}")
    assert [one["name"] for one in named.run("lint", "--explain", name, "--format", "json").json["rules"]] == [
        NAMES[-1]
    ]
    listed = named.run("lint", "--list-rules").out
    assert [one for one in NAMES if f"{one} " in listed] == [NAMES[-1]]


@pytest.mark.parametrize("name", [*NAMES, ", ".join(NAMES)], ids=[*NAMES, "all"])
def test_a_comment_by_any_name_is_heeded_and_used(named: Project, name: str) -> None:
    named.ddl("a.sql", f"-- confiture: ignore {name} -- a reason\nCREATE TABLE w_a (id int PRIMARY KEY);\n")
    report = lint(named, NAMES[-1], *IGNORES)
    assert (report.findings, report.suppressed) == ((), 1)


def test_an_unused_comment_by_a_former_name_is_found(named: Project) -> None:
    named.ddl("a.sql", f"-- confiture: ignore {NAMES[0]} -- a reason\nSELECT 1;\n")
    assert [one.message for one in lint(named, NAMES[-1], *IGNORES).findings] == [
        f"rule {NAMES[0]} reports nothing here"
    ]
    # it is not judged here, so it may well be of use
    assert lint(named, *IGNORES).findings == ()


@pytest.mark.parametrize("number", range(len(NAMES)))
def test_fingerprints_stay_and_baselines_hold(named: Project, number: int) -> None:
    settings(named, f"{{plugins: aliased_{number}}}")
    (found,) = lint(named, NAMES[number]).findings
    assert (found.rule, fingerprint_v1(found), fingerprint_v2(found)) == (
        NAMES[number],
        fingerprint_v1(replace(found, rule=NAMES[0])),
        fingerprint_v2(replace(found, rule=NAMES[0], stable_rule=None)),
    )
    named.run("lint", "--rule", NAMES[number], "--write-baseline", "--baseline", "known.json")
    version_1 = json.loads((named.root / "known.json").read_text()) | {"version": 1}
    named.write("known_1.json", json.dumps(version_1))
    settings(named, "{plugins: aliased_2}")
    for file in ("known.json", "known_1.json"):
        assert named.run("lint", "--rule", NAMES[-1], "--baseline", file, "--format", "json").json["known"] == 1


CLASHES = {
    "a former name that a rule has": ("'new'", f"('{KEY}',)", f"rule '{KEY}' already exists"),
    "a name that a rule had": (
        "'no_tmp'",
        "()",
        f"rule 'no_tmp' already exists, as a former name of '{NAMES[2]}'",
    ),
    "two former names": ("'new'", "('x', 'no_tmp')", "rule 'no_tmp' already exists, as a former name"),
}


@pytest.mark.parametrize(("name", "aliases", "message"), CLASHES.values(), ids=CLASHES)
def test_names_that_clash_are_refused(named: Project, name: str, aliases: str, message: str) -> None:
    module = f"clashing_{abs(hash(message))}"
    named.write(f"{module}.py", RULES.replace("NAME", name, 1).replace("ALIASES", aliases))
    settings(named, f"{{plugins: [aliased_2, {module}]}}")
    with pytest.raises(InputError) as refused:
        lint(named)
    (told,) = refused.value.diagnostics
    assert (told.code, f"module '{module}': {message}" in told.message) == ("bad-plugin", True), told
    assert told.span is not None


def test_a_rule_may_get_a_former_name_back() -> None:
    rule = replace(built_in_rules()[KEY], name="first", aliases=("first", "second"))
    known = RulesByName([rule])
    assert (known["second"], known["first"].stable_name, list(known)) == (rule, "first", ["first"])
    assert ("third" in known, known.get("third")) == (False, None)


def test_editors_accept_a_former_name_and_the_page_has_it() -> None:
    rule = replace(built_in_rules()["too_many_index_columns"], aliases=("broad_index",))
    (schema,) = rule_settings_schemas([rule])
    valid = [
        name
        for name in ("too_many_index_columns", "broad_index", "x")
        if Draft202012Validator(schema).is_valid({"type": name})
    ]
    assert valid == ["too_many_index_columns", "broad_index"]
    assert "formerly broad_index" in render_page(rule)


def test_rules_with_former_names_of_fields_run(project: Project) -> None:
    """A rule that was written for version 0.1 of the API: `Hit`, `place`, `effect`, `hint`, `claims`, `optional`."""
    project.write(
        "former_rules.py",
        """
from confiture.lint.rule import Claims, Example, Group, Hit, SchemaRule

def check(subject):
    for table in subject.catalog.tables.values():
        if subject.surroundings and not subject.misfits:
            yield Hit(place=table.place, relation=str(table.name), message=f"{table.name} is here", hint="own hint")

RULES = [SchemaRule(name="former", check=check, group=Group.SCHEMA, severity="error", summary="s", effect="E.",
                    hint="h", bad=Example(sql=()), good=Example(sql=()), claims=Claims(), optional=True)]
assert (RULES[0].effect, RULES[0].fix_hint, RULES[0].optional) == ("E.", "h", True)
""",
    )
    settings(project, "{plugins: former_rules, rules: [{type: former}]}")
    project.ddl("a.sql", "CREATE TABLE a (id int PRIMARY KEY);\n")
    (found,) = [one for one in lint(project).findings if one.rule == "former"]
    assert (found.message, found.hint, found.span and found.span.line) == ("a is here", "own hint", 1)
