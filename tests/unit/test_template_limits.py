"""Templates take a bounded time and memory, and what they usually do is not refused."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from confiture.plan.rendering import TemplateProblem
from confiture.plan.template_limits import MAX_CHARACTERS, MAX_STEPS
from tests.support.paths import REPOSITORY
from tests.support.projects import Project
from tests.support.templates import rendered

MEMORY, SECONDS = 1_500_000_000, 300

DOUBLED = "{% set ns = namespace(x=START) %}{% for i in range(60) %}{% set ns.x = STEP %}{% endfor %}"


def doubled(start: str, step: str, end: str = "{{ ns.x | length }}") -> str:
    return DOUBLED.replace("START", start).replace("STEP", step) + end


TOO_LONG = {
    "loops in loops": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "loops in three": "{% for i in range(999) %}" * 3 + "{% endfor %}" * 3,
    "loop whose condition never holds": (
        "{% for i in range(99999) %}{% for j in range(99999) if false %}{% endfor %}{% endfor %}"
    ),
    "loop over what a filter makes": (
        "{% for i in range(99999) %}{% for j in range(99999) | map('string') %}{% endfor %}{% endfor %}"
    ),
    "loop over text": "{% set x = 'x' * 99999 %}{% for i in range(99) %}{% for j in x %}{% endfor %}{% endfor %}",
    "recursive loop": "{% for i in range(9999) recursive %}{{ loop(range(9999)) }}{% endfor %}",
    "recursive macro": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "macro that calls its caller": (
        "{% macro f(n) %}{{ caller() }}{{ caller() }}{% endmacro %}"
        + "".join("{% call f(1) %}" for _ in range(18))
        + "x"
        + "{% endcall %}" * 18
        + "{% for i in range(99) %}{% call f(1) %}{% for j in range(9999) %}{% endfor %}{% endcall %}{% endfor %}"
    ),
    "block in a loop": (
        "{% block b %}{% for i in range(999) %}{% endfor %}{% endblock %}"
        "{% for i in range(9999) %}{{ self.b() }}{% endfor %}"
    ),
    "block that sees the loop": (
        "{% for i in range(9999) %}{% block b scoped %}{% for j in range(999) %}{% endfor %}{% endblock %}{% endfor %}"
    ),
    "search in a list": (
        "{% set a = range(99999) | list %}{% for i in range(99999) %}{% if -1 in a %}{% endif %}{% endfor %}"
    ),
    "search by a test": "{% set a = range(9999) | list %}{{ range(99999) | select('in', a) | list | length }}",
    "long bodies": "{% for i in range(99999) %}" + "{{ '' if i else '' }}" * 300 + "{% endfor %}",
    "filters that pass on": "{% for i in range(99999) %}{{ range(99999) | select | first }}{% endfor %}"
    + "{% for i in range(99) %}{{ range(99999) | select | list | length }}{% endfor %}",
    "search in a range": "{% for i in range(99999) %}{{ '' if 3.5 in range(99999) else '' }}{% endfor %}",
    "mapping that grows": (
        "{% set ns = namespace(d={}) %}{% for i in range(99999) %}"
        "{% set ns.d = dict(ns.d, **{'a' ~ i: 1}) %}{% endfor %}"
    ),
    "many arguments": "{% for i in range(9999) %}{% set c = cycler(*range(9999)) %}{% endfor %}",
    "calls": "{% set c = cycler(1, 2) %}{% for i in range(99999) %}{{ c.next() }}{% endfor %}",
    "mappings made": "{% set ns = namespace(l=0) %}{% for i in range(99999) %}"
    + "{% set ns.l = [ns.l, {1: {}, 2: {}}, {3: {}, 4: {}}, {5: {}, 6: {}}, {7: {}, 8: {}}] %}{% endfor %}",
    "comparing what holds itself often": (
        doubled("[0]", "[ns.x, ns.x]", "")
        + DOUBLED.replace("ns", "other").replace("START", "[0]").replace("STEP", "[other.x, other.x]")
        + "{{ ns.x == other.x }}"
    ),
}

TOO_LARGE = {
    "repeated": "{{ 'x' * 10 ** 10 }}",
    "repeated, the number first": "{{ 10 ** 10 * 'x' }}",
    "repeated twice": "{{ 'x' * 10 ** 6 * 10 ** 6 }}",
    "list repeated": "{{ ([0] * 10 ** 10) | length }}",
    "tuple repeated": "{{ ((0,) * 10 ** 10) | length }}",
    "centered": "{{ 'x' | center(10 ** 10) }}",
    "centered by name": "{{ 'x' | center(width=10 ** 10) }}",
    "centered by a method": "{{ 'x'.center(10 ** 10) }}",
    "justified to the left": "{{ 'x'.ljust(10 ** 10) | length }}",
    "justified to the right": "{{ 'x'.rjust(10 ** 10, 'y') | length }}",
    "filled with zeros": "{{ '1'.zfill(10 ** 10) | length }}",
    "tabs expanded": "{{ ('\\t' * 1000).expandtabs(10 ** 8) | length }}",
    "indented": "{{ 'x' | indent(10 ** 10, true) }}",
    "indented by text": "{{ ('x\\n' * 10000) | indent('x' * 100000) | length }}",
    "joined in doubling": doubled("'x'", "ns.x ~ ns.x"),
    "added in doubling": doubled("'x'", "ns.x + ns.x"),
    "lists added in doubling": doubled("[0]", "ns.x + ns.x"),
    "replaced in doubling": doubled("'x'", "ns.x | replace('x', 'xx')"),
    "replaced by names": "{{ ('x' * 10000) | replace(old='x', new='y' * 1000000) | length }}",
    "replaced by a method": "{{ ('x' * 10000).replace('x', 'y' * 1000000) | length }}",
    "replaced between": "{{ ('x' * 10000) | replace('', 'y' * 1000000) | length }}",
    "joined": "{{ ([1] * 10000) | join('x' * 1000000) | length }}",
    "joined by name": "{{ ([1] * 10000) | join(d='x' * 1000000) | length }}",
    "joined by a method": "{{ ('x' * 1000000).join(['y'] * 10000) | length }}",
    "joined from a filter": "{{ (['x' * 1000000] * 10000) | select | join | length }}",
    "joined by a method from a filter": "{{ ''.join((['x' * 1000000] * 10000) | select) | length }}",
    "lists that hold a list often": doubled("['x']", "[ns.x, ns.x]", "{{ ns.x }}"),
    "the same as text": doubled("['x']", "[ns.x, ns.x]", "{{ ns.x | string | length }}"),
    "the same in a mapping": doubled("['x']", "{1: ns.x, 2: ns.x}", "{{ ns.x }}"),
    "the same by ~": doubled("['x']", "[ns.x, ns.x]", "{{ ns.x ~ '' }}"),
    "the same by %": doubled("['x']", "[ns.x, ns.x]", "{{ '%s' % (ns.x,) }}"),
    "the same by format": doubled("['x']", "[ns.x, ns.x]", "{{ '{}'.format(ns.x) }}"),
    "the same as JSON": doubled("['x']", "[ns.x, ns.x]", "{{ ns.x | tojson }}"),
    "the same as a literal": doubled("['x']", "[ns.x, ns.x]", "{{ ns.x | literal }}"),
    "the same replaced": doubled("['x']", "[ns.x, ns.x]", "{{ ns.x | replace('x', 'y') }}"),
    "a namespace as text": doubled("['x']", "[ns.x, ns.x]", "{{ ns }}"),
    "formatted by %": "{{ '%1000000000d' % 1 }}",
    "formatted by % with zeros": "{{ '%01000000000d' % 1 }}",
    "formatted by % by name": "{{ '%(a)1000000000s' % {'a': 1} }}",
    "formatted by % with a precision": "{{ '%.1000000000f' % 1 }}",
    "formatted by % with a star": "{{ '%*d' % (1000000000, 1) }}",
    "formatted by % often": "{{ ('%(a)s' * 10000) % {'a': 'x' * 100000} }}",
    "formatted by a filter": "{{ '%1000000000d' | format(1) }}",
    "formatted by a filter by name": "{{ '%(a)1000000000s' | format(a=1) }}",
    "format": "{{ '{:1000000000}'.format(1) }}",
    "format, aligned": "{{ '{:x>1000000000}'.format(1) }}",
    "format, nested": "{{ '{:{}}'.format(1, 1000000000) }}",
    "format with a mapping": "{{ '{a:1000000000}'.format_map({'a': 1}) }}",
    "format often": "{{ ('{0}' * 10000).format('x' * 100000) }}",
    "translated": "{{ ('x' * 100000).translate({120: 'y' * 100000}) | length }}",
    "bytes": "{{ (1).to_bytes(10 ** 10, 'big') | length }}",
    "JSON indented": "{{ [1, [2]] | tojson(indent=10 ** 10) }}",
    "batches filled": "{{ [1] | batch(10 ** 10, 'x') | list | length }}",
    "slices": "{{ [1] | slice(10 ** 10) | list | length }}",
    "wrapped": "{{ ('x ' * 1000000) | wordwrap(1, wrapstring='y' * 1000) | length }}",
    "loop": "{% set x = 'x' * 1000000 %}{% for i in range(99999) %}{{ x }}{% endfor %}",
    "loop in a set block": (
        "{% set x = 'x' * 1000000 %}{% set y %}{% for i in range(99999) %}{{ x }}{% endfor %}{% endset %}"
        "{{ y | length }}"
    ),
    "set blocks kept": (
        "{% set ns = namespace(l=[]) %}{% set x = 'x' * 1000000 %}{% for i in range(9999) %}"
        "{% set y %}{{ x }}{{ x }}{% endset %}{% set ns.l = ns.l + [y] %}{% endfor %}"
    ),
    "macros kept": (
        "{% set ns = namespace(l=[]) %}{% set x = 'x' * 1000000 %}{% macro m() %}{{ x }}{{ x }}{% endmacro %}"
        "{% for i in range(9999) %}{% set ns.l = ns.l + [m()] %}{% endfor %}"
    ),
    "slices kept": (
        "{% set ns = namespace(l=[]) %}{% set x = 'x' * 1000000 %}"
        "{% for i in range(9999) %}{% set ns.l = ns.l + [x[1:]] %}{% endfor %}"
    ),
    "mappings copied": (
        "{% set ns = namespace(l=0) %}{% set d = dict.fromkeys(range(99999)) %}"
        "{% for i in range(9999) %}{% set ns.l = [ns.l, d.copy()] %}{% endfor %}"
    ),
    "lists kept": (
        "{% set ns = namespace(l=0) %}{% for i in range(9999) %}{% set ns.l = [ns.l, range(9999) | list] %}{% endfor %}"
    ),
    "text that is safe in HTML": "{{ ('x' | safe).center(10 ** 10) | length }}",
    "the same, replaced": "{{ (('x' * 100000) | safe).replace('x', 'y' * 100000) | length }}",
    "sum of lists": "{% set a = [[1]] * 99999 %}{{ a | sum(start=[]) | length }}",
    "filtered block": "{% filter replace('x', 'y' * 1000000) %}{% for i in range(9999) %}x{% endfor %}{% endfilter %}",
    "escaped": "{% autoescape true %}{{ ('<' * 10000000) | e | length }}{% endautoescape %}",
}

TOO_MANY_DIGITS = {
    "power of a power": "{{ 9 ** (9 ** 9) }}",
    "power": "{{ 2 ** (10 ** 10) % 7 }}",
    "powers of powers": "{% set a = 9 ** 999 %}{% set b = a ** 999 %}{{ b ** 999 }}",
    "product in doubling": doubled("9", "ns.x * ns.x", "{{ ns.x % 7 }}"),
    "rounded": "{{ 5 | round(-10 ** 10) }}",
    "rounded up": "{{ 5.5 | round(10 ** 10, 'ceil') }}",
    "product": "{{ 9 ** 900 * 9 ** 2700 * 9 ** 2700 }}",
    "number in a text": "{{ ('9' * 5000) | int }}",
    "number in the template": "{{ " + "9" * 5000 + " }}",
    "width": "{{ ('%' ~ '9' * 5000 ~ 'd') % 1 }}",
    "width of a format": "{{ ('{:' ~ '9' * 5000 ~ '}').format(1) }}",
    "number of the settings": "{{ large | int }}",
    "number of the settings, formatted": "{{ '%d' % large }}",
    "number of the settings, in a format": "{{ '{:f}'.format(large) }}",
    "number of the settings, as a ratio": "{{ large.as_integer_ratio() }}",
}

REFUSED = {
    **{f"time: {name}": (template, f"more than {MAX_STEPS:,} steps") for name, template in TOO_LONG.items()},
    **{f"text: {name}": (template, f"more than {MAX_CHARACTERS:,} characters") for name, template in TOO_LARGE.items()},
    **{f"digits: {name}": (template, "more than 3,000 digits") for name, template in TOO_MANY_DIGITS.items()},
}


def main() -> None:
    """Renders each template, in a process that may take little memory, and prints how it ends."""
    for name, (template, _) in REFUSED.items():
        try:
            text = rendered(f"SELECT 1;\n{template}", large=Decimal("1e999999")).text
            ended = f"{len(text)} characters"
        except TemplateProblem as problem:
            (found,) = problem.diagnostics
            ended = f"{found.span and found.span.line} {found.code}: {found.message} -> {found.hint}"
        sys.stdout.write(json.dumps([name, ended]) + "\n")
        sys.stdout.flush()


@pytest.fixture(scope="module")
def endings() -> Mapping[str, str]:
    """How each template of REFUSED ends."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.unit.test_template_limits"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=_limit,
    )
    return dict(json.loads(line) for line in done.stdout.splitlines()) | {"": done.stderr[-2_000:]}


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))


