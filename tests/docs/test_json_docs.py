"""docs/json.md names every key of every document that commands print."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.support.paths import REPOSITORY
from tests.support.projects import Project
from tests.support.servers import Database

SECTIONS = re.split(r"\n## ", (REPOSITORY / "docs/json.md").read_text())
# below them is what users name themselves
OPEN = {"details", "stats", "captures", "options", "shown", "key", "expected", "actual"}
# those that other sections describe
SHARED = {"`confiture.diagnostics`"}
BORROWED = {
    "confiture.run": {"`confiture.isolation`", "`confiture.lint`"},
    "confiture.rules": {"`confiture.lint`"},
}
COMMANDS = (
    "migrate --dry-run",
    "migrate up",
    "migrate assess --dry-run",
    "migrate status",
    "migrate history",
    "identity show",
    "migrate show 002",
    "migrate down",
    "lint --fail-on never",
    "lint --list-rules",
    "locks",
    "backfill status --all",
    "tenancy map",
)


def _described(form: str) -> set[str]:
    named = {f"`{form}`"} | SHARED | BORROWED.get(form, set())
    found = [section for section in SECTIONS if any(name in section.partition("\n")[0] for name in named)]
    return {"format", "version", *re.findall(r"`(\w+)`", "".join(found))}


def _keys(document: object) -> Iterator[str]:
    if isinstance(document, dict):
        for key, value in document.items():
            yield key
            yield from () if key in OPEN else _keys(value)
    elif isinstance(document, list):
        for item in document:
            yield from _keys(item)


def test_every_key_is_described(shop_18: Project, database_18: Database) -> None:
    shop_18.write("confiture.yaml", "tenancy: {column: tenant_id, tables: [w_*, r_*]}\n")
    database_18.execute(
        "CREATE TABLE w_a (id int PRIMARY KEY, tenant_id int NOT NULL, note timestamp);"
        "INSERT INTO w_a SELECT n, n % 3 FROM generate_series(1, 30) AS n; ANALYZE"
    )
    shop_18.migration(
        "001_r",
        """
        ddl:
          - sql: CREATE TABLE r_a (id int PRIMARY KEY, tenant_id int NOT NULL, note timestamp)
          - sql: ALTER TABLE w_a ADD COLUMN size int
        after_ddl:
          - sql: INSERT INTO r_a (id, tenant_id) SELECT id, tenant_id FROM w_a WHERE id <= 10
        after_validation:
          - reconcile: {table: r_a, sql: "SELECT id, tenant_id FROM w_a WHERE id <= 10"}
        """,
    )
    shop_18.migration(
        "002_rest",
        """
        after_ddl:
          - backfill:
              into: r_a
              from: w_a
              on_writes: ignore
              sql: INSERT INTO r_a (id, tenant_id) SELECT id, tenant_id FROM w_a WHERE id > 10 AND {{ batch }}
        down: [{sql: DELETE FROM r_a WHERE id > 10}]
        """,
    )
    documents = [shop_18.run(*command.split(), "--format", "json").json for command in COMMANDS]
    # one that holds, one that differs
    documents.append(shop_18.run("verify", "--format", "json").json)
    query = "SELECT id, tenant_id FROM w_a WHERE id BETWEEN 2 AND 12"
    documents.append(shop_18.run("reconcile", "r_a", "--sql", query, "--format", "json", expect=1).json)
    documents.append(shop_18.run("tenancy", "prove", "--format", "json").json)
    assert len({document["format"] for document in documents}) == 14
    for document in documents:
        form = document["format"]
        assert set(_keys(document)) - _described(form) == set(), form
