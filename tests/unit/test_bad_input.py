"""Mistakes in files: each with its place, cause and next step, all at once, before anything is touched."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from confiture.errors import Diagnostic, InputError
from confiture.files.settings import SettingsOverrides, load_settings
from tests.support.mistakes import mistakes
from tests.support.projects import Project

STEP = "ddl: [{sql: SELECT 1}]\n"


def told(found: Diagnostic) -> str:
    """A mistake on one line: `line:column code: message -> hint`."""
    place = f"{found.span.line}:{found.span.column}" if found.span else "-"
    return f"{place} {found.code}: {found.message} -> {found.hint}"


def assert_told(found: list[Diagnostic], expected: list[str]) -> None:
    """Holds mistakes against lines of the form `line:column code: piece of message -> piece of hint`, in order."""
    lines = [told(diagnostic) for diagnostic in found]
    assert len(found) == len(expected), "\n".join(lines)
    for line, diagnostic, wanted in zip(lines, found, expected, strict=True):
        head, _, rest = wanted.partition(": ")
        message, _, hint = rest.partition(" -> ")
        assert line.startswith(head + ":"), f"{line}\nis not at {head}"
        assert message in diagnostic.message, line
        assert diagnostic.hint and hint in diagnostic.hint, line


YAML_MISTAKES = {
    "empty": ("", ["1:1 empty-file: empty -> confiture new"]),
    "only a comment": ("# nothing\n", ["1:1 empty-file: empty -> confiture new"]),
    "mapping value in a value": ("a: b: c\n", ["1:5 bad-yaml: mapping values are not allowed -> quote"]),
    "tab at the start": ("\tddl: []\n", ["1:1 bad-yaml: '\\t' -> indent with spaces"]),
    "tab as indentation": ("ddl:\n\t- a\n", ["2:1 bad-yaml: '\\t' -> indent with spaces"]),
    "two documents": ("a: 1\n---\nb: 2\n", ["2:1 bad-yaml: another document -> a single document"]),
    "unclosed bracket": ("ddl: [{sql: SELECT 1}\n", ["2:1 bad-yaml: expected ',' -> brackets"]),
    "unclosed quote": ("name: 'x\nddl: []\n", ["3:1 bad-yaml: end of stream -> quotes"]),
    "unknown alias": ("ddl: *nothing\n", ["1:6 bad-yaml: undefined alias -> begins with *"]),
    "character that cannot begin": ("name: @x\n", ["1:7 bad-yaml: '@' -> quote"]),
    "another YAML": ("%YAML 1.1\n---\n" + STEP, ["1:1 bad-yaml: unsupported YAML version: %YAML 1.1 -> YAML 1.2"]),
    "YAML from the future": ("# x\n%YAML 9.9\n---\n" + STEP, ["2:1 bad-yaml: unsupported YAML version -> YAML 1.2"]),
    "NUL": ("ddl:\n  - \0\n", ["2:5 bad-yaml: U+0000 -> remove"]),
    "bell": ("ddl:\n  - a\a\n", ["2:6 bad-yaml: U+0007 -> remove"]),
    "lone carriage return": ("ddl:\r  - a\n", ["1:5 bad-yaml: U+000D -> \\u000d"]),
    "line separator": ("description: a\u2028b\n" + STEP, ["1:15 bad-yaml: U+2028 -> \\u2028"]),
    "next line": ("# é\nname: a\x85\n", ["2:8 bad-yaml: U+0085 -> \\u0085"]),
    "nested beyond the parser": (
        "vars: {a: " + "[" * 3000 + "]" * 3000 + "}\n",
        ["1:1 bad-yaml: too deeply -> reduce the nesting"],
    ),
    "nested too deeply": (
        "vars: {a: " + "[" * 60 + "]" * 60 + "}\n" + STEP,
        ["1:59 nested-too-deeply: 50 levels -> SQL"],
    ),
    "escaped NUL": ('ddl: [{name: "a\\0", sql: SELECT 1}]\n', ["1:14 bad-character: U+0000 -> remove"]),
    "half a surrogate pair": (
        'vars: {a: "\\ud800"}\nname: "\\x00"\n' + STEP,
        ["1:11 bad-character: U+D800 -> remove", "2:7 bad-character: U+0000 -> remove"],
    ),
    "a list": ("- a\n", ["1:1 wrong-type: expected a mapping with version, name, -> one `key: value` per line"]),
    "a word": ("foo\n", ["1:1 wrong-type: found the text 'foo' -> `key: value`"]),
    "null": ("~\n", ["1:1 wrong-type: found nothing -> add a value"]),
}

KEY_MISTAKES = {
    "unknown, near": ("dll: []\n" + STEP, ["1:1 unknown-key: unknown key 'dll' -> did you mean 'ddl'?"]),
    "unknown, far": ("zzz: 1\n" + STEP, ["1:1 unknown-key: unknown key 'zzz' -> known keys: version, name"]),
    "unknown in a step": (
        "ddl:\n  - sql: SELECT 1\n    timeot: 3s\n",
        ["3:5 unknown-key: unknown step key 'timeot' -> did you mean 'timeout'?"],
    ),
    "duplicate": ("name: a\nname: b\n" + STEP, ["2:1 duplicate-key: first on line 1 -> remove one"]),
    "duplicate in a step": (
        "ddl:\n  - sql: SELECT 1\n    sql: SELECT 2\n",
        ["3:5 duplicate-key: duplicate key 'sql'; first on line 2 -> remove one"],
    ),
    "key that is no text": ("[a]: 1\n" + STEP, ["1:1 wrong-type: a key must be text -> key: value"]),
    "tag on a key": ("!x name: a\n" + STEP, ["1:1 unknown-tag: unknown tag !x -> remove the tag"]),
    "tag on a list": ("ddl: !x [{sql: SELECT 1}]\n", ["1:6 unknown-tag: !x -> remove the tag"]),
    "tag on a step": ("ddl: [!x {sql: SELECT 1}]\n", ["1:7 unknown-tag: !x -> remove the tag"]),
    "tag on a value": ("ddl: [{sql: !x SELECT}]\n", ["1:13 unknown-tag: !x -> remove the tag"]),
    "tag of Python": ("name: !!python/name:os.system x\n" + STEP, ["1:7 unknown-tag: python/name:os.system -> remove"]),
    "merge of a number": ("<<: 3\n" + STEP, ["1:1 wrong-type: merges mappings, not the number 3 -> <<: *name"]),
    "merge of itself": ("vars: &a {<<: *a}\n" + STEP, ["1:11 alias-loop: contains it -> remove the alias"]),
    "merge of itself in a list": ("vars: {x: &a {<<: [*a]}}\n" + STEP, ["1:15 alias-loop: contains it -> remove"]),
    "alias to what holds it": ("vars: &a {b: *a}\n" + STEP, ["1:7 alias-loop: contains it -> remove the alias"]),
    "unknown, with a secret": (
        "url://me:s3cret@h: 1\n" + STEP,
        ["1:1 unknown-key: unknown key 'url://...' -> known keys"],
    ),
}

VALUE_MISTAKES = {
    "text for a list": ("ddl: a.sql\n", ["1:6 wrong-type: expected a list, found the text 'a.sql' -> `- `"]),
    "mapping for a list": ("ddl: {sql: SELECT 1}\n", ["1:6 wrong-type: expected a list, found a mapping -> `- `"]),
    "number for text": ("name: 3\n" + STEP, ["1:7 wrong-type: expected text, found the number 3 -> in quotes"]),
    "truth for text": ("name: true\n" + STEP, ["1:7 wrong-type: found the boolean true -> in quotes"]),
    "number for SQL": ("ddl: [{sql: 3}]\n", ["1:13 wrong-type: expected text, found the number 3 -> in quotes"]),
    "nothing for text": ("name:\n\n# x\n" + STEP, ["1:5 wrong-type: expected text, found nothing -> remove the key"]),
    "empty text": ("name: ''\n" + STEP, ["1:7 empty-value: expected text -> remove the key"]),
    "empty SQL": ("ddl:\n  - sql: ' '\n", ["2:10 empty-value: expected text -> remove the key"]),
    "list for a version": ("version: [1]\n" + STEP, ["1:10 wrong-type: expected text, found a list -> write text"]),
    "version with a space": ("version: 1 2\n" + STEP, ["1:1 bad-version: '1 2' is not a valid version -> such as 012"]),
    "version without a digit or letter": ("version: '-.'\n" + STEP, ["1:1 bad-version: is not a valid version -> 012"]),
    "endless version": (f"version: '{'1' * 9999}'\n" + STEP, ["1:1 bad-version: 111... -> at most 60"]),
    "timeout without a unit": ("ddl: [{sql: SELECT 1, timeout: 3}]\n", ["1:32 wrong-type: a duration -> 500ms, 2s"]),
    "timeout in odd units": ("ddl: [{sql: SELECT 1, timeout: 3y}]\n", ["1:32 wrong-type: '3y' -> 500ms, 2s"]),
    "negative timeout": ("ddl: [{sql: SELECT 1, timeout: -3s}]\n", ["1:32 wrong-type: '-3s' -> 500ms, 2s"]),
    "timeout that is null": ("ddl: [{sql: SELECT 1, timeout: ~}]\n", ["1:32 wrong-type: found nothing -> 500ms, 2s"]),
    "timeout beyond PostgreSQL": ("ddl: [{sql: SELECT 1, timeout: 999h}]\n", ["1:32 wrong-value: too long -> 576h"]),
    "endless timeout": (
        f"ddl: [{{sql: SELECT 1, timeout: {'9' * 5000}s}}]\n",
        ["1:32 wrong-value: 999... is too long -> 576h"],
    ),
    "expectation without a key": (
        "ddl: [{check: SELECT 1, expect: {}}]\n",
        ["1:33 wrong-value: exactly one key -> rows"],
    ),
    "expectation with two keys": (
        "ddl: [{check: SELECT 1, expect: {'>': 1, '<': 3}}]\n",
        ["1:33 wrong-value: exactly one key -> one of ="],
    ),
    "expectation with an unknown key": (
        "ddl: [{check: SELECT 1, expect: {row: []}}]\n",
        ["1:34 unknown-key: unknown expectation 'row' -> did you mean 'rows'?"],
    ),
    "more than null": (
        "ddl: [{check: SELECT 1, expect: {'>': ~}}]\n",
        ["1:34 wrong-value: > cannot be used with null -> use ="],
    ),
    "a list is expected": ("ddl: [{check: SELECT 1, expect: [1]}]\n", ["1:33 wrong-type: found a list -> write text"]),
    "rows of mappings": (
        "ddl: [{check: SELECT 1, expect: {rows: [[1, {a: 1}]]}}]\n",
        ["1:45 wrong-type: found a mapping -> write text"],
    ),
    "name of a variable": (
        "vars: {a-b: 1, 1a: 2, '': 3, é: 4}\n" + STEP,
        [f"1:{column} bad-name: letters, digits and _ -> another name" for column in (8, 16, 23, 30)],
    ),
    "taken name of a variable": (
        "vars: {name: 1, version: 2, environment: 3, vars: 4, self: 5, if: 6, true: 7}\n" + STEP,
        [
            f"1:{column} bad-name: is not a valid variable name -> another name"
            for column in (8, 17, 29, 45, 54, 63, 70)
        ],
    ),
    "number without digits": (
        "vars: {a: 0x_}\n" + STEP,
        ["1:11 wrong-value: '0x_' cannot be read as int -> in quotes"],
    ),
    "point without digits": ("vars: {a: ._}\n" + STEP, ["1:11 wrong-value: '._' cannot be read as float -> quotes"]),
    "word as a number": ("vars: {a: !!int x}\n" + STEP, ["1:11 wrong-value: 'x' cannot be read as int -> quotes"]),
    "word as a truth value": (
        "vars: {a: !!bool x}\n" + STEP,
        ["1:11 wrong-value: 'x' cannot be read as bool -> quotes"],
    ),
    "word as null": ("vars: {a: !!null x}\n" + STEP, ["1:11 wrong-value: 'x' cannot be read as null -> quotes"]),
    "endless number": (f"vars: {{a: {'1' * 5000}}}\n" + STEP, ["1:11 wrong-value: cannot be read as int -> quotes"]),
    "endless exponent": ("vars: {a: 1e99999999999999999999}\n" + STEP, ["1:11 wrong-value: as float -> quotes"]),
}

STEP_MISTAKES = {
    "no kind": ("ddl:\n  - name: x\n", ["2:5 step-kind: exactly one of file, sql, check -> add `file:`"]),
    "misspelt kind": ("ddl:\n  - sqll: SELECT 1\n", ["2:5 unknown-key: 'sqll' -> did you mean 'sql'?"]),
    "empty mapping": ("ddl: [{}]\n", ["1:7 step-kind: exactly one of -> add `file:`"]),
    "two kinds": (
        "ddl:\n  - sql: SELECT 1\n    check: SELECT 2\n    expect: 1\n",
        ["2:5 step-kind: found sql and check -> split the step"],
    ),
    "check without expect": ("ddl: [{check: SELECT 1}]\n", ["1:8 missing-key: a check needs `expect` -> expect: 0"]),
    "expect without check": (
        "ddl: [{sql: SELECT 1, expect: 0}]\n",
        ["1:23 unknown-key: `expect` is only valid with `check` -> `check:`"],
    ),
    "null": ("ddl:\n  -\n  - sql: SELECT 1\n", ["2:3 wrong-type: expected text, found nothing -> add a value"]),
    "number": ("ddl: [3]\n", ["1:7 wrong-type: found the number 3 -> quotes"]),
    "list": ("ddl: [[]]\n", ["1:7 wrong-type: expected a mapping with name, file, sql -> key: value"]),
    "no step at all": ("ddl: []\n", ["1:1 no-steps: no steps -> `ddl:`"]),
    "statement left out": (
        "ddl: [{sql: -- later}, {sql: ;}]\n",
        ["1:13 no-statement: no SQL -> remove", "1:30 no-statement: no SQL -> remove"],
    ),
    "check of two queries": (
        "ddl:\n  - check: |\n      SELECT 1;\n      SELECT 2\n    expect: 1\n",
        ["4:7 check-not-a-query: found 2 statements -> one check for each"],
    ),
    "check of an update": (
        "ddl: [{check: UPDATE a SET b = 1, expect: 1}]\n",
        ["1:15 check-not-a-query: SELECT, VALUES -> `sql:`"],
    ),
}

FILE_NAME_MISTAKES = {
    "missing": (
        "ddl:\n  - 99/zzzzzz.sql\n",
        ["2:5 missing-file: no file 99/zzzzzz.sql below schemas/ -> below the schemas folder"],
    ),
    "in another folder": ("ddl:\n  - 02/here.sql\n", ["2:5 missing-file: 02/here.sql -> did you mean '01/here.sql'?"]),
    "misspelt": ("ddl:\n  - file: 01/hree.sql\n", ["2:11 missing-file: 01/hree.sql -> did you mean '01/here.sql'?"]),
    "upwards": ("ddl: [../a.sql]\n", ["1:7 path-leaves-project: ../a.sql leaves -> below the schemas folder"]),
    "up and down": ("ddl: [01/../../a.sql]\n", ["1:7 path-leaves-project: leaves -> below the schemas folder"]),
    "absolute": ("ddl: [/etc/a.sql]\n", ["1:7 path-leaves-project: /etc/a.sql leaves -> below the schemas folder"]),
    "no SQL": ("ddl: [01/a.txt]\n", ["1:7 not-sql: 01/a.txt is not an SQL file -> .sql.j2"]),
    "a folder": ("ddl: ['01']\n", ["1:8 not-sql: 01 is not an SQL file -> .sql.j2"]),
    "a folder that looks like a file": (
        "ddl: [folder.sql]\n",
        ["1:7 not-a-file: schemas/folder.sql is a folder -> a regular file"],
    ),
    "name longer than names can be": (
        f"ddl: [{'a' * 300}.sql]\n",
        ["1:7 missing-file: aaa -> below the schemas folder"],
    ),
    "link that leaves": (
        "ddl: [outside.sql]\n",
        ["1:7 path-leaves-project: schemas/outside.sql is outside the project, at -> into the project"],
    ),
    "link to itself": (
        "ddl: [loop.sql]\n",
        ["1:7 unreadable-file: schemas/loop.sql: too many levels of symbolic links -> check that"],
    ),
    "link to nothing": (
        "ddl: [dangling.sql]\n",
        ["1:7 unreadable-file: schemas/dangling.sql: no such file -> check that"],
    ),
}

TEMPLATE_MISTAKES = {
    "undefined": (
        "ddl:\n  - sql: |\n      SELECT foo, {{ foo }};\n",
        ["3:22 undefined-name: 'foo' is not defined -> --var foo="],
    ),
    "undefined, near": (
        "vars: {read_model: x}\nddl: [{sql: 'ANALYZE {{ read_modle }}'}]\n",
        ["2:25 undefined-name: 'read_modle' -> did you mean 'read_model'?"],
    ),
    "undefined attribute": (
        "ddl:\n  - sql: |\n      SELECT 1,\n        {{ version.x }}\n",
        ["4:9 undefined-name: no attribute 'x' -> default"],
    ),
    "sandboxed": (
        "ddl:\n  - sql: |\n      SELECT 1,\n      {{ version.__class__ }}\n",
        ["4:7 forbidden-name: '__class__' -> plain values"],
    ),
    "changing a list": (
        "vars: {a: [1]}\nddl: [{sql: 'SELECT {{ a.append(1) }}'}]\n",
        ["2:14 forbidden-name: 'append' -> plain values"],
    ),
    "include": (
        "ddl: [{sql: \"{% include 'x' %}\"}]\n",
        ["1:14 forbidden-name: other templates -> into this template"],
    ),
    "import": (
        "ddl:\n  - sql: |\n      SELECT 1;\n      {% import 'x' as y %}\n",
        ["4:7 forbidden-name: template -> copy"],
    ),
    "syntax": (
        "ddl:\n  - sql: |\n      SELECT 1;\n\n      {% for x in %}{% endfor %}\n",
        ["5:7 template-syntax: Expected an expression -> braces"],
    ),
    "block that is not closed": (
        "ddl:\n  - sql: |\n      SELECT 1;\n      {% if true %}\n\n",
        ["4:7 template-syntax: Unexpected end of template -> braces"],
    ),
    "brace that is not closed": ("ddl: [{sql: 'SELECT {{ 1'}]\n", ["1:21 template-syntax: end of template -> braces"]),
    "quote that is not closed": (
        "ddl:\n  - sql: |\n      A\n      {{ 'a\n",
        ["4:7 template-syntax: unexpected char -> braces"],
    ),
    "unknown filter": (
        "ddl: [{sql: '{{ version|frob }}'}]\n",
        ["1:14 template-syntax: No filter named 'frob' -> braces"],
    ),
    "chance": ("ddl: [{sql: '{{ [1, 2]|random }}'}]\n", ["1:14 template-syntax: No filter named 'random' -> braces"]),
    "division by zero": ("ddl: [{sql: '{{ 1 / 0 }}'}]\n", ["1:14 template-error: ZeroDivisionError -> this line"]),
    "endless range": (
        "ddl: [{sql: '{{ range(9999999) }}'}]\n",
        ["1:14 template-limit: a range of more than 100,000 -> SQL"],
    ),
    "nested too deeply": (
        "ddl: [{sql: 'SELECT {{ " + "(" * 3000 + "1" + ")" * 3000 + " }}'}]\n",
        ["1:14 template-error: too deeply -> split"],
    ),
    "too many loops in loops": (
        "ddl:\n  - sql: |\n      " + "{% for i in [1] %}" * 30 + "{% endfor %}" * 30 + "\n",
        ["3:7 template-error: too deeply -> split"],
    ),
    "folded": (
        "ddl:\n  - sql: >\n      SELECT\n      {{ foo }}\n",
        ["4:10 undefined-name: 'foo' -> --var foo="],
    ),
    "condition with braces": (
        "ddl: [{sql: SELECT 1, when: '{{ true }}'}]\n",
        ["1:30 bad-condition: without braces -> environment !="],
    ),
    "condition that is text": (
        "ddl: [{sql: SELECT 1, when: version}]\n",
        ["1:29 bad-condition: must be true or false -> comparison"],
    ),
    "condition undefined": ("ddl: [{sql: SELECT 1, when: prod}]\n", ["1:29 undefined-name: 'prod' -> --var prod="]),
    "condition that is no expression": (
        "ddl: [{sql: SELECT 1, when: 1 +}]\n",
        ["1:29 template-syntax: unexpected -> braces"],
    ),
    "condition and SQL": (
        "ddl: [{sql: SELEC, when: prod}]\n",
        ["1:13 sql-syntax: SELEC -> this position", "1:26 undefined-name: 'prod' -> --var prod="],
    ),
}

SQL_MISTAKES = {
    "one line": ("ddl: [{sql: SELECT 1; SELEC 2}]\n", ['1:23 sql-syntax: at or near "SELEC" -> this position']),
    "block": ("ddl:\n  - sql: |\n      SELECT 1;\n\n      SELEC 2\n", ["5:7 sql-syntax: SELEC -> this position"]),
    "block with a tag": ("ddl:\n  - sql: !!str |-\n      SELECT 1;\n      SELEC 2", ["4:7 sql-syntax: SELEC -> this"]),
    "block with an anchor": (
        "ddl:\n  - sql: &a # x\n     |\n      SELECT 1;\n      SELEC\n",
        ["5:7 sql-syntax: SELEC -> this"],
    ),
    "block that says its indentation": (
        "ddl:\n  - sql: |2\n       SELECT 1;\n      SELEC\n",
        ["4:7 sql-syntax: SELEC -> this"],
    ),
    "block below empty lines": ("ddl:\n  - sql: |  # x\n\n\n      SELEC\n", ["5:7 sql-syntax: SELEC -> this position"]),
    "folded": (
        "ddl:\n  - sql: >\n      SELECT 1;\n\n      SELECT\n       SELEC FROM\n",
        ["6:17 sql-syntax: end of input -> missing"],
    ),
    "plain over lines": ("ddl:\n  - sql: SELECT 1;\n\n      SELEC 2\n", ["4:7 sql-syntax: SELEC -> this position"]),
    "single quotes": ("ddl: [{sql: 'SELECT ''é''; SELEC 2'}]\n", ["1:28 sql-syntax: SELEC -> this position"]),
    "single quotes over lines": (
        "ddl:\n  - sql: 'SELECT\n      ''a'';\n\n    SELEC'\n",
        ["5:5 sql-syntax: SELEC -> this"],
    ),
    "double quotes": (
        "ddl: [{sql: \"SELECT '\\u00e9\\t\\x20'; SELEC\"}]\n",
        ["1:37 sql-syntax: SELEC -> this position"],
    ),
    "double quotes over lines": (
        'ddl:\n  - sql: "SELECT 1; \\\n\n      SELEC"\n',
        ["4:7 sql-syntax: SELEC -> this position"],
    ),
    "through an alias": ("vars: {a: &a 'SELECT 1; SELEC'}\nddl: [{sql: *a}]\n", ["1:25 sql-syntax: SELEC -> this"]),
    "behind other letters": (
        "ddl:\n  - sql: |\n      SELECT '日本é😀' SELEC x\n",
        ['3:27 sql-syntax: near "x" -> this position'],
    ),
    "below a loop": (
        "vars: {n: [1, 2, 3]}\nddl:\n  - sql: |\n      {% for x in n %}\n      SELECT {{ x }};\n"
        "      {% endfor %}\n      SELEC 2\n",
        ["7:7 sql-syntax: SELEC -> this position"],
    ),
    "in a loop": (
        "vars: {n: [1, 2, 3]}\nddl:\n  - sql: |\n      SELECT 0;\n      {%- for x in n %}\n\n"
        "      SELEC {{ x }};\n      {%- endfor %}\n",
        ["7:7 sql-syntax: SELEC -> this position"],
    ),
    "below an expression over lines": (
        'vars: {n: "1,\\n2"}\nddl:\n  - sql: |\n      SELECT {{ n }};\n      SELECT {{ 1 +\n        2 }} SELEC x;\n',
        ['6:20 sql-syntax: near "x" -> this position'],
    ),
    "behind an expression": (
        "vars: {n: 12345678}\nddl:\n  - sql: |\n      SELECT {{ n }} SELEC x\n",
        ['4:28 sql-syntax: near "x" -> this position'],
    ),
    "made by an expression": (
        "vars: {n: SELEC 1}\nddl:\n  - sql: |\n      SELECT 1;\n      {{ n }}\n",
        ["5:7 sql-syntax: SELEC -> this position"],
    ),
    "quote that is not closed": (
        'ddl: [{sql: "SELECT \'a"}]\n',
        ["1:21 sql-syntax: unterminated quoted string -> quote"],
    ),
    "end missing": ("ddl: [{sql: SELECT 1 FROM}]\n", ["1:25 sql-syntax: end of input -> missing at the end"]),
    "command of psql": ("ddl: [{sql: \\copy a from b}]\n", ['1:13 sql-syntax: near "\\" -> are not SQL']),
    "brackets beyond the grammar": (
        "ddl: [{sql: 'SELECT " + "(" * 20000 + "1" + ")" * 20000 + "'}]\n",
        ["1:10017 sql-syntax: too deeply -> split"],
    ),
    "BEGIN": ("ddl: [{sql: BEGIN}]\n", ["1:13 transaction-control: cannot begin -> remove the statement"]),
    "COMMIT among others": (
        "ddl:\n  - sql: |\n      SELECT 1;\n      -- done\n      COMMIT;\n",
        ["5:7 transaction-control: commits a migration -> remove the statement"],
    ),
    "all kinds of transaction control": (
        "ddl:\n" + "".join(f"  - sql: {text}\n" for text in ("ROLLBACK", "SAVEPOINT a", "START TRANSACTION", "END")),
        [f"{line}:10 transaction-control: cannot -> remove the statement" for line in (2, 3, 4, 5)],
    ),
    "COPY from the client": ("ddl: [{sql: COPY a FROM STDIN}]\n", ["1:13 copy-from-client: need a client -> INSERT"]),
    "index without a name": (
        "ddl: [{sql: CREATE INDEX CONCURRENTLY ON a (b)}]\n",
        ["1:13 unnamed-concurrent-index: needs a name -> a_name"],
    ),
}

ALL = {
    f"{group}: {name}": case
    for group, cases in {
        "yaml": YAML_MISTAKES,
        "key": KEY_MISTAKES,
        "value": VALUE_MISTAKES,
        "step": STEP_MISTAKES,
        "file": FILE_NAME_MISTAKES,
        "template": TEMPLATE_MISTAKES,
        "sql": SQL_MISTAKES,
    }.items()
    for name, case in cases.items()
}


@pytest.mark.parametrize(("text", "expected"), ALL.values(), ids=ALL)
def test_a_mistake_in_a_migration_is_told_with_its_place_and_the_next_step(
    tmp_path: Path, text: str, expected: list[str]
) -> None:
    _schemas(tmp_path)
    found = mistakes(tmp_path, {"migrations/001_a.yaml": text})
    assert_told(found, expected)
    lines = text.split("\n")
    for diagnostic in found:
        assert diagnostic.span is not None
        assert diagnostic.span.path == "migrations/001_a.yaml"
        assert diagnostic.excerpt == lines[diagnostic.span.line - 1]
        assert 1 <= diagnostic.span.column <= len(diagnostic.excerpt) + 1


def _schemas(root: Path) -> None:
    """A schemas folder with a file, a folder that looks like one, and links to everywhere."""
    schemas = root / "schemas"
    (schemas / "01").mkdir(parents=True)
    (schemas / "01" / "here.sql").write_text("SELECT 1")
    (schemas / "folder.sql").mkdir()
    outside = root.parent / f"{root.name}_outside.sql"
    outside.write_text("SELECT 1")
    (schemas / "outside.sql").symlink_to(outside)
    (schemas / "loop.sql").symlink_to("loop.sql")
    (schemas / "dangling.sql").symlink_to("nowhere.sql")


DDL_MISTAKES = {
    "syntax": ("CREATE TABLE a (\n  b int,,\n);\n", 'schemas/a.sql:2:9 sql-syntax: near "," -> this position'),
    "crlf": ("SELECT 1;\r\n\r\nSELEC 2;\r\n", "schemas/a.sql:3:1 sql-syntax: SELEC -> this position"),
    "byte order mark": (b"\xef\xbb\xbfSELEC 1;\n", "schemas/a.sql:1:1 sql-syntax: SELEC -> this position"),
    "tabs": ("SELECT 1;\n\t\tSELEC 1;\n", "schemas/a.sql:2:3 sql-syntax: SELEC -> this position"),
    "other letters": ("SELECT 'é日😀' SELEC x;\n", 'schemas/a.sql:1:20 sql-syntax: near "x" -> this position'),
    "empty": ("", "schemas/a.sql:1:1 no-statement: no SQL statement -> add a statement"),
    "only a comment": ("-- later\n", "schemas/a.sql:1:1 no-statement: no SQL statement -> add a statement"),
    "NUL": ("SELECT 1;\n\0", "schemas/a.sql:2:1 sql-syntax: U+0000 -> remove"),
    "Latin-1": ("-- é\nSELECT 'é".encode() + b"\xe9';", "schemas/a.sql:2:10 not-utf-8: 0xe9 -> save the file as UTF-8"),
    "Latin-1 behind a mark": (b"\xef\xbb\xbf\n-- \xe9", "schemas/a.sql:2:4 not-utf-8: 0xe9 -> save the file as UTF-8"),
    "UTF-16": ("SELECT 1".encode("utf-16"), "schemas/a.sql:1:1 not-utf-8: 0xff -> save the file as UTF-8"),
    "template in a plain file": ("SELECT {{ a }};\n", 'schemas/a.sql:1:8 sql-syntax: near "{" -> .sql.j2'),
    "BEGIN": ("BEGIN;\nSELECT 1;\n", "schemas/a.sql:1:1 transaction-control: cannot begin -> remove the statement"),
}


@pytest.mark.parametrize(("content", "expected"), DDL_MISTAKES.values(), ids=DDL_MISTAKES)
def test_a_mistake_in_a_ddl_file_is_told_in_that_file(tmp_path: Path, content: str | bytes, expected: str) -> None:
    found = mistakes(tmp_path, {"migrations/001_a.yaml": "ddl: [a.sql]\n", "schemas/a.sql": content})
    path, _, rest = expected.partition(":")
    assert [diagnostic.span.path for diagnostic in found if diagnostic.span] == [path]
    assert_told(found, [rest])


def test_a_mistake_in_a_ddl_template_is_told_in_the_template(tmp_path: Path) -> None:
    template = "{% for x in ['a', 'b'] %}\nSELECT 1\n  ,{{ x }};\n{% endfor %}\nSELEC {{ nothing }};\n"
    files = {"migrations/001_a.yaml": "ddl: [a.sql.j2]\n", "schemas/a.sql.j2": template}
    assert_told(mistakes(tmp_path, files), ["5:10 undefined-name: 'nothing' -> --var nothing="])
    files["schemas/a.sql.j2"] = template.replace("{{ nothing }}", "{{ 1 }}")
    (found,) = mistakes(tmp_path, files)
    assert str(found).startswith("schemas/a.sql.j2:5:1: ")


@pytest.mark.parametrize("character", ["\\0", "\\ud800"])
def test_what_no_sql_can_hold_is_told_where_a_template_writes_it(tmp_path: Path, character: str) -> None:
    template = f"SELECT 1;\nSELECT '{{{{ \"{character}\" }}}}';\n"
    found = mistakes(tmp_path, {"migrations/001_a.yaml": "ddl: [a.sql.j2]\n", "schemas/a.sql.j2": template})
    assert_told(found, ["2:9 sql-syntax: SQL cannot contain the character U+ -> remove"])


@pytest.mark.parametrize("text", ["ddll: []\n", "ddl:\r\n  - sql: |\r\n      SELECT 1;\r\n\r\n      SELEC\r\n"])
def test_marks_and_line_ends_of_windows_move_no_place(tmp_path: Path, text: str) -> None:
    (plain,) = mistakes(tmp_path, {"migrations/001_a.yaml": text.replace("\r\n", "\n")})
    (found,) = mistakes(tmp_path, {"migrations/001_a.yaml": b"\xef\xbb\xbf" + text.encode()})
    assert found == plain


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations" / "002_b.yaml").symlink_to("nowhere.yaml")
    found = mistakes(tmp_path, {"migrations/001_a.yaml": b"# \xff\n"})
    assert [str(diagnostic.span) for diagnostic in found] == ["migrations/001_a.yaml:1:3", "migrations/002_b.yaml:1:1"]
    assert [diagnostic.code for diagnostic in found] == ["not-utf-8", "unreadable-file"]
    assert all(diagnostic.hint for diagnostic in found)


def test_aliases_that_stand_for_billions_of_values_end_quickly(tmp_path: Path) -> None:
    values = "".join(f"  v{n}: &v{n} [{', '.join([f'*v{n - 1}'] * 9)}]\n" for n in range(1, 12))
    found = mistakes(tmp_path, {"migrations/001_a.yaml": f"vars:\n  v0: &v0 [x]\n{values}{STEP}"})
    assert_told(found, ["2:12 too-many-values: 100,000 values -> SQL"])


def test_merges_that_stand_for_billions_of_keys_end_quickly(tmp_path: Path) -> None:
    values = "".join(f"  v{n}: &v{n} {{<<: [{', '.join([f'*v{n - 1}'] * 9)}]}}\n" for n in range(1, 12))
    found = mistakes(tmp_path, {"migrations/001_a.yaml": f"vars:\n  v0: &v0 {{x: 1}}\n{values}{STEP}"})
    assert [diagnostic.code for diagnostic in found] == ["too-many-values"]


ORDER_MISTAKES = {
    "one version twice": (
        {"001_a": STEP, "1_b": STEP},
        ["migrations/1_b.yaml:1:1 duplicate-version: also in migrations/001_a.yaml -> change the version"],
    ),
    "one version twice, written": (
        {"001_a": STEP, "b": "# b\nversion: '1'\n" + STEP},
        ["migrations/b.yaml:2:1 duplicate-version: also in migrations/001_a.yaml -> change the version"],
    ),
    "no version": ({"a": STEP}, ["migrations/a.yaml:1:1 no-version: has no version -> 012_add_x.yaml"]),
    "missing requirement": (
        {"001_a": "requires:\n  - '002'\n  - '01'\n" + STEP, "003_c": STEP},
        [
            "migrations/001_a.yaml:2:6 missing-requirement: no migration 002 -> did you mean",
            "migrations/001_a.yaml:3:6 circular-requirement: 001 requires 001 -> remove",
        ],
    ),
    "far requirement": (
        {"001_a": "requires: [zzz]\n" + STEP},
        ["migrations/001_a.yaml:1:12 missing-requirement: no migration zzz -> add the migration"],
    ),
    "circles": (
        {
            "001_a": "requires: [3]\n" + STEP,
            "002_b": "requires: [4, 001]\n" + STEP,
            "003_c": "requires: [002]\n" + STEP,
            "004_d": "requires: 5\n" + STEP,
            "005_e": "requires: 004\n" + STEP,
        },
        [
            "migrations/001_a.yaml:1:12 circular-requirement: 001 requires 003 requires 002 requires 001 -> remove",
            "migrations/004_d.yaml:1:11 circular-requirement: 004 requires 005 requires 004 -> remove",
        ],
    ),
}


@pytest.mark.parametrize(("migrations", "expected"), ORDER_MISTAKES.values(), ids=ORDER_MISTAKES)
def test_migrations_that_cannot_be_ordered_are_told(
    tmp_path: Path, migrations: dict[str, str], expected: list[str]
) -> None:
    found = mistakes(tmp_path, {f"migrations/{name}.yaml": text for name, text in migrations.items()})
    assert [diagnostic.span.path for diagnostic in found if diagnostic.span] == [e.split(":")[0] for e in expected]
    assert_told(found, [line.partition(":")[2] for line in expected])


def test_all_mistakes_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    found = mistakes(
        tmp_path,
        {
            "migrations/001_a.yaml": "requires: [2]\nddl:\n  - sql: SELEC 1\n"
            "  - sql: SELECT {{ foo }}, {{ bar }}\n  - a.sql\n"
            "down:\n  - sql: DRP TABLE a\n",
            "migrations/002_b.yaml": "requires: [1]\non_error: [{sql: SELEC}]\n",
            "migrations/003_b.yaml": "ddl: [{sql: SELEC}]\n",
            "migrations/3_c.yaml": "ddl: [{sql: SELEC}]\n",
            "schemas/a.sql": "CREAT TABLE a ();\n\nBEGIN;\n",
        },
    )
    assert [f"{diagnostic.span} {diagnostic.code}" for diagnostic in found] == [
        "migrations/001_a.yaml:1:12 circular-requirement",
        "migrations/001_a.yaml:3:10 sql-syntax",
        "migrations/001_a.yaml:4:20 undefined-name",
        "migrations/001_a.yaml:4:31 undefined-name",
        "migrations/001_a.yaml:7:10 sql-syntax",
        "migrations/002_b.yaml:2:18 sql-syntax",
        "migrations/003_b.yaml:1:13 sql-syntax",
        "migrations/3_c.yaml:1:1 duplicate-version",
        "migrations/3_c.yaml:1:13 sql-syntax",
        "schemas/a.sql:1:1 sql-syntax",
    ]


SETTINGS_MISTAKES = {
    "unknown keys": (
        "databse: {url: x}\nmigration: a\n",
        ["1:1 unknown-key: 'databse' -> did you mean 'database'?", "2:1 unknown-key: 'migration' -> 'migrations'?"],
    ),
    "unknown key of the database": (
        "database: {retires: 3}\n",
        ["1:12 unknown-key: unknown database key -> 'retries'?"],
    ),
    "duplicate key": ("vars: {a: 1, a: 2}\n", ["1:14 duplicate-key: duplicate key 'a' -> remove one"]),
    "sections left empty": (
        "linting:\n# x\nvars:\ndatabase:  # y\n",
        [
            "1:8 wrong-type: mapping with rules, postgres_version, -> add a value",
            "4:9 wrong-type: found nothing -> add a value",
        ],
    ),
    "a list": ("- a\n", ["1:1 wrong-type: expected a mapping with project, database -> key: value"]),
    "bad YAML": ("a: b: c\n", ["1:5 bad-yaml: mapping values -> quote"]),
    "not UTF-8": (b"vars: {a: \xe9}\n", ["1:11 not-utf-8: 0xe9 -> UTF-8"]),
    "negative retries": ("database: {retries: -1}\n", ["1:21 wrong-type: an integer -> 0 or more"]),
    "broken retries": ("database: {retries: 3.5}\n", ["1:21 wrong-type: found the number 3.5 -> 0 or more"]),
    "retries in quotes": ("database: {retries: '3'}\n", ["1:21 wrong-type: found the text '3' -> 0 or more"]),
    "endless retries": (f"database: {{retries: {'9' * 5000}}}\n", ["1:21 wrong-value: too large -> at most"]),
    "lock_timeout without a unit": ("database: {lock_timeout: 2}\n", ["1:26 wrong-type: the number 2 -> 500ms, 2s"]),
    "folder that is no text": ("migrations: [a]\n", ["1:13 wrong-type: expected text, found a list -> write text"]),
    "folder with a NUL": ('migrations: "a\\0b"\n', ["1:13 bad-character: U+0000 -> remove"]),
    "folder that is missing": (
        "migrations: nowhere\n",
        ["- missing-folder: nowhere: no such file -> create the folder, or set"],
    ),
    "folder that is a file": (
        "migrations: confiture.yaml\n",
        ["- missing-folder: not a directory -> create the folder, or set"],
    ),
    "environment without keys": ("environments: {production: }\n", ["1:26 wrong-type: database, vars -> add a value"]),
    "unknown rule": (
        "linting: {rules: [{type: requires_tenant_idd}]}\n",
        ["1:26 unknown-rule: 'requires_tenant_idd' -> did you mean 'requires_tenant_id'?"],
    ),
    "rule without a type": (
        "linting: {rules: [{tables: x}]}\n",
        ["1:19 missing-key: 'type' is missing -> add `type:`"],
    ),
    "rule of a strange type": (
        "linting: {rules: [{type: [x]}]}\n",
        ["1:26 wrong-type: text, found a list -> write text"],
    ),
    "rule that is no mapping": ("linting: {rules: [3]}\n", ["1:19 wrong-type: found the number 3 -> write a mapping"]),
    "rule with a strange key": (
        "linting: {rules: [{type: requires_column, colum: x}]}\n",
        [
            "1:19 missing-key: needs the key 'column' -> add",
            "1:43 unknown-key: key 'colum' of requires_column -> 'column'?",
        ],
    ),
    "rule with a key twice": (
        "linting: {rules: [{type: requires_column, type: requires_column}]}\n",
        ["1:43 duplicate-key: duplicate key 'type' -> remove one"],
    ),
    "rule that merges itself": (
        "linting: {rules: [&a {type: requires_column, <<: *a}]}\n",
        ["1:46 alias-loop: contains it -> remove the alias"],
    ),
    "option of a rule of another type": (
        "linting: {rules: [{type: requires_column, column: [x]}]}\n",
        ["1:43 wrong-type: must be text -> write text"],
    ),
    "rule without a key that it needs": (
        "linting: {rules: [{type: requires_column}]}\n",
        ["1:19 missing-key: requires_column needs the key 'column' -> add `column:`"],
    ),
    "two rules with mistakes": (
        "linting:\n  rules:\n    - type: no_such\n    - type: requires_primary_key\n      colum: x\n",
        ["3:13 unknown-rule: 'no_such' -> --list-rules", "5:7 unknown-key: 'colum' -> known keys: type, tables"],
    ),
    "PostgreSQL too old for lint": (
        "linting: {postgres_version: 9}\n",
        ["1:29 wrong-value: does not support PostgreSQL 9 -> 14 to 18"],
    ),
    "plugin that is not there": (
        "linting: {plugins: no.such_module}\n",
        ["1:20 bad-plugin: 'no.such_module' cannot be imported -> an importable module"],
    ),
    "plugin without rules": ("linting: {plugins: [json]}\n", ["1:21 bad-plugin: 'json' has no rules -> RULE"]),
    "severity": (
        "linting: {rules: [{type: requires_primary_key, severity: eror}]}\n",
        ["1:58 wrong-type: one of error, warning, info -> did you mean 'error'?"],
    ),
    "taken name of a variable": ("vars: {name: x}\n", ["1:8 bad-name: is not a valid variable name -> another name"]),
    "variable that is not set": (
        "database: {url: 'host={{ env.A }} dbname={{ env.B }}'}\n",
        ["1:18 unset-variable: requires A and B, which are not set -> export A="],
    ),
    "variable that is empty": (
        "database: {url: '{{ env.EMPTY }}'}\n",
        ["1:18 unset-variable: requires EMPTY -> export EMPTY="],
    ),
    "template in the URL": (
        "database: {url: '{{ env.X | upper }}'}\n",
        ["1:18 bad-template: is not supported -> env.NAME"],
    ),
    "statement in the URL": ("database: {url: '{% if x %}'}\n", ["1:18 bad-template: is not supported -> env.NAME"]),
}


@pytest.mark.parametrize(("text", "expected"), SETTINGS_MISTAKES.values(), ids=SETTINGS_MISTAKES)
def test_a_mistake_in_the_settings_is_told(tmp_path: Path, text: str | bytes, expected: list[str]) -> None:
    assert_told(mistakes(tmp_path, {"confiture.yaml": text}, {"EMPTY": ""}), expected)


def test_braces_in_a_variable_are_no_template(tmp_path: Path) -> None:
    (tmp_path / "confiture.yaml").write_text("database: {url: '{{ env.URL }}'}\n")
    settings = load_settings(tmp_path, SettingsOverrides(), {"URL": "postgresql://me:{{x@h/db"})
    assert settings.database.url == "postgresql://me:{{x@h/db"


@pytest.mark.parametrize(
    "text",
    [
        "database: postgresql://me:s3cret@h/db\n",
        "database: {urll: postgresql://me:s3cret@h/db}\n",
        "database: {url: [postgresql://me:s3cret@h/db]}\n",
        "database: {url: 'postgresql://me:s3 cret@h/{{ env.X }}'}\n",
        "database: {url: 'host=h password=s3cret dbname={{ env.X }}'}\n",
        "database: {url: 'host=h password = s3cret dbname={{ env.X }}'}\n",
        "database:\n  password: s3cret\n",
        "database:\n  url: postgresql://me:s3cret@h/db: x\n",
        "postgresql://me:s3cret@h/db: x\n",
        "database: {url: postgresql://averyveryverylongname:s3cret@h/db, retries: x}\n",
        "linting: {rules: [{type: 'postgresql://me:s3cret@h'}]}\n",
    ],
)
def test_no_message_about_the_settings_shows_a_password(tmp_path: Path, text: str) -> None:
    found = mistakes(tmp_path, {"confiture.yaml": text})
    assert found
    shown = repr(found)
    assert "s3" not in shown, shown
    assert "cret" not in shown, shown


def test_settings_that_are_not_there_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError) as none:
        load_settings(tmp_path, SettingsOverrides(), {})
    assert_told(list(none.value.diagnostics), ["- no-project: there is no confiture.yaml in -> confiture init"])
    for overrides, environ in (
        (SettingsOverrides(config=tmp_path / "x.yaml"), {}),
        (SettingsOverrides(), {"CONFITURE_CONFIG": "/x.yaml"}),
    ):
        with pytest.raises(InputError) as asked:
            load_settings(tmp_path, overrides, environ)
        assert_told(list(asked.value.diagnostics), ["- no-project: does not exist -> omit it"])


@pytest.mark.parametrize(("asked", "hint"), [("prod", "known environments: development, live"), ("liv", "'live'?")])
def test_an_environment_that_is_not_there_is_told(tmp_path: Path, asked: str, hint: str) -> None:
    (tmp_path / "confiture.yaml").write_text("environments: {live: {}}\n")
    with pytest.raises(InputError) as error:
        load_settings(tmp_path, SettingsOverrides(environment=asked), {})
    assert_told(list(error.value.diagnostics), [f"- unknown-environment: {asked!r} -> {hint}"])


@pytest.mark.parametrize(
    "command", [("migrate", "up"), ("migrate", "--dry-run"), ("migrate", "down"), ("migrate", "status")]
)
def test_with_a_mistake_nothing_is_touched(project: Project, command: tuple[str, ...]) -> None:
    project.migration("001_a", "ddl: [{sql: CREATE TABLE a ()}]")
    project.migration("002_b", "ddl: [{sql: SELEC 1}]")
    before = sorted(project.root.rglob("*"))
    result = project.run(*command, expect=2)
    assert result.out == ""
    assert result.err == dedent("""\
        error[sql-syntax]: syntax error at or near "SELEC"
          --> migrations/002_b.yaml:1:13
         1 | ddl: [{sql: SELEC 1}]
           |             ^
          next: check this position and the text before it: commas, brackets, quotes, and word order
        """)
    assert sorted(project.root.rglob("*")) == before, "not even the embedded server was made"


def test_mistakes_in_keys_and_in_sql_of_one_file_are_told_together(tmp_path: Path) -> None:
    migration = """\
    descripton: x
    ddl:
      - sql: BEGIN
      - sql: SELEC 1
        timeot: 3s
      - sql: SELECT {{ nope }}
      - check: SELECT 1
      - missing.sql
    """
    found = mistakes(tmp_path, {"migrations/001_a.yaml": dedent(migration)})
    assert [diagnostic.code for diagnostic in found] == [
        "unknown-key",
        "transaction-control",
        "sql-syntax",
        "unknown-key",
        "undefined-name",
        "missing-key",
        "missing-file",
    ]


def test_sql_is_not_judged_by_variables_that_cannot_be_read(tmp_path: Path) -> None:
    migration = "vars: {a-b: 1, c: 2}\nddl:\n  - sql: SELECT {{ c }}\n"
    assert [diagnostic.code for diagnostic in mistakes(tmp_path, {"migrations/001_a.yaml": migration})] == ["bad-name"]
