"""The JSON Schemas that editors use: they agree with what reads the files."""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from confiture.lint.engine.configuration import rule_settings_schemas
from confiture.lint.registry import built_in_rules
from confiture.plan.json_schema import SchemaName, build_json_schema
from tests.support.mistakes import mistakes
from tests.support.paths import REPOSITORY
from tests.unit.test_bad_input import KEY_MISTAKES, SETTINGS_MISTAKES, STEP, STEP_MISTAKES, VALUE_MISTAKES

ENTRIES = rule_settings_schemas(built_in_rules().values())


def loaded(text: str) -> Any:
    """The text as an editor sees it: YAML as JSON, where dates are text."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {str(key): plain(item) for key, item in value.items()}
        if isinstance(value, list):
            return [plain(item) for item in value]
        return value.isoformat() if isinstance(value, datetime.date) else value

    return plain(YAML(typ="safe", pure=True).load(text))


def complaints(name: SchemaName, text: str) -> list[str]:
    return [error.message for error in Draft202012Validator(build_json_schema(name, ENTRIES)).iter_errors(loaded(text))]


@pytest.mark.parametrize("name", ["migration", "settings"])
def test_the_schemas_are_schemas(name: SchemaName) -> None:
    schema = build_json_schema(name, ENTRIES)
    Draft202012Validator.check_schema(schema)

    def undescribed(at: object, path: str = "") -> list[str]:
        if not isinstance(at, dict):
            return []
        here = [f"{path}/{key}" for key, value in at.get("properties", {}).items() if "description" not in value]
        return here + [found for key, value in at.items() for found in undescribed(value, f"{path}/{key}")]

    assert undescribed(schema) == []


@pytest.mark.parametrize("path", sorted((REPOSITORY / "migrations_example").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_example_migrations_fit(path: Path) -> None:
    assert complaints("migration", path.read_text()) == []


def test_the_example_settings_fit() -> None:
    assert complaints("settings", (REPOSITORY / "confiture.yaml").read_text()) == []


GOOD_MIGRATIONS = [
    "version: 2024.10\nname: x\ndescription: y\nrequires: [1, '002', 2.1]\nvars: {a: [1, {b: ~}], _c: 1.5}\n" + STEP,
    "requires: '001'\n" + STEP,
    "before_validation:\nvars:\nrequires:\n" + STEP,
    "ddl: [{sql: SELECT 1, when: true, timeout: 0}, {sql: SELECT 2, when: true and true, lock_timeout: ' 1.5 min '}]\n",
    "ddl: [{check: SELECT 1, expect: x, name: y}, {check: SELECT 1, expect: ~}]\n",
    "ddl: [{check: SELECT 1, expect: {'>=': 1.5}}]\n",
    "ddl: [{check: SELECT 1, expect: {rows: [[1, ~], [true, x]]}}, {check: SELECT 1, expect: {rows: [1, 2]}}]\n",
    "ddl: [{check: SELECT 1, expect: {rows: }}, {check: SELECT 1, expect: 2024-01-01}]\n",
    "on_error: [{sql: SELECT 1}]\ndown: [{sql: SELECT 1}]\n" + STEP,
]


@pytest.mark.parametrize("text", GOOD_MIGRATIONS)
def test_what_the_reader_takes_the_schema_takes(tmp_path: Path, text: str) -> None:
    for version in ("001", "002", "2.1"):
        (tmp_path / "migrations").mkdir(exist_ok=True)
        (tmp_path / "migrations" / f"{version}_x.yaml").write_text(STEP)
    found = mistakes(tmp_path, {"migrations/003_a.yaml": text})
    assert found == []
    assert complaints("migration", text) == []


GOOD_SETTINGS = [
    "",
    "vars:\nenvironments:\nlinting: {rules: }\n",
    "database: {url: embedded, lock_timeout: 0, max_blocking: 500ms, retries: 0}\n",
    "environments: {a: {}, 1: {database: {retries: 3}, vars: {x: y}}}\n",
    "tenancy: {tables: w_*, except: [r_*, s_*]}\nlinting: {rules: [{type: naming_convention, static_prefix: x}]}\n",
]


@pytest.mark.parametrize("text", GOOD_SETTINGS)
def test_settings_that_the_reader_takes_the_schema_takes(tmp_path: Path, text: str) -> None:
    assert mistakes(tmp_path, {"confiture.yaml": text}) == []
    assert loaded(text) is None or complaints("settings", text) == []


# what a schema cannot see: aliases, tags, duplicates, and what stands between files
BEYOND = re.compile("tag|alias|merge|duplicate|twice|mapping that|key that is no text|statement|two queries|update")
MORE_BEYOND = {
    "no step at all",  # `new` writes empty phases, and editors should not complain of them
    "version with a space",
    "version without a digit or letter",
    "endless version",
    "endless timeout",
    "timeout beyond PostgreSQL",
    "more than null",
    "number without digits",
    "point without digits",
    "word as a number",
    "word as a truth value",
    "word as null",
    "endless number",
    "endless exponent",
    "unknown, with a secret",
}
REFUSED = {
    name: text
    for cases in (KEY_MISTAKES, VALUE_MISTAKES, STEP_MISTAKES)
    for name, (text, _) in cases.items()
    if not BEYOND.search(name) and name not in MORE_BEYOND
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_what_the_reader_refuses_the_schema_refuses(text: str) -> None:
    assert complaints("migration", text) != []


REFUSED_SETTINGS = {
    name: text
    for name, (text, expected) in SETTINGS_MISTAKES.items()
    if isinstance(text, str) and re.search(" (unknown|wrong)-", expected[0]) and name != "endless retries"
}


@pytest.mark.parametrize("text", REFUSED_SETTINGS.values(), ids=REFUSED_SETTINGS)
def test_settings_that_the_reader_refuses_the_schema_refuses(text: str) -> None:
    assert complaints("settings", text) != []


VALUES = ("x", "3", "1.5", "true", "~", "[]", "[x]", "{}", "{a: 1}", "''", "' '", "2s", "0", "[x.sql]", "2024-01-01")


@pytest.mark.parametrize("key", [key for key in build_json_schema("migration")["properties"] if key != "requires"])
def test_no_key_of_a_migration_is_refused_by_the_schema_alone(tmp_path: Path, key: str) -> None:
    for value in VALUES:
        text = f"{key}: {value}\n{'' if key == 'ddl' else STEP}"
        refused = complaints("migration", text) != []
        found = mistakes(tmp_path, {"migrations/001_a.yaml": text, "schemas/x.sql": "SELECT 1"})
        assert found or not refused, f"{text} is fine, but the schema refuses it"


@pytest.mark.parametrize("key", build_json_schema("migration")["$defs"]["step"]["properties"])
def test_no_key_of_a_step_is_refused_by_the_schema_alone(tmp_path: Path, key: str) -> None:
    others = {"sql": "", "file": "", "check": ", expect: 1", "expect": ", check: SELECT 1"}.get(key, ", sql: SELECT 1")
    for value in (*VALUES, "{'=': 1}", "{rows: [1]}", "SELECT 1", "x.sql"):
        text = f"ddl: [{{{key}: {value}{others}}}]\n"
        refused = complaints("migration", text) != []
        found = mistakes(tmp_path, {"migrations/001_a.yaml": text, "schemas/x.sql": "SELECT 1"})
        assert found or not refused, f"{text} is fine, but the schema refuses it"
