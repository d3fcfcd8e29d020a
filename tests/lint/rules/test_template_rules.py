"""Rules about templates: what changes data that the file seems to show."""

from __future__ import annotations

import pytest

from tests.support.projects import Project

_NAME, _COMMENT = "template_builtin_name", "template_comment_in_text"
_CASES = {
    "name in a text": ("SELECT '{{ name }}'", [(_NAME, "name")]),
    "all four": (
        "SELECT '{{ version }} {{ environment }} {{ vars.x }} {{ name }}'",
        [(_NAME, "version"), (_NAME, "environment"), (_NAME, "vars"), (_NAME, "name")],
    ),
    "with a filter": ("SELECT {{ name | literal }}", [(_NAME, "name")]),
    "in a block": ("SELECT 1 {% if version == '1' %} + 1 {% endif %}", [(_NAME, "version")]),
    "comment in a text": ("SELECT 'a {# b #} c'", [(_COMMENT, "{#")]),
    "comment beside a template": ("SELECT {{ 1 }}, 'a {# b #} c'", [(_COMMENT, "{#")]),
    "comment in dollar quotes": ("SELECT $$a {# b #} c$$", [(_COMMENT, "{#")]),
    "comment in a name": ('SELECT 1 AS "a {# b #} c"', [(_COMMENT, "{#")]),
    "prefixed": ("SELECT '{{ confiture.name }} {{ confiture.vars.x }} {{ confiture.environment }}'", []),
    "raw": ("SELECT '{% raw %}{{ name }} {# b #}{% endraw %}'", []),
    "a variable of the file": ("SELECT '{{ x }}'", []),
    "set in the template": ("SELECT {% set name = 1 %}{{ name }}", []),
    "a loop variable": ("SELECT 1{% for version in [1, 2] %} + {{ version }}{% endfor %}", []),
    "an attribute": ("SELECT '{{ y.name }}'", []),
    "a string in braces": ("SELECT '{{ \"name\" }}'", []),
    "comment outside of quotes": ("SELECT 1 {# b #} + 2", []),
    "comment in an SQL comment": ("SELECT 1 -- it's {# b #}", []),
}


@pytest.mark.parametrize("case", _CASES)
def test_templates_that_change_data(project: Project, case: str) -> None:
    sql, expected = _CASES[case]
    project.migration("001_a", f"ddl:\n  - sql: |\n      {sql}\nvars: {{x: 1, y: {{name: 2}}}}\n")
    report = project.run("lint", "--rule", _NAME, "--rule", _COMMENT, "--format", "json").json
    places = [(rule, 3, 7 + sql.index(text)) for rule, text in expected]
    assert [(one["rule"], one["line"], one["column"]) for one in report["findings"]] == places


def test_conditions_use_the_prefix_too(project: Project) -> None:
    project.migration("001_a", "ddl:\n  - sql: SELECT 1\n    when: environment != 'x'\n")
    (finding,) = project.run("lint", "--rule", _NAME, "--format", "json").json["findings"]
    assert (finding["line"], finding["column"]) == (3, 11)
    project.migration("001_a", "ddl:\n  - sql: SELECT 1\n    when: confiture.environment != 'x'\n")
    assert project.run("lint", "--rule", _NAME, "--format", "json").json["findings"] == []


def test_plain_files_are_not_rendered(project: Project) -> None:
    project.ddl("a.sql", "SELECT '{{ name }} {# b #}';\n")
    project.migration("001_a", "ddl: [a.sql]\n")
    report = project.run("lint", "--rule", _NAME, "--rule", _COMMENT, "--format", "json").json
    assert report["findings"] == []