@pytest.mark.parametrize("name", REFUSED)
def test_a_template_that_takes_too_much_is_refused(endings: Mapping[str, str], name: str) -> None:
    assert name in endings, endings[""]
    ended = endings[name]
    assert ended.startswith("2 template-limit: template: the template "), ended
    assert REFUSED[name][1] in ended
    assert "in SQL" in ended


def test_the_command_says_where_and_what_to_do(project: Project) -> None:
    project.migration("001_a", "ddl:\n  - sql: |\n      SELECT 1;\n      SELECT '{{ 'x' * 10 ** 10 }}';\n")
    told = project.run("migrate", "validate", expect=2).err
    for piece in ("migrations/001_a.yaml:4:7", "more than 67,108,864 characters", "next: shorten the text"):
        assert piece in told


@pytest.mark.parametrize(
    ("template", "message"),
    [
        pytest.param("{{ version ~ 1 }}" * 10_001, "more than 10,000 expressions and blocks", id="expressions"),
        pytest.param("{% if true %}{% endif %}\n" * 5_001, "more than 10,000 expressions and blocks", id="blocks"),
        pytest.param("{# #}" * 10_001, "more than 10,000 expressions and blocks", id="comments"),
        pytest.param(f"{{{{ [{'1, ' * 100_000}] | length }}}}", "more than 200,000 characters", id="long expression"),
        pytest.param(f"{{{{ {'1, ' * 100_000}", "more than 200,000 characters", id="expression without an end"),
        pytest.param("{{ " + "(" * 50_000, "nested too deeply", id="brackets"),
        pytest.param("{% if true %}" * 2_000 + "{% endif %}" * 2_000, "nested too deeply", id="nested blocks"),
        pytest.param("{{ 1" + " + 1" * 5_000 + " }}", "nested too deeply", id="long sum"),
    ],
)
def test_a_template_that_would_take_long_to_compile_is_refused(template: str, message: str) -> None:
    with pytest.raises(TemplateProblem, match=message) as caught:
        rendered(template)
    assert caught.value.diagnostics[0].hint


