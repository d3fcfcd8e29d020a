"""Templates: what they see, what they make, and which of their lines made it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confiture.plan.rendering import (
    TemplateProblem,
    evaluate_condition,
    format_literal,
    quote_dotted_name,
)
from tests.support.projects import Project
from tests.support.servers import Database
from tests.support.templates import context, rendered, source


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("SELECT 1", "SELECT 1"),
        ("{{ version }} {{ name }} {{ environment }}", "007 bond test"),
        ("{{ vars.a }} {{ a }} {{ vars | length }}", "1 1 3"),
        ("{{ b | ident }}", '"a ""quoted"" name"."second"'),
        ("{{ c | literal }}", "'it''s'"),
        ("{% for x in range(3) %}{{ x }}{% endfor %}", "012"),
        ("{% if a is defined %}{{ a }}{% endif %}{% if z is defined %}z{% endif %}", "1"),
        ("{{ z | default('none') }}", "none"),
        ("{% set x = 5 %}{{ x }}\n", "5\n"),
        ("{# it's a note #}x", "x"),
        ("{% raw %}{{ x }}{% endraw %}", "{{ x }}"),
        ("<b>{{ '<&>' }}</b>", "<b><&></b>"),
        ("{% macro m(x) %}[{{ x }}]{% endmacro %}{{ m(1) }}{{ m(2) }}", "[1][2]"),
        ("a\n\n", "a\n\n"),
    ],
)
def test_what_a_template_makes(template: str, text: str) -> None:
    assert rendered(template, a=1, b='a "quoted" name.second', c="it's").text == text


def test_variables_do_not_leak_from_one_template_to_the_next() -> None:
    assert rendered("{% set x = 1 %}{{ x }}").text == "1"
    with pytest.raises(TemplateProblem):
        rendered("{{ x }}")


def test_all_unknown_names_are_told_at_once_each_where_it_stands_first() -> None:
    with pytest.raises(TemplateProblem) as caught:
        rendered("SELECT b,\n  {{ b }}, {{ a }},\n{% if c %}{% endif %}{{ a }}{{ read_modle }}", read_model=1)
    assert [(str(found.span), found.message) for found in caught.value.diagnostics] == [
        ("a.sql.j2:2:15", "template: 'a' is not defined"),
        ("a.sql.j2:2:6", "template: 'b' is not defined"),
        ("a.sql.j2:3:7", "template: 'c' is not defined"),
        ("a.sql.j2:3:32", "template: 'read_modle' is not defined"),
    ]
    assert caught.value.diagnostics[3].hint == "did you mean 'read_model'?"


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__ }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ vars.__init__ }}",
        "{{ range.__globals__ }}",
        "{{ (1).__add__(1) }}",
        "{{ a.append(1) }}",
        "{{ a.__len__() }}",
        "{{ '%s'.__mod__(1) }}",
        "{{ cycler.__init__.__globals__ }}",
        "{% include '/etc/passwd' %}",
        "{% import '/etc/passwd' as x %}",
        "{% from '/etc/passwd' import x %}",
        "{% extends '/etc/passwd' %}",
        "{{ lipsum() }}",
        "{{ a | random }}",
        "{{ open('/etc/passwd') }}",
        "{{ env.HOME }}",
        "{{ range(100001) | list }}",
        "{{ self._TemplateReference__context }}",
        "{{ namespace().__class__ }}",
        "{{ ''['__class__'] }}",
        "{{ '' | attr('__class__') }}",
    ],
)
def test_templates_reach_nothing_outside(template: str) -> None:
    with pytest.raises(TemplateProblem):
        rendered(template, a=[1])


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("true", True),
        ("True", True),
        ("version == '007'", True),
        ("environment != 'test'", False),
        ("a > 1 and not b", True),
        ("z is defined", False),
        ("'x' in c", True),
        ("(a,) | length == 1", True),
    ],
)
def test_conditions(condition: str, expected: bool) -> None:
    assert evaluate_condition(source(condition), context(a=2, b=False, c=["x"])) is expected


@pytest.mark.parametrize(
    "condition", ["1", "version", "none", "z", "a ==", "{{ true }}", "true }} x", "a.__class__", "true; x"]
)
def test_conditions_that_are_none(condition: str) -> None:
    with pytest.raises(TemplateProblem) as caught:
        evaluate_condition(source(condition), context(a=2))
    assert all(found.hint and found.span for found in caught.value.diagnostics)


LINES = st.sampled_from(
    [
        "SELECT marker;",
        "  SELECT marker, 'é日';",
        "",
        "{% for x in three %}",
        "  {%- for x in three %}",
        "{% for x in three -%}",
        "{% endfor %}",
        "{%- endfor -%}",
        "{% if true %}",
        "{% if false -%}",
        "{% else %}",
        "{% endif %}",
        "{# note #}",
        "{# a note\nover lines #}",
        "{{ one }}",
        "{{ lines }}",
        "{{ one +\n   one }}",
        "{{- one }}",
        "{{ one -}}",
        "{% set y = 1 %}",
        "{% raw %}{{ x }}{% endraw %}",
        "{% macro m() %}",
        "{% endmacro %}",
    ]
)


@given(lines=st.lists(LINES, max_size=12))
def test_what_was_made_is_traced_to_the_line_that_made_it(lines: list[str]) -> None:
    """Each marker, numbered by its line in the template, is traced back to that line and column."""
    text = "\n".join(lines)
    numbered = "\n".join(line.replace("marker", f"marker{n}") for n, line in enumerate(text.split("\n"), start=1))
    try:
        made = rendered(numbered, three=[1, 2, 3], one=1, lines="a\nb\nc")
    except TemplateProblem:
        return
    written = numbered.split("\n")
    for found in re.finditer(r"marker(\d+)", made.text):
        span = made.span_at(found.start())
        assert (span.line, span.column) == (int(found[1]), written[span.line - 1].index("marker") + 1), made.text


@given(
    before=st.text(st.characters(exclude_characters="{}\r", codec="utf-8")),
    value=st.text(max_size=5),
    after=st.text(max_size=5),
)
def test_what_stands_around_an_expression_keeps_its_column(before: str, value: str, after: str) -> None:
    behind = re.sub(r"[{}\s]", "", after)
    text = f"{before}{{{{ value }}}}{behind}MARK"
    made = rendered(text, value=re.sub(r"\s", "", value).replace("MARK", ""))
    span = made.span_at(made.text.rindex("MARK"))
    lines = text.split("\n")
    assert (span.line, span.column) == (len(lines), lines[-1].rindex("MARK") + 1)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_characters="\0", codec="utf-8")),
    st.text(st.sampled_from("'\"\\ E$\n%{}é")),
)


@given(values=st.lists(VALUES, min_size=1, max_size=20))
def test_literals_come_back_from_postgresql_as_they_were(database_18: Database, values: list[Any]) -> None:
    listed = ", ".join(format_literal(value) + ("::text" if not isinstance(value, bool) else "") for value in values)
    expected = tuple(value if value is None or isinstance(value, bool) else str(value) for value in values)
    for conforming in ("on", "off"):
        got = _connected(database_18).execute(
            f"SET standard_conforming_strings = {conforming}; SELECT {listed}".encode()
        )
        got.nextset()
        assert got.fetchone() == expected, conforming


@given(
    parts=st.lists(
        st.text(st.characters(exclude_characters="\0.", codec="utf-8"), min_size=1, max_size=12), min_size=1, max_size=3
    )
)
def test_identifiers_come_back_from_postgresql_as_they_were(database_18: Database, parts: list[str]) -> None:
    quoted = quote_dotted_name(".".join(parts))
    got = _connected(database_18).execute("SELECT parse_ident(%s)", [quoted]).fetchone()
    assert got == (parts,)


def _connected(database: Database) -> Any:
    """One connection for all examples of a test."""
    if database.name not in _CONNECTIONS:
        _CONNECTIONS.clear()
        _CONNECTIONS[database.name] = database.connect()
    return _CONNECTIONS[database.name]


_CONNECTIONS: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def _close_connections() -> Any:
    yield
    for connection in _CONNECTIONS.values():
        connection.close()
    _CONNECTIONS.clear()


@pytest.mark.parametrize(
    ("sql", "column"),
    [
        ("SELECT '{{1,2},{3,4}}'::int[]", 9),
        ("SELECT 1 WHERE 'x' LIKE '{%'", 26),
        ("SELECT {{ 1 }}, '{{ x'", 18),
    ],
)
def test_a_brace_that_is_no_template_is_located(project: Project, sql: str, column: int) -> None:
    project.migration("001_a", f"ddl:\n  - sql: |\n      {sql}\n")
    errors = project.run("migrate", "validate", expect=2).err
    assert "template-syntax" in errors
    assert f"001_a.yaml:3:{6 + column}" in errors
    assert "{% raw %}" in errors
    assert "plain .sql file" in errors


@pytest.mark.parametrize(("value", "kind"), [("[1, 2]", "a list"), ("{a: 1}", "a mapping"), ("[]", "a list")])
def test_literal_refuses_lists_and_mappings(project: Project, value: str, kind: str) -> None:
    project.migration("001_a", f"ddl:\n  - sql: SELECT {{{{ x | literal }}}}\nvars: {{x: {value}}}\n")
    errors = project.run("migrate", "validate", expect=2).err
    assert f"literal requires text, a number, a boolean or null, not {kind}" in errors
    assert "map('literal') | join(', ')" in errors


def test_the_ways_that_the_hint_names(project: Project) -> None:
    sql = "SELECT x IN ({{ x | map('literal') | join(', ') }}), {{ y | tojson | literal }}"
    project.migration("001_a", f"ddl:\n  - sql: {sql}\nvars: {{x: [1, b], y: {{a: [1.5]}}}}\n")
    assert "SELECT x IN ('1', 'b'), '{\"a\": [1.5]}'" in project.run("migrate", "show", "001").out


def test_a_number_that_json_cannot_hold_exactly_is_an_error(project: Project) -> None:
    project.migration("001_a", "ddl:\n  - sql: SELECT {{ x | tojson }}\nvars: {x: 0.12345678901234567890123}\n")
    assert "quote the number" in project.run("migrate", "validate", expect=2).err
