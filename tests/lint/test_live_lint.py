"""A rule finds in a database what it finds in the files that made it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import psycopg
import pytest
from psycopg.rows import DictRow, dict_row

from confiture.core.db.introspection import read_catalog
from confiture.lint.engine.configuration import default_active_rule
from confiture.lint.engine.context import LintTarget
from confiture.lint.engine.findings import to_findings
from confiture.lint.engine.replay import check_schema
from confiture.lint.fingerprints import fingerprint_v2
from confiture.lint.registry import built_in_rules
from confiture.models.findings import Finding
from confiture.models.records import replace
from tests.lint.rules import test_index_rules, test_schema_rules, test_security_rules, test_type_rules
from tests.support.rule_examples import SETTINGS
from tests.support.schema_cases import lint
from tests.support.servers import Database

_MODULES = (test_schema_rules, test_index_rules, test_type_rules, test_security_rules)
_BEFORE = {
    "requires_indexes_on_foreign_keys": test_index_rules.CUSTOMERS,
    "duplicate_index": test_index_rules.T,
    "too_many_index_columns": test_index_rules.T,
}
_OPTIONS: Mapping[str, Mapping[str, Any]] = {"requires_column": {"column_type": None, "not_null": False}}
# of the session that ran the file, which the file alone does not tell
_OF_THE_SESSION = "SEARCH_PATH FROM CURRENT"
# every database has these roles, so they outlive a case
_ROLES = ("admin",)


def cases() -> Iterator[Any]:
    """The cases of the rules' own tests that are one text of SQL, by rule."""
    for rule in built_in_rules():
        for module in _MODULES:
            if list(_cases_of(module, rule)):
                yield pytest.param(rule, module, id=rule)


def _cases_of(module: ModuleType, rule: str) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    marks = getattr(getattr(module, f"test_{rule}", None), "pytestmark", ())
    for mark in marks:
        if mark.args[0] == ("sql", "fragments", "options"):
            for case in mark.args[1]:
                sql, _, options = case.values
                yield case.id, f"{_BEFORE.get(rule, '')} {sql}", {**_OPTIONS.get(rule, {}), **options}


@pytest.mark.parametrize(("rule", "module"), list(cases()))
def test_a_database_is_judged_like_its_files(rule: str, module: ModuleType, database: Database) -> None:
    judged = 0
    with psycopg.connect(database.url, autocommit=True, row_factory=dict_row) as connection:
        for name, sql, options in _cases_of(module, rule):
            if _made(connection, sql) and _OF_THE_SESSION not in sql.upper():
                active = default_active_rule(built_in_rules()[rule], options)
                catalog = read_catalog(connection)
                surroundings = LintTarget(settings=SETTINGS, postgres_version=database.server.version)
                live = to_findings(check_schema([active], catalog, (), surroundings))
                files = lint(rule, sql, options=options)
                assert sorted(map(_identity, live)) == sorted(map(_identity, files)), name
                judged += 1
    assert judged > 0


def _identity(finding: Finding) -> tuple[str, str | None, str | None]:
    return finding.message, finding.relation, finding.subject


def test_fingerprints_tell_apart_what_messages_tell_apart_without_file_and_statement() -> None:
    judged = 0
    for case in cases():
        rule, module = case.values
        for name, sql, options in _cases_of(module, rule):
            live = [replace(one, span=None, statement=None) for one in lint(rule, sql, options=options)]
            assert len(set(map(fingerprint_v2, live))) == len({(one.message, one.relation) for one in live}), (
                rule,
                name,
                list(map(_identity, live)),
            )
            judged += len(live) > 1
    assert judged > 0


def _made(connection: psycopg.Connection[DictRow], sql: str) -> bool:
    """Whether the server took the SQL, in a database that is empty before."""
    schemas = "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"
    for row in connection.execute(schemas).fetchall():
        connection.execute(f'DROP SCHEMA "{row["nspname"]}" CASCADE'.encode())
    connection.execute("CREATE SCHEMA public")
    for role in _ROLES:
        connection.execute(
            f"DO $$ BEGIN CREATE ROLE {role}; EXCEPTION WHEN duplicate_object THEN NULL; END $$".encode()
        )
    try:
        connection.execute(sql.encode())
    except psycopg.Error:
        return False
    return True