def test_a_name_may_be_used_often() -> None:
    assert rendered("{{ version }}" * 10_500).text == rendered("{{ version }}").text * 10_500


def test_a_condition_is_bounded_too(project: Project) -> None:
    project.migration("001_a", 'ddl:\n  - sql: SELECT 1\n    when: ("x" * 10 ** 10) == name\n')
    assert "more than 67,108,864 characters" in project.run("migrate", "validate", expect=2).err


def test_filters_on_filters_do_not_recurse() -> None:
    set_up = (
        "{% set ns = namespace(x=[1]) %}{% for i in range(30000) %}{% set ns.x = ns.x | map('string') %}{% endfor %}"
    )
    assert rendered(set_up + "{{ ns.x | first }}").text == "1"


@pytest.mark.parametrize(
    ("template", "text"),
    [
        pytest.param("{% for i in range(99999) %}{% endfor %}{{ 'x' }}", "x", id="loop of 99,999"),
        pytest.param("{{ range(1000) | map('string') | join(',') | length }}", "3889", id="1,000 values joined"),
        pytest.param("{{ ('x' * 1000000) | length }}", "1000000", id="a million characters"),
        pytest.param("{{ ('a\n' * 10000) | indent(8) | length }}", "99992", id="10,000 lines indented"),
        pytest.param("{{ ('ab' * 100000) | replace('a', 'ccc') | length }}", "400000", id="replaced"),
        pytest.param("{{ 'x' | center(5) }}|{{ 'x'.ljust(3) }}|{{ '7'.zfill(3) }}", "  x  |x  |007", id="padded"),
        pytest.param("{{ '%5d|%-3s|%.2f' % (1, 'a', 2) }}", "    1|a  |2.00", id="formatted by %"),
        pytest.param("{{ '%*d|%(x)s' if false else '%(a)s' % {'a': 1} }}", "1", id="formatted by a mapping"),
        pytest.param("{{ '{:>5}|{a}|{:{}}'.format(1, 2, 3, a='b') }}", "    1|b|  2", id="format"),
        pytest.param("{{ '%s-%s' | format(1, 2) }}", "1-2", id="formatted by a filter"),
        pytest.param("{{ 2 ** 64 }} {{ 7 // 2 }} {{ 7 % 4 }} {{ -3 + 1 }} {{ 2 ** -1 }}", None, id="numbers"),
        pytest.param("{{ 1 + 0.5 }} {{ 3 * 1.5 }} {{ 7 / 2 }} {{ true + 1 }}", "1.5 4.5 3.5 2", id="floats"),
        pytest.param("{{ d * 2 }} {{ d + 1 }} {{ d | int }} {{ d }}", "3.0 2.5 1 1.5", id="decimals"),
        pytest.param("{{ [1, 2] + [3] }} {{ (1,) * 2 }} {{ 'a' ~ 1 ~ none }}", "[1, 2, 3] (1, 1) a1None", id="lists"),
        pytest.param("{% for a, b in {'x': 1}.items() %}{{ a }}{{ b }}{% endfor %}", "x1", id="items"),
        pytest.param("{% for x in [] %}{% else %}none{% endfor %}", "none", id="empty loop"),
        pytest.param(
            "{% for x in [1, 2, 3] if x != 2 %}{{ loop.index }}/{{ loop.length }}{{ x }}{% endfor %}",
            "1/212/23",
            id="if",
        ),
        pytest.param(
            "{% for x in [1, [2, [3]]] recursive %}{{ loop(x) if x is iterable else x }}{% endfor %}",
            "123",
            id="recursive",
        ),
        pytest.param("{% for x in range(5) | select('odd') %}{{ x }}{{ loop.last }}{% endfor %}", None, id="lazy"),
        pytest.param("{{ range(10) | batch(4) | map('length') | list }}", "[4, 4, 2]", id="batch"),
        pytest.param("{{ range(10) | slice(3) | map('first') | list }}", "[0, 4, 7]", id="slice"),
        pytest.param("{{ [[1, 2], [3]] | sum(start=[]) }} {{ [1, 2] | sum }}", "[1, 2, 3] 3", id="sum"),
        pytest.param("{{ [{'a': 1}, {'a': 2}] | map(attribute='a') | join('-') }}", "1-2", id="attribute"),
        pytest.param("{{ [{'a': 1}, {'a': 2}] | join(', ', attribute='a') }}", "1, 2", id="join by attribute"),
        pytest.param("{{ [3, 1] | sort }} {{ [1, 1] | unique | list }} {{ 'b' in 'abc' }}", None, id="sort"),
        pytest.param("{% set x %}a{% endset %}{% set y | upper %}b{% endset %}{{ x }}{{ y }}", "aB", id="set block"),
        pytest.param("{% filter upper %}a{{ 'b' }}{% endfilter %}", "AB", id="filter block"),
        pytest.param(
            "{% macro m(x, y=2) %}{{ x }}{{ y }}{% if caller is defined %}{{ caller() }}{% endif %}{% endmacro %}"
            "{{ m(1) }}{% call m(3) %}c{% endcall %}",
            "1232c",
            id="macro",
        ),
        pytest.param("{% block b %}x{% endblock %}{{ self.b() }}", "xx", id="block"),
        pytest.param("{{ 'abcdef'[1:3] }}{{ [1, 2, 3][:2] }}{{ {'a': 1}['a'] }}", "bc[1, 2]1", id="slices of text"),
        pytest.param("{{ 1 < 2 < 3 }} {{ [1] == [1] }} {{ 'a' not in ['b'] }}", "True True True", id="comparing"),
        pytest.param("{{ {(1, 2): 3} }} {{ {'a': 1, 'b': [2]} | tojson }}", None, id="mappings"),
        pytest.param("{{ 2.567 | round(2) }} {{ 5 | round }} {{ 1234 | round(-2) }}", None, id="rounded"),
        pytest.param("{{ ['b', 'a'] | sort | map('literal') | join(', ') }}", "'a', 'b'", id="filters of ours"),
        pytest.param("{{ c() if c is callable else 'no' }}", "no", id="callable"),
        pytest.param("{{ cycler('a', 'b').next() }}{{ joiner()() }}{{ dict(a=1) }}", "a{'a': 1}", id="globals"),
    ],
)
def test_what_templates_usually_do_is_not_refused(template: str, text: str | None) -> None:
    from jinja2 import Environment, StrictUndefined

    values: dict[str, Any] = {"d": Decimal("1.5"), "c": 1}
    made = rendered(template, **values).text
    if text is not None:
        assert made == text
    plain = Environment(undefined=StrictUndefined, keep_trailing_newline=True)
    plain.filters["literal"] = lambda value: f"'{value}'"
    assert made == plain.from_string(template).render(values)


if __name__ == "__main__":
    main()
