"""`--` comments in text that YAML or Python joins into one line swallow what follows: they are refused."""

from __future__ import annotations

import pytest

from tests.support.projects import Project

_SWALLOWED = {
    "folded block": ("sql: >\n      UPDATE t SET a = 0   -- closed\n      WHERE id = 7\n", 3, 28),
    "folded and stripped": ("sql: >-\n      CREATE TABLE x (id int); -- one\n      CREATE TABLE y (id int)\n", 3, 32),
    "folded and kept": ("sql: >+\n      SELECT 1; -- one\n      SELECT 2\n\n", 3, 17),
    "plain": ("sql: SELECT 1; -- one\n      SELECT 2\n", 2, 20),
    "single quotes": ("sql: 'SELECT 1; -- it''s one\n      SELECT 2'\n", 2, 21),
    "double quotes": ('sql: "SELECT 1; -- one\n      SELECT 2"\n', 2, 21),
    "after a template": ("sql: >\n      SELECT {{ 1 }}; -- one\n      SELECT 2\n", 3, 23),
    "after a word of several bytes": ("sql: >\n      SELECT 'é'; -- one\n      SELECT 2\n", 3, 19),
    "DO block": ("sql: >\n      DO $$ BEGIN\n      UPDATE t SET a = 0 -- closed\n      WHERE id = 7; END $$\n", 4, 26),
    "DO block of a language": (
        "sql: >\n      DO LANGUAGE plpgsql $x$ BEGIN\n      a = 1; -- one\n      b = 2; END $x$\n",
        4,
        14,
    ),
    "function": (
        "sql: >\n      CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$\n      SELECT 1 -- one\n      + 2 $$\n",
        4,
        16,
    ),
    "second comment": ("sql: >\n      SELECT 1 -- a\n\n      + 1 -- b\n      + 2\n", 5, 11),
    "check": ("check: >\n      SELECT 0 -- rows\n      WHERE false\n    expect: 0\n", 3, 16),
    "backfill": (
        "backfill:\n      into: r\n      from: w\n      sql: >\n        INSERT INTO r SELECT id FROM w -- all\n"
        "        WHERE {{ batch }}\n",
        6,
        40,
    ),
    "throttle": (
        "backfill:\n      into: r\n      from: w\n      sql: INSERT INTO r SELECT id FROM w WHERE {{ batch }}\n"
        "      throttle:\n        query: >\n          SELECT true -- now\n          FROM w\n",
        8,
        23,
    ),
    "reconcile": ("reconcile:\n      table: r\n      sql: >\n        SELECT id -- key\n        FROM w\n", 5, 19),
}
_HARMLESS = {
    "literal block": "sql: |\n      SELECT 1 -- one\n      + 2\n",
    "last line": "sql: >\n      SELECT 1\n      + 2 -- the sum\n",
    "before a blank line": "sql: >\n      SELECT 1 -- one\n\n      + 2\n",
    "before indented lines": "sql: >\n      SELECT 1\n        -- one\n        + 2\n",
    "escaped line end": 'sql: "SELECT 1 -- one\\n + 2"\n',
    "in a string": "sql: >\n      SELECT '--'\n      || 'x'\n",
    "in a dollar quote": "sql: >\n      DO $$ BEGIN -- $$;\n      SELECT 1\n",
    "in a value": "sql: >\n      SELECT $$ a -- b\n      c $$\n",
    "in Perl": "sql: >\n      DO LANGUAGE plperl $$ $i = 2;\n      $i--;\n      $i = 1; $$\n",
    "in a block comment": "sql: >\n      SELECT 1 /* -- */\n      + 2\n",
    "in a template": "sql: >\n      SELECT {{ '--' | length }}\n      + 2\n",
    "in a template comment": "sql: >\n      SELECT 1 {# -- #}\n      + 2\n",
}


def _write(project: Project, step: str) -> None:
    project.migration("001_a", f"ddl:\n  - {step}")


@pytest.mark.parametrize("case", _SWALLOWED)
def test_a_comment_that_swallows_lines_is_refused(project: Project, case: str) -> None:
    step, line, column = _SWALLOWED[case]
    _write(project, step)
    errors = project.run("migrate", "validate", expect=2).err
    assert "error[folded-comment]: this comment includes" in errors
    assert f"001_a.yaml:{line}:{column}" in errors


@pytest.mark.parametrize("case", _HARMLESS)
def test_other_comments_are_accepted(project: Project, case: str) -> None:
    _write(project, _HARMLESS[case])
    project.run("migrate", "validate", expect=None)
    assert "folded-comment" not in project.run("migrate", "validate", expect=None).err


def test_adjacent_strings_of_python(project: Project) -> None:
    project.write(
        "migrations/001_a.py",
        """
        from confiture import Migration

        class A(Migration):
            def up(self):
                self.execute(
                    "UPDATE t SET a = 0 -- closed"
                    " WHERE id = 7"
                )
        """,
    )
    errors = project.run("migrate", "validate", expect=2).err
    assert "001_a.py:6:33" in errors
    assert "folded-comment" in errors
